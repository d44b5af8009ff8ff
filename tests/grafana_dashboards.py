"""The committed Grafana dashboards as a user's Grafana reads them: variables, panels, queries."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
GRAFANA = ROOT / "deploy" / "grafana"
FILES = sorted((GRAFANA / "dashboards").glob("*.json"))
STEP = "5s"
BUILT_IN = {"__interval": STEP, "__rate_interval": "1m"}


@dataclass(frozen=True)
class Asked:
    """One query of a panel or an annotation, before its variables are filled in."""

    where: str
    expr: str
    instant: bool

    def filled(self, values: Mapping[str, str]) -> str:
        """The expression that Grafana would send; a variable without a value is an error."""
        every = {**values, **BUILT_IN}
        return re.sub(r"\$\{?(\w+)\}?", lambda found: every[found[1]], self.expr)


def read(file: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return document


def panels(dashboard: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every panel that shows something, thus no rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def asked(dashboard: Mapping[str, Any]) -> Iterator[Asked]:
    """Every query of panels and annotations."""
    title = dashboard["title"]
    for panel in panels(dashboard):
        for target in panel["targets"]:
            where = f"{title} / {panel['title']} / {target['refId']}"
            yield Asked(where, target["expr"], bool(target.get("instant")))
    for marks in dashboard["annotations"]["list"]:
        yield Asked(f"{title} / annotation {marks['name']}", marks["target"]["expr"], instant=False)


def variables(dashboard: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The variables whose values Prometheus is asked for, in their order."""
    return [each for each in dashboard["templating"]["list"] if each["type"] == "query"]


def source(variable: Mapping[str, Any], values: Mapping[str, str]) -> tuple[str, str]:
    """Selector and label of a variable's `label_values(selector, label)`."""
    found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
    assert found, variable["query"]
    return Asked(variable["name"], found[1], instant=True).filled(values), found[2]


def as_regex(value: str) -> str:
    """A chosen value inside a quoted regular expression of PromQL."""
    return re.escape(value).replace("\\", "\\\\")
