"""Runs the scenarios of each library and writes what its exporter sent.

`python -m tests.corpus.record [--scenario NAME] [LIBRARY ...]`; README.md says what a library's
folder holds. A library that does not install or run is reported at the end; the others go on.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from .endpoint import app
from .scrub import left_over, scrubbed
from .server import Server
from .sink import Sink

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
CACHE = PROJECT / ".cache" / "corpus"
INSTALL_SECONDS, RUN_SECONDS = 900, 180


class Failed(Exception):
    """Says which step of which library failed, and how."""


def folders() -> list[Path]:
    return sorted(path for path in HERE.iterdir() if "@" in path.name and path.is_dir())


def script(folder: Path) -> Path:
    return folder / ("scenario.mjs" if (folder / "package.json").exists() else "scenario.py")


def scenarios(folder: Path) -> list[str]:
    """Named in the script by a comment line `scenarios: chat stream ...`."""
    line = re.search(r"^(?:#|//) scenarios: (.+)$", script(folder).read_text(), re.MULTILINE)
    if line is None:
        raise Failed(f"{folder.name}: {script(folder).name} has no line `scenarios: ...`")
    return line.group(1).split()


def install(folder: Path) -> list[str]:
    """Makes the venv or npm project unless it is there; gives the command of a scenario."""
    home = CACHE / folder.name
    node = (folder / "package.json").exists()
    wanted = folder / ("package.json" if node else "requirements.txt")
    stamp = home / ".installed"
    fresh = not stamp.exists() or stamp.read_text() != wanted.read_text()
    home.mkdir(parents=True, exist_ok=True)
    if node:
        # Node looks for packages beside the script.
        for name in ("package.json", "scenario.mjs"):
            shutil.copy(folder / name, home / name)
        if fresh:
            npm = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund"]
            run(npm, f"{folder.name}: npm", INSTALL_SECONDS, cwd=home)
        command = ["node", str(home / "scenario.mjs")]
    else:
        python = home / "bin" / "python"
        if fresh:
            venv.create(home, with_pip=True, clear=True)
            pip = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
            run([*pip, "--requirement", str(wanted)], f"{folder.name}: pip", INSTALL_SECONDS)
        command = [str(python), str(folder / "scenario.py")]
    stamp.write_text(wanted.read_text())
    return command


def run(
    command: list[str],
    step: str,
    seconds: int,
    cwd: Path | None = None,
    environment: dict[str, str] | None = None,
) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=environment,
            timeout=seconds,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        output = (late.stdout or b"").decode(errors="replace")
        raise Failed(f"{step}: not done after {seconds} s\n{output[-3000:]}") from None
    output = done.stdout.decode(errors="replace")
    if done.returncode:
        raise Failed(f"{step}: exit code {done.returncode}\n{output[-3000:]}")
    if output.strip():
        print(output.rstrip())


def environment_of(endpoint: str, sink: Sink, home: str) -> dict[str, str]:
    """Nothing of the caller's environment but where programs and certificates are."""
    kept = {name: os.environ[name] for name in ("PATH", "SSL_CERT_FILE") if name in os.environ}
    return kept | {
        "HOME": home,
        "TMPDIR": home,
        "LANG": "C.UTF-8",
        "NO_PROXY": "127.0.0.1,localhost",
        "DO_NOT_TRACK": "1",
        "OPENAI_BASE_URL": f"{endpoint}/v1",
        "OPENAI_API_KEY": "corpus",
        "ANTHROPIC_BASE_URL": endpoint,
        "ANTHROPIC_API_KEY": "corpus",
        "COHERE_BASE_URL": endpoint,
        "COHERE_API_KEY": "corpus",
        "OTEL_EXPORTER_OTLP_ENDPOINT": sink.http_endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        # For a library that only has the gRPC exporter: scenario.py copies it into the name above.
        "CORPUS_OTLP_GRPC_ENDPOINT": sink.grpc_endpoint,
        "OTEL_SERVICE_NAME": "corpus",
        "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "otel",
        "OTEL_NODE_RESOURCE_DETECTORS": "env",
    }


def record(folder: Path, only: str | None) -> None:
    command = install(folder)
    for scenario in scenarios(folder):
        if only in {None, scenario}:
            record_scenario(folder, command, scenario)


def record_scenario(folder: Path, command: list[str], scenario: str) -> None:
    step = f"{folder.name} {scenario}"
    with Server(app()) as endpoint, Sink() as sink, tempfile.TemporaryDirectory() as home:
        environment = environment_of(endpoint.url, sink, home)
        run([*command, scenario], step, RUN_SECONDS, Path(home), environment)
        paths = {
            str(CACHE / folder.name): "/venv",
            str(folder): "/app",
            str(PROJECT): "/app",
            home: "/tmp/app",
            sys.base_prefix + "/lib": "/usr/lib",
        }
        arrived = {
            signal: [scrubbed(signal, body, paths) for body in bodies]
            for signal, bodies in sink.bodies.items()
        }
    if not any(arrived.values()):
        raise Failed(f"{step}: nothing arrived")
    found = left_over([body for bodies in arrived.values() for body in bodies], paths)
    if found:
        raise Failed(f"{step}: the recording names this machine: {found}")
    for signal, bodies in arrived.items():
        file = folder / f"{scenario}.{signal}.pb"
        file.unlink(missing_ok=True)
        if bodies:
            # Protobuf messages joined are one message whose repeated fields are joined.
            file.write_bytes(b"".join(bodies))
            print(f"{step}: {len(bodies)} {signal} requests, {file.stat().st_size} bytes")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("libraries", nargs="*", metavar="LIBRARY", help="name, or name@version")
    parser.add_argument("--scenario", help="only this one")
    given = parser.parse_args()
    wanted = set(given.libraries)
    chosen = [
        folder
        for folder in folders()
        if not wanted or wanted & {folder.name, folder.name.partition("@")[0]}
    ]
    unknown = wanted - {name for f in chosen for name in (f.name, f.name.partition("@")[0])}
    failures = [f"{name}: no such folder" for name in sorted(unknown)]
    for folder in chosen:
        print(f"== {folder.name}", flush=True)
        try:
            record(folder, given.scenario)
        except Failed as failed:
            failures.append(str(failed))
            print(failed, flush=True)
    if failures:
        print(f"\n{len(failures)} failed:\n" + "\n".join(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
