"""What docs/ says is what the code does."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from retraind.config.load import load
from retraind.config.settings import Config
from retraind.docs import documents, example

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", ["configuration.md", "metrics.md", "cli.md"])
def test_generated_documents_are_fresh(name: str) -> None:
    written = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert written == documents()[name], "stale; run `make docs`"


def test_the_complete_example_is_valid_and_shows_defaults(tmp_path: Path) -> None:
    path = tmp_path / "example.yaml"
    path.write_text(example())
    shown, defaults = load(path), Config()
    assert shown.store == defaults.store
    assert shown.limits == defaults.limits
    assert shown.receivers.limits == defaults.receivers.limits
    assert shown.monitors[0].detector == defaults.monitors[0].detector
    assert shown.monitors[0].window == defaults.monitors[0].window
    assert shown.admin.endpoint == defaults.admin.endpoint
    assert shown.destinations[0].secret_file == tmp_path / "webhook-secret"


def test_the_complete_example_has_every_section() -> None:
    document = yaml.safe_load(example())
    assert set(document) == set(Config.model_fields)
    assert set(document["monitors"][0]) == set(type(Config().monitors[0]).model_fields)


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [*project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        declared += extra
    names = {re.split(r"[^A-Za-z0-9_.-]", item, maxsplit=1)[0] for item in declared}
    text = (ROOT / "docs" / "dependencies.md").read_text()
    listed = re.findall(r"^\| `([^`]+)` \| (.+) \|$", text, flags=re.MULTILINE)
    assert {name for name, _ in listed} == names
    assert all(reason.endswith(".") for _, reason in listed)


def test_the_top_level_holds_nothing_else() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, check=True).stdout
    top = {line.split("/")[0] for line in tracked.decode().splitlines()}
    assert {name for name in top if not name.startswith(".")} == {
        "pyproject.toml", "daemon", "proto", "tests", "deploy", "README.md", "Makefile", "docs",
        "CHANGELOG.md", "LICENSE",
    }  # fmt: skip


def test_the_versions_that_are_tested_hold_no_addresses() -> None:
    lines = (ROOT / ".ci" / "constraints.txt").read_text().splitlines()
    assert lines
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][A-Za-z0-9.]*", line) for line in lines)
