"""What real libraries send: with content dropped, nothing that was said is left anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from retraind.config.settings import Content
from retraind.console.encode import dumps, rows
from retraind.receive import batches
from retraind.redact import Policy, from_settings

CORPUS = Path(__file__).parents[2] / "corpus"
RECORDED = sorted(CORPUS.glob("*/*.pb"))
SAID = (b"capital of France", b"21 degrees")
GROUPS = ("input", "output", "system", "tools", "documents")


def stored(file: Path, policy: Policy | None) -> bytes:
    signal: Literal["traces", "logs"] = "traces" if ".traces." in file.name else "logs"
    batch = batches.decode(
        signal, [file.read_bytes()], [b"d"], received_at_ns=1, attribute_limit=10_000, policy=policy
    ).batch
    tables = (batch.spans, batch.logs, batch.span_details, batch.evaluations)
    return b"".join(dumps(rows(table)) for table in tables if table is not None)


@pytest.mark.parametrize("library", sorted({file.parent.name for file in RECORDED}))
def test_dropped_content_is_nowhere(library: str) -> None:
    policy = from_settings(Content(fields=dict.fromkeys(GROUPS, "drop")))
    for file in RECORDED:
        if file.parent.name == library:
            content = stored(file, policy)
            assert [said for said in SAID if said in content] == [], file.name


def test_without_a_policy_it_is_there() -> None:
    assert sum(any(said in stored(file, None) for said in SAID) for file in RECORDED) > 50
