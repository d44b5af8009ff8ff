"""Writes the dashboards as JSON: `python -m deploy.grafana [FOLDER]`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from .ingest import ingest
from .monitor import monitor
from .overview import overview

DASHBOARDS = {"overview": overview, "monitor": monitor, "ingest": ingest}


def main(folder: Path) -> None:
    """One file for each dashboard, the same bytes for the same code."""
    for name, build in DASHBOARDS.items():
        text = json.dumps(document(build()), indent=2, sort_keys=True)
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def document(dashboard: Dashboard) -> dict[str, Any]:
    """The dashboard as Grafana stores it; panels are numbered, for links to one of them."""
    built = dashboard.build()
    for place, panel in enumerate(built.panels or [], start=1):
        panel.id_val = place
    plain = json.loads(json.dumps(built, cls=JSONEncoder))
    shown: dict[str, Any] = without_placement(plain)
    return shown


def without_placement(node: Any) -> Any:
    """The SDK always writes this key; it would put links and annotations into a submenu."""
    if isinstance(node, dict):
        return {
            key: without_placement(value)
            for key, value in node.items()
            if (key, value) != ("placement", "inControlsMenu")
        }
    return [without_placement(each) for each in node] if isinstance(node, list) else node


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("dashboards"))
