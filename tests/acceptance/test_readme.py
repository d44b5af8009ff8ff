"""What README.md says to type, typed."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from acceptance_harness import cli, secret_file
from harness import Daemon

README = (Path(__file__).parents[2] / "README.md").read_text()
SECRET = "whsec_" + "c2VjcmV0" * 6


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def test_the_python_snippet_sends_spans(daemon: Daemon) -> None:
    (snippet,) = blocks("python")
    assert "127.0.0.1:4317" in snippet, "the default port"
    snippet = snippet.replace("127.0.0.1:4317", f"127.0.0.1:{daemon.grpc_port}")
    use = "with provider.get_tracer('t').start_as_current_span('from the readme'): pass\n"
    done = subprocess.run(
        [sys.executable, "-c", snippet + use + "provider.shutdown()\n"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = daemon.sql("select service_name from spans where name = 'from the readme'")
    assert found == [{"service_name": "support-bot"}]


def test_the_configuration_is_valid(tmp_path: Path) -> None:
    text = next(block for block in blocks("yaml") if block.startswith("monitors:"))
    secret = secret_file(tmp_path, SECRET)
    written = yaml.safe_load(text)["destinations"][0]["secret_file"]
    file = tmp_path / "retraind.yaml"
    file.write_text(text.replace(written, str(secret)))
    assert cli("check", "--config", file).returncode == 0
    assert len(text.splitlines()) <= 16, "the README promises a short one"


@pytest.mark.parametrize("command", ["status", "sql"])
def test_the_commands_work(daemon: Daemon, command: str) -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    (line,) = [line for line in lines if line.startswith(f".venv/bin/retraind {command} ")]
    arguments = shlex.split(line, comments=True)[1:]
    arguments[arguments.index("--data") + 1] = str(daemon.data)
    assert cli(*arguments).returncode == 0
