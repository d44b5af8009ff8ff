"""What the full mapping costs: against plain attributes only, and on spans of every library.

"Plain" is the mapping that the daemon began with: attributes of the OTel GenAI conventions and
OpenInference taken as they are, nothing read from JSON, events or indexed keys. The mixed payload
is every recorded body of tests/corpus, copied with new ids and other texts of the same length, so
that no message is read twice. CPU time on one core. Run: `python -m tests.bench.mapping`.
"""

from __future__ import annotations

import gc
import random
import string
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from retraind.app import COLLECT_GARBAGE_AFTER
from retraind.decode import decode_traces
from retraind.normalise import normalise_traces, schema, traces
from retraind.normalise.conventions import COLUMNS, Column
from retraind.normalise.resolve import READ, Resolved

from .payload import requests

SPANS_PER_REQUEST, REQUESTS, COPIES, ROUNDS = 512, 16, 20, 5
CORPUS = Path(__file__).parents[1] / "corpus"
# Words of the recorded texts that are replaced by others of the same length.
WORDS = (b"Paris", b"France", b"capital", b"degrees")
_PLAIN = ("otel_genai", "otel_genai_legacy", "openinference", "retraind")


def plain_table() -> tuple[Column, ...]:
    """The table without what has to be read from JSON, gathered or looked up in events."""

    def kept(column: Column) -> Column:
        sources = [s for s in column.sources if s.convention in _PLAIN]
        return replace(
            column, sources=tuple(s for s in sources if s.path.plain or s.path.form == "resource")
        )

    as_text = [replace(c, type="text") if c.type in READ else c for c in COLUMNS]
    return tuple(kept(column) for column in as_text)


@contextmanager
def plain_mapping() -> Iterator[None]:
    """The daemon's functions with the plain table, and nothing read from JSON."""
    table, fill = traces.COLUMNS, traces.content.fill
    traces.COLUMNS, traces.content.fill = plain_table(), _leave_empty
    try:
        yield
    finally:
        traces.COLUMNS, traces.content.fill = table, fill


def _leave_empty(resolved: Resolved, _: Any) -> None:
    owners = resolved.holders.attributes.owners
    for field in schema.SPANS:
        if field.name in ("called_tools", "document_ids", "document_scores"):
            resolved.columns[field.name] = pa.nulls(owners, field.type)


def mixed(copies: int, seed: int = 1) -> tuple[list[bytes], int]:
    """Copies of every recorded body, and how many spans they hold."""
    source = random.Random(seed)
    bodies, spans = [], 0
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
            spans += len(ids) // 2
    source.shuffle(bodies)
    return bodies, spans


def rate(payloads: list[bytes], spans: int, rounds: int) -> float:
    """Spans per CPU second through decode and normalise, the best of a few rounds."""
    best = min(_timed(lambda: _rows(payloads)) for _ in range(rounds))
    return spans / best


def _rows(payloads: list[bytes]) -> int:
    return normalise_traces(decode_traces(payloads), attribute_limit=1024).spans.num_rows


def _timed(work: Callable[[], Any]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def run(*, quick: bool = False) -> dict[str, float]:
    """Rates in spans per CPU second: the plain mapping, the full one, and the mixed payload."""
    rounds = 1 if quick else ROUNDS
    gc.set_threshold(*COLLECT_GARBAGE_AFTER)
    payloads = requests(REQUESTS, SPANS_PER_REQUEST, seed=3)
    spans = REQUESTS * SPANS_PER_REQUEST
    with plain_mapping():
        plain = rate(payloads, spans, rounds)
    full = rate(payloads, spans, rounds)
    bodies, count = mixed(2 if quick else COPIES)
    with plain_mapping():
        several_plain = rate(bodies, count, rounds)
    several = rate(bodies, count, rounds)
    return {
        "plain mapping, spans per CPU second": plain,
        "full mapping, spans per CPU second": full,
        "full to plain": full / plain,
        "every library, bytes per span": sum(map(len, bodies)) / count,
        "every library, plain mapping": several_plain,
        "every library, full mapping": several,
        "every library, full to plain": several / several_plain,
        "every library, full to plain of row 1's spans": several / plain,
    }


if __name__ == "__main__":
    for name, number in run().items():
        print(f"{name:40} {number:12,.2f}")
