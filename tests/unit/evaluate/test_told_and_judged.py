"""Log records and evaluations that come before, with or long after the calls they are about."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from builders import HOUR_NS, a_request, a_span, attribute
from evaluate_harness import MONITOR, START_NS, World, a_config, an_hour
from retraind.decode import decode_logs
from retraind.model import ExportResult, WriteBatch
from retraind.normalise import normalise_logs
from store_harness import commit
from window_oracle import log_bucket

Make = Callable[..., World]
MINUTE_NS = 60_000_000_000
CONFIG = a_config(
    MONITOR | {"features": ["input_length", "output_length", "finish_reason", "input_tokens"]}
)
SERVICE = {"service": "judged"}


def a_call(number: int, hour: float, **attributes: object) -> Span:
    """A call without content, in a trace of its own."""
    return a_span(
        number,
        start_ns=START_NS + int(hour * HOUR_NS),
        trace_id=random.Random(number).randbytes(16),
        attributes={"gen_ai.response.model": "v1", **attributes},
    )


def a_result(
    call: Span | None, hour: float, score: float, name: str = "grounded", **more: object
) -> LogRecord:
    record = LogRecord(event_name="gen_ai.evaluation.result", time_unix_nano=at(hour))
    if call is not None:
        record.trace_id, record.span_id = call.trace_id, call.span_id
    fields = {"gen_ai.evaluation.name": name, "gen_ai.evaluation.score.value": score, **more}
    record.attributes.extend(attribute(key, value) for key, value in fields.items())
    return record


def at(hour: float) -> int:
    return START_NS + int(hour * HOUR_NS)


def a_message(call: Span, name: str, content: str, **fields: object) -> LogRecord:
    record = LogRecord(
        event_name=name,
        time_unix_nano=call.start_time_unix_nano + MINUTE_NS,
        trace_id=call.trace_id,
        span_id=call.span_id,
    )
    message = {"content": content}
    if name == "gen_ai.choice":
        inner = record.body.kvlist_value.values.add(key="message").value.kvlist_value
        inner.values.append(attribute("content", content))
        message = {}
    record.body.kvlist_value.values.extend(
        attribute(key, value) for key, value in {**message, **fields}.items()
    )
    return record


def send_logs(world: World, *records: LogRecord) -> None:
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.extend(records)
    body = request.SerializeToString()
    rows = normalise_logs(decode_logs([body]))
    (result,) = commit(
        world.database,
        WriteBatch(
            signal="logs",
            received_at_ns=world.clock.now_ns(),
            digests=[hashlib.blake2b(body, digest_size=16).digest()],
            results=[ExportResult(len(rows.logs))],
            logs=rows.logs,
            log_request=rows.log_request,
            evaluations=rows.evaluations,
            evaluation_request=rows.evaluation_request,
            span_details=rows.details,
            span_detail_request=rows.detail_request,
        ),
    )
    assert isinstance(result, ExportResult)


def until(world: World, hour: int) -> None:
    """Other calls of the same service move its clock, so that all hours before this one close."""
    rng = random.Random(hour)
    spans = [
        a_span(rng, start_ns=START_NS + hour * HOUR_NS + minute * MINUTE_NS,
               attributes={"gen_ai.request.model": "other"})
        for minute in range(3)
    ]  # fmt: skip
    world.send(a_request(spans, **SERVICE))
    world.tick()


def panes(world: World, *features: str) -> list[tuple[Any, ...]]:
    """(hour, feature, kind, and the counts) of the panes of the judged model."""
    rows = world.rows(
        "select epoch_ns(p.pane_start) as at, p.* from panes p join series s on p.series_id = s.id "
        "where s.model = 'gpt-4o' order by 1, p.feature, p.kind"
    )
    return [
        ((row["at"] - START_NS) // HOUR_NS, row["feature"], row["kind"], row["sessions"],
         row["missing"], row["results"], row["failures"], row["categories"], row["buckets"])
        for row in rows if not features or row["feature"] in features
    ]  # fmt: skip


def rates(world: World) -> list[tuple[int, int, int]]:
    """(hour, results, failures) of the eval."""
    found = panes(world, "grounded")
    return [(row[0], row[5], row[6]) for row in found if row[2] == "rate"]


def test_a_result_hours_after_its_call_counts_in_its_own_hour(make_world: Make) -> None:
    world = make_world(CONFIG)
    call = a_call(1, 0.5)
    world.send(a_request([call], **SERVICE))
    until(world, 4)
    assert rates(world) == []
    send_logs(world, a_result(call, 6.5, 0.1))
    until(world, 9)
    assert rates(world) == [(6, 1, 1)]


def test_a_result_that_comes_after_its_hour_has_closed_is_counted(make_world: Make) -> None:
    world = make_world(CONFIG)
    call = a_call(1, 0.5)
    world.send(a_request([call], **SERVICE))
    until(world, 9)
    send_logs(world, a_result(call, 1.5, 0.9), a_result(call, 6.5, 0.1))
    world.tick()
    assert rates(world) == [(1, 1, 0), (6, 1, 1)]


def test_a_result_waits_for_a_call_that_comes_hours_later(make_world: Make) -> None:
    world = make_world(CONFIG)
    call = a_call(1, 0.5)
    send_logs(world, a_result(call, 5.5, 0.1))
    until(world, 0)
    until(world, 8)
    assert rates(world) == []
    world.restart()
    world.send(a_request([call], **SERVICE))
    world.tick()
    assert rates(world) == [(5, 1, 1)]


@pytest.mark.parametrize("first", ["call", "result"])
def test_a_result_finds_its_call_by_response_id(make_world: Make, first: str) -> None:
    world = make_world(CONFIG)
    call = a_call(1, 0.5, **{"gen_ai.response.id": "chatcmpl-1"})
    sends = [
        lambda: world.send(a_request([call], **SERVICE)),
        lambda: send_logs(
            world, a_result(None, 3.5, 0.1, **{"gen_ai.response.id": "chatcmpl-1"})
        ),
    ]  # fmt: skip
    for number, send in enumerate(sends if first == "call" else sends[::-1]):
        send()
        until(world, 6 + number)
    assert rates(world) == [(3, 1, 1)]


def test_content_of_log_records_is_in_the_panes_whenever_it_comes(make_world: Make) -> None:
    world = make_world(CONFIG)
    call = a_call(1, 0.5)
    world.send(a_request([call], **SERVICE))
    until(world, 3)
    missing = {row[1]: row[4] for row in panes(world)}
    assert missing["input_length"] == missing["output_length"] == missing["finish_reason"] == 1
    send_logs(
        world, a_message(call, "gen_ai.user.message", "x" * 40),
        a_message(call, "gen_ai.choice", "y" * 7, finish_reason="length"),
    )  # fmt: skip
    world.restart()
    world.tick()
    told = {row[1]: row for row in panes(world)}
    assert told["input_length"][8] == [log_bucket(40)]
    assert told["output_length"][8] == [log_bucket(7)]
    assert told["finish_reason"][7] == ["length"]


def test_any_order_of_arrival_gives_the_same_panes(make_world: Make) -> None:
    """A span, its content, its evaluation twice (log and event), and feedback of an hour later."""
    call = a_call(1, 0.5)
    judged = a_span(
        2, start_ns=at(0.75), trace_id=call.trace_id, parent=call.span_id,
        name="judge", attributes={"gen_ai.operation.name": "invoke_agent"},
        evaluations=[("grounded", 0.1, "")],
    )  # fmt: skip
    same = a_result(judged, 0.75, 0.1)
    content = a_message(call, "gen_ai.user.message", "hello")
    feedback = a_result(call, 2.5, 0.0, "thumbs", **{"gen_ai.evaluation.score.label": "fail"})

    def steps(world: World) -> Sequence[Callable[[], None]]:
        return (
            lambda: world.send(a_request([call], **SERVICE)),
            lambda: world.send(a_request([judged], **SERVICE)),
            lambda: send_logs(world, same, content),
            lambda: send_logs(world, feedback),
        )

    def told(order: Sequence[int], *, late: bool) -> Any:
        world = make_world(CONFIG)
        for number, step in enumerate(order):
            steps(world)[step]()
            if late:
                until(world, 4 + number)
                world.restart()
        for number in range(0 if late else 4):
            until(world, 4 + number)
        return panes(world)

    expected = told((0, 1, 2, 3), late=False)
    assert [(r[0], r[1], r[2], r[5], r[6]) for r in expected if r[2] == "rate"] == [
        (0, "grounded", "rate", 1, 1), (0, "thumbs", "rate", 1, 1),
    ]  # fmt: skip
    for order in ((3, 2, 1, 0), (2, 0, 3, 1), (1, 3, 0, 2), (0, 3, 2, 1)):
        assert told(order, late=True) == expected, order


def test_offline_and_shadow_results_never_enter_production_rates(make_world: Make) -> None:
    world = make_world(CONFIG)
    call = a_call(1, 0.5)
    offline = a_call(2, 0.5, **{"retraind.run_id": "run-1"})
    shadow = a_call(3, 0.5, **{"retraind.variant": "shadow"})
    case = a_span(
        4, start_ns=at(0.4), trace_id=random.Random(5).randbytes(16), name="case: {case_name}",
        attributes={
            "gen_ai.operation.name": None, "task_duration": 0.5,
            "assertions": '{"grounded": {"name": "grounded", "value": false}}',
        },
    )  # fmt: skip
    within = a_span(
        5, start_ns=at(0.5), trace_id=case.trace_id, parent=case.span_id,
        attributes={"gen_ai.response.model": "v1"},
    )  # fmt: skip
    world.send(a_request([call, offline, shadow, case, within], **SERVICE))
    send_logs(
        world, a_result(call, 0.6, 0.9), a_result(offline, 0.6, 0.1), a_result(shadow, 0.6, 0.1),
        a_result(call, 0.6, 0.1, **{"retraind.run_id": "run-2"}),
        a_result(call, 0.6, 0.1, **{"retraind.variant": "candidate"}),
        a_result(call, 0.6, 0.1, **{"error.type": "timeout"}),
    )  # fmt: skip
    until(world, 3)
    assert rates(world) == [(0, 1, 0)]


def test_results_in_a_calm_stream_do_not_build_a_pane_twice(make_world: Make) -> None:
    world = make_world(a_config())
    for hour in range(5):
        world.send(an_hour(hour, failing=0.1))
        world.tick()
    assert world.value("late_panes_total") == 0
