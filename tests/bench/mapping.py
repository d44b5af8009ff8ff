"""What the table of all conventions costs, against the mapping that the daemon began with.

That mapping, the spine's, took plain attributes of the OTel GenAI conventions and OpenInference as
they are, and read nothing from JSON, events or indexed keys. It is measured itself: the code of its
last commit, from the history of the repository, in turns with today's. The mixed payload is every
recorded body of tests/corpus, copied with new ids and other texts of the same length, so that no
message is read twice. CPU time on one core. Run: `python -m tests.bench.mapping`.
"""

from __future__ import annotations

import json
import os
import pickle
import random
import string
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from .payload import requests

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "tests" / "corpus"
SPINE = "8eca9a91b1a97bb07d88afcaf8b849971796ca60"
"""The last commit before the table of all conventions."""
SPANS_PER_REQUEST, REQUESTS, COPIES, ROUNDS, TURNS = 512, 16, 20, 5, 5
# Words of the recorded texts that are replaced by others of the same length.
WORDS = (b"Paris", b"France", b"capital", b"degrees")


def spine_code() -> Path | None:
    """A folder with the spine's package; None where the history does not have it."""
    folder = ROOT / ".cache" / "spine"
    if not (folder / "daemon").exists():
        archive = subprocess.run(
            ["git", "archive", SPINE, "daemon"], cwd=ROOT, capture_output=True, check=False
        )
        if archive.returncode:
            return None
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return folder / "daemon"


def mixed(copies: int, seed: int = 1) -> list[bytes]:
    """Copies of every recorded body, in another order."""
    source = random.Random(seed)
    bodies = []
    for path in sorted(CORPUS.glob("*/*.traces.pb")):
        body = path.read_bytes()
        ids = [
            identity
            for group in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in group.scope_spans
            for span in scope.spans
            for identity in (span.trace_id, span.span_id)
        ]
        for _ in range(copies):
            copy = body
            for identity in dict.fromkeys(ids):
                copy = copy.replace(identity, source.randbytes(len(identity)))
            for word in WORDS:
                letters = "".join(source.choices(string.ascii_lowercase, k=len(word)))
                copy = copy.replace(word, letters.encode())
            bodies.append(copy)
    source.shuffle(bodies)
    return bodies


def in_turns(payloads: list[bytes], code: list[Path], rounds: int, turns: int) -> list[float]:
    """Spans per CPU second of each code, the median of its turns; each turn's best round."""
    with tempfile.NamedTemporaryFile(suffix=".pickle") as file:
        Path(file.name).write_bytes(pickle.dumps(payloads))
        found: list[list[float]] = [[] for _ in code]
        for _ in range(turns):
            for rates, path in zip(found, code, strict=True):
                rates.append(_rate(Path(file.name), path, rounds))
    return [median(rates) for rates in found]


def _rate(file: Path, code: Path, rounds: int) -> float:
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("rate_child.py"), file, str(rounds)],
        capture_output=True, check=True, env=os.environ | {"PYTHONPATH": str(code)},
    )  # fmt: skip
    measured = json.loads(done.stdout)
    return float(measured["spans"] / measured["seconds"])


def run(*, quick: bool = False) -> dict[str, float]:
    """Rates in spans per CPU second, of row 1's payload and of the mixed one."""
    rounds, turns = (1, 1) if quick else (ROUNDS, TURNS)
    code = [ROOT / "daemon"]
    if spine := spine_code():
        code.append(spine)
    figures: dict[str, float] = {}
    for name, payloads in (
        ("row 1's payload", requests(REQUESTS, SPANS_PER_REQUEST, seed=3)),
        ("every library", mixed(2 if quick else COPIES)),
    ):
        full, *others = in_turns(payloads, code, rounds, turns)
        figures[f"{name}, spans per CPU second"] = full
        for plain in others:
            figures[f"{name}, the spine"] = plain
            figures[f"{name}, ratio to the spine"] = full / plain
    return figures


if __name__ == "__main__":
    for name, number in run().items():
        print(f"{name:40} {number:12,.2f}")
