"""With content dropped, nothing that a fixture's span or log record said is left anywhere."""

from __future__ import annotations

from typing import Literal

import pytest

from corpus.expected import Fixture, fixtures
from retraind.config.settings import Content
from retraind.console.encode import dumps, rows
from retraind.receive import batches
from retraind.redact import Policy, from_settings

GROUPS = ("input", "output", "system", "tools", "documents")
SAID = (
    "capital of France", "21 degrees", "How warm", "You are a geography", "You answer questions",
    "Lyon", "Weather of a city", "Parameter city",
)  # fmt: skip
FIXTURES = fixtures()


def stored(fixture: Fixture, policy: Policy | None) -> str:
    """All rows that come of the fixture, as one text."""
    texts = []
    sent: tuple[tuple[Literal["traces", "logs"], bytes], ...] = (
        ("traces", fixture.traces),
        ("logs", fixture.logs),
    )
    for signal, payload in sent:
        if payload:
            batch = batches.decode(
                signal, [payload], [b"d"], received_at_ns=1, attribute_limit=2000, policy=policy
            ).batch
            tables = (batch.spans, batch.logs, batch.span_details, batch.evaluations)
            texts += [dumps(rows(table)).decode() for table in tables if table is not None]
    return "".join(texts)


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda fixture: fixture.name)
def test_dropped_content_is_nowhere(fixture: Fixture) -> None:
    policy = from_settings(Content(fields=dict.fromkeys(GROUPS, "drop")))
    content = stored(fixture, policy)
    assert [said for said in SAID if said in content] == []


def test_without_a_policy_each_text_is_in_many_rows() -> None:
    kept = [stored(fixture, None) for fixture in FIXTURES]
    rare = [said for said in SAID if sum(said in content for content in kept) < 3]
    assert rare == []
