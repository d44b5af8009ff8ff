"""What docs/feedback.md says to type, typed; and OpenAPI says what the daemon takes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from harness import Daemon, plain_http

PAGE = (Path(__file__).parents[2] / "docs" / "feedback.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


def test_every_command_of_the_page_works(daemon: Daemon, tmp_path: Path) -> None:
    """In order, as a reader would; an answer that is shown is the one that comes."""
    (tmp_path / "feedback.csv").write_text(next(text for kind, text in BLOCKS if kind == "csv"))
    (tmp_path / "retraind-data").symlink_to(daemon.data)
    answer = ""
    for kind, text in BLOCKS:
        if kind == "sh":
            command = text.replace("127.0.0.1:9464", f"127.0.0.1:{daemon.admin_port}")
            command = re.sub(
                "^retraind ", f"{sys.executable} -m retraind ", command, flags=re.MULTILINE
            )
            done = subprocess.run(
                ["bash", "-euc", command],
                cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
            )  # fmt: skip
            assert done.returncode == 0, (command, done.stderr)
            answer = done.stdout
            if command.startswith("curl"):
                assert json.loads(answer)["accepted"] > 0, answer
        elif kind == "json":
            assert json.loads(answer) == json.loads(text)
    (found,) = daemon.sql(
        "select count(*) as n, count(*) filter (where not passed) as f from evaluations"
    )
    assert found == {"n": 1 + 4 + 1 + 4 + 2, "f": 1 + 1 + 1 + 1}


def test_openapi_describes_both_routes(daemon: Daemon) -> None:
    document = plain_http.get(f"{daemon.admin}/api/v1/openapi.json").json()
    schemas = document["components"]["schemas"]
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert references == {
        "Thumbs", "Rating", "Escalation", "Correction", "Label", "EvaluationItem",
    }  # fmt: skip
    assert references <= set(schemas)
    for path in ("feedback", "evaluations"):
        operation = document["paths"][f"/api/v1/{path}"]["post"]
        assert operation["parameters"][0]["name"] == "Idempotency-Key"
        assert set(operation["responses"]) > {"200", "400", "401", "413", "415", "422", "503"}
    assert schemas["Thumbs"]["properties"]["value"]["enum"] == ["up", "down"]
    truth = schemas["Label"]["properties"]["value"]["anyOf"]
    assert [form["type"] for form in truth] == ["string", "number", "boolean"]
    assert set(schemas["Rating"]["required"]) == {"kind", "value"}
