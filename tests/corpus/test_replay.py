"""Every fixture becomes the expected rows: in process, and through a daemon by gRPC and HTTP."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from acceptance_harness import JSON, LOGS, post
from corpus.comparison import differences, normalised
from corpus.expected import (
    BELONGING,
    COLUMNS,
    EVALUATION_COLUMNS,
    SURROUNDING,
    Fixture,
    fixtures,
)
from corpus.sink import IDENTIFIERS, REQUESTS
from harness import Daemon

FIXTURES = fixtures()
AT_ONCE = 16
SPAN_COLUMNS = ", ".join(["trace_id", "span_id", "norm_source", *sorted(COLUMNS | SURROUNDING)])
RESULT_COLUMNS = ", ".join(["span_id", *sorted(EVALUATION_COLUMNS | BELONGING)])


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda fixture: fixture.name)
def test_a_fixture_gives_the_expected_rows(fixture: Fixture) -> None:
    assert differences(fixture, *normalised(fixture), with_logs=False) == []


def send_by_grpc(daemon: Daemon, fixture: Fixture) -> None:
    daemon.export(fixture.traces)
    if fixture.logs:
        with daemon.channel() as channel:
            channel.unary_unary(LOGS)(fixture.logs, timeout=20)


def send_by_http(daemon: Daemon, fixture: Fixture) -> None:
    """The logs first: the order of arrival must not matter."""
    if fixture.logs:
        assert post(daemon, fixture.logs, path="/v1/logs").status_code == 200
    assert post(daemon, fixture.traces).status_code == 200


def send_as_json(daemon: Daemon, fixture: Fixture) -> None:
    for signal, payload in (("traces", fixture.traces), ("logs", fixture.logs)):
        if payload:
            content = with_hex_ids(MessageToDict(REQUESTS[signal].FromString(payload)))
            body = json.dumps(content).encode()
            assert post(daemon, body, JSON, path=f"/v1/{signal}").status_code == 200


def with_hex_ids(node: Any) -> Any:
    """OTLP's JSON is that of protobuf, but for ids: hexadecimal digits instead of base64."""
    if isinstance(node, list):
        return [with_hex_ids(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: base64.b64decode(value).hex() if key in IDENTIFIERS else with_hex_ids(value)
        for key, value in node.items()
    }


SENDERS = {
    "grpc": (send_by_grpc, 1),
    "http": (send_by_http, AT_ONCE),
    "json": (send_as_json, AT_ONCE),
}


@pytest.fixture(scope="module", params=SENDERS)
def sent_to(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Daemon]:
    """A daemon of its own for each protocol: the second sending would be a duplicate.

    By gRPC each request is alone; by HTTP many come at once, and the daemon takes them together.
    """
    send, at_once = SENDERS[request.param]
    with Daemon(tmp_path_factory.mktemp("corpus") / "data") as daemon:
        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(partial(send, daemon), [each for each in FIXTURES if each.traces]))
        yield daemon


def test_a_daemon_that_received_the_corpus_has_the_expected_rows(sent_to: Daemon) -> None:
    spans = sent_to.sql(f"select {SPAN_COLUMNS} from spans")
    results = sent_to.sql(f"select {RESULT_COLUMNS} from evaluations")
    wrong = []
    for fixture in FIXTURES:
        traces = {found.span.trace_id.hex() for found in fixture.found()}
        wrong += differences(
            fixture,
            [row for row in spans if row["trace_id"] in traces],
            [row for row in results if row["trace_id"] in traces],
            with_logs=True,
        )
    assert wrong == []
