"""From a request's bytes to its answer: every request gets one, and counts once."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import duckdb
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from builders import a_request, a_span, attribute
from retraind.clock import ManualClock
from retraind.errors import InvalidPayload, StoreError, StoreFatal, StoreUnavailable
from retraind.model import ExportResult, WriteBatch
from retraind.receive import batches
from retraind.receive.intake import Intake
from retraind.store import writer
from retraind.telemetry import Telemetry
from store_harness import NOW_NS, open_database, query

HOLLOW = b"\x0a\xff\xff\xff\xff\x0f"  # a resource_spans of 4 GiB that is not there


def body(seed: int, **changes: Any) -> bytes:
    span = a_span(seed, start_ns=NOW_NS)
    for name, value in changes.items():
        setattr(span, name, value)
    return a_request([span]).SerializeToString()


class Writer:
    """Holds every commit back until the test ends it. Thread-safe as the real one is."""

    def __init__(self) -> None:
        self.batches: list[tuple[WriteBatch, Future[Any]]] = []
        self.arrived = threading.Semaphore(0)

    def submit(self, batch: WriteBatch) -> Future[Any]:
        future: Future[Any] = Future()
        self.batches.append((batch, future))
        self.arrived.release()
        return future

    async def next(self) -> tuple[WriteBatch, Future[Any]]:
        await asyncio.to_thread(self.arrived.acquire)
        return self.batches.pop(0)


class Ledger:
    def __init__(self) -> None:
        self.known: dict[bytes, ExportResult] = {}

    def lookup(self, digest: bytes) -> ExportResult | None:
        return self.known.get(digest)


class Rig:
    def __init__(self, writer: Any = None, ledger: Any = None) -> None:
        self.writer, self.ledger = writer or Writer(), ledger or Ledger()
        self.telemetry = Telemetry()
        self.intake = Intake(
            writer=self.writer, ledger=self.ledger, attribute_limit=32, telemetry=self.telemetry,
            clock=ManualClock(NOW_NS),
        )  # fmt: skip

    def send(self, body: bytes, signal: Any = "traces", **more: Any) -> asyncio.Task[ExportResult]:
        options = {"encoding": "protobuf", "transport": "grpc"} | more
        return asyncio.create_task(self.intake.export(signal, body, **options))

    def value(self, name: str, **labels: str) -> float:
        found = self.telemetry.registry.get_sample_value(f"retraind_receiver_{name}", labels)
        return found or 0.0


def run(test: Callable[[Rig], Awaitable[None]], **parts: Any) -> None:
    async def whole() -> None:
        rig = Rig(**parts)
        try:
            await asyncio.wait_for(test(rig), 30)
        finally:
            await rig.intake.close()

    asyncio.run(whole())


def test_nothing_is_answered_before_the_commit() -> None:
    async def check(rig: Rig) -> None:
        task = rig.send(body(1))
        batch, commit = await rig.writer.next()
        await asyncio.sleep(0.05)
        assert not task.done()
        assert rig.value("accepted_spans_total", transport="grpc") == 0
        commit.set_result(batch.results)
        assert await task == ExportResult(1)
        assert rig.value("accepted_spans_total", transport="grpc") == 1

    run(check)


def test_a_retry_waits_on_the_commit_of_the_first_and_counts_as_a_duplicate() -> None:
    async def check(rig: Rig) -> None:
        first = rig.send(body(1))
        batch, commit = await rig.writer.next()
        second = rig.send(body(1))
        await asyncio.sleep(0.05)
        assert not second.done()
        assert rig.writer.batches == []
        commit.set_result(batch.results)
        assert (await first, await second) == (ExportResult(1), ExportResult(1, duplicate=True))
        assert rig.value("accepted_spans_total", transport="grpc") == 1
        assert rig.value("duplicate_spans_total") == 1

    run(check)


def test_after_a_failed_commit_the_request_may_come_again() -> None:
    async def check(rig: Rig) -> None:
        tasks = [rig.send(body(1)), rig.send(body(1))]
        batch, commit = await rig.writer.next()
        await asyncio.sleep(0.05)
        commit.set_exception(StoreUnavailable("disk full"))
        errors = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(error) for error in errors] == [StoreUnavailable] * 2
        assert errors[0] is not errors[1]  # each caller raises, and so grows, one of its own
        again = rig.send(body(1))
        batch, commit = await rig.writer.next()
        commit.set_result(batch.results)
        assert await again == ExportResult(1)
        assert rig.value("accepted_spans_total", transport="grpc") == 1

    run(check)


def test_a_fatal_error_reaches_the_caller_as_such() -> None:
    async def check(rig: Rig) -> None:
        task = rig.send(body(1))
        (await rig.writer.next())[1].set_exception(StoreFatal("gone"))
        with pytest.raises(StoreFatal):
            await task

    run(check)


def test_a_request_in_the_ledger_is_answered_without_the_writer() -> None:
    async def check(rig: Rig) -> None:
        first = rig.send(body(1))
        batch, commit = await rig.writer.next()
        rig.ledger.known[batch.digests[0]] = batch.results[0]
        commit.set_result(batch.results)
        await first
        assert (await rig.send(body(1))).duplicate
        assert rig.writer.batches == []

    run(check)


def test_a_caller_that_leaves_neither_stops_the_commit_nor_escapes_the_count() -> None:
    async def check(rig: Rig) -> None:
        leaver, stayer = rig.send(body(1)), rig.send(body(2))
        committed = 0
        while committed < 2:
            batch, commit = await rig.writer.next()
            leaver.cancel()
            await asyncio.sleep(0)
            commit.set_result(batch.results)
            committed += len(batch.results)
        assert await stayer == ExportResult(1)
        with pytest.raises(asyncio.CancelledError):
            await leaver
        assert rig.value("accepted_spans_total", transport="grpc") == 2

    run(check)


def test_an_undecodable_request_costs_its_neighbours_nothing() -> None:
    async def check(rig: Rig) -> None:
        tasks = [rig.send(each) for each in (body(1), HOLLOW, body(2))]
        stored = quarantined = 0
        while stored < 2 or not quarantined:
            batch, commit = await rig.writer.next()
            if batch.quarantine is not None:
                (row,) = batch.quarantine.to_pylist()
                assert (row["reason"], row["payload"]) == ("undecodable", HOLLOW)
                quarantined += 1
            stored += len(batch.results)
            commit.set_result(batch.results)
        assert [await tasks[0], await tasks[2]] == [ExportResult(1)] * 2
        with pytest.raises(InvalidPayload):
            await tasks[1]

    run(check)


@pytest.mark.parametrize(
    ("bug", "answer"),
    [(ZeroDivisionError("secret"), InvalidPayload), (MemoryError(), StoreUnavailable)],
)
@pytest.mark.parametrize("where", ["decode", "to_wire"])
def test_a_bug_answers_its_request_and_the_thread_goes_on(
    monkeypatch: pytest.MonkeyPatch, bug: Exception, answer: type[Exception], where: str
) -> None:
    async def check(rig: Rig) -> None:
        def broken(*_: Any, **__: Any) -> Any:
            raise bug

        with monkeypatch.context() as patch:
            patch.setattr(batches, where, broken)
            with pytest.raises(answer) as caught:
                await rig.send(body(1))
            assert "secret" not in str(caught.value)
        if answer is InvalidPayload:
            await rig.writer.next()  # its quarantine row
        task = rig.send(body(1))
        batch, commit = await rig.writer.next()
        commit.set_result(batch.results)
        assert await task == ExportResult(1)

    run(check)


def test_a_broken_store_leaves_no_request_without_answer() -> None:
    class Broken(Writer):
        def submit(self, batch: WriteBatch) -> Future[Any]:  # noqa: ARG002
            raise RuntimeError("no thread")

    async def check(rig: Rig) -> None:
        for each in (body(1), HOLLOW, body(1)):
            with pytest.raises((StoreError, InvalidPayload)):
                await rig.send(each)

    run(check, writer=Broken())


def test_closing_answers_what_is_queued_and_refuses_what_comes_later() -> None:
    async def check(rig: Rig) -> None:
        task = rig.send(body(1))
        await asyncio.sleep(0)
        await rig.intake.close()
        batch, commit = await rig.writer.next()
        commit.set_result(batch.results)
        assert await task == ExportResult(1)
        with pytest.raises(StoreUnavailable):
            await rig.send(body(2))

    run(check)


def test_a_refused_body_is_let_go_even_while_its_error_is_kept() -> None:
    async def check(rig: Rig) -> None:
        bodies = [body(1), bytes(bytearray(HOLLOW))]
        before = [sys.getrefcount(each) for each in bodies]
        errors = []
        for each in bodies:
            task = rig.send(each)
            _, commit = await rig.writer.next()
            commit.set_exception(StoreUnavailable("disk full"))
            errors += await asyncio.gather(task, return_exceptions=True)
            del task, commit, _
        del each
        await asyncio.sleep(0.1)
        assert [type(error) for error in errors] == [StoreUnavailable, InvalidPayload]
        assert [sys.getrefcount(each) for each in bodies] == before

    gc.disable()  # cycles would be found too late under load
    try:
        run(check)
    finally:
        gc.enable()


def test_rejected_spans_and_records_are_named_counted_and_kept(tmp_path: Path) -> None:
    logs = ExportLogsServiceRequest()
    records = logs.resource_logs.add().scope_logs.add().log_records
    for name in ("gen_ai.user.message", "gen_ai.choice", "app.other"):
        record = records.add(event_name=name, time_unix_nano=NOW_NS)
        record.body.string_value = "hello"
    broken = records[1].attributes.add(key="nested")
    broken.value.array_value.values.add().string_value = "x"
    damaged = logs.SerializeToString().replace(b"\x0a\x03\x0a\x01x", b"\x0a\x03\x0a\x09x")
    database = open_database(tmp_path)

    async def check(rig: Rig) -> None:
        span = a_span(1, start_ns=NOW_NS)
        bad = a_span(2, start_ns=NOW_NS)
        bad.trace_id = b"short"
        request = a_request([span, bad]).SerializeToString()
        for _ in range(2):
            answer = await rig.send(request)
            assert (answer.accepted, answer.rejected) == (1, 1)
            assert answer.message == "1 spans rejected: invalid_trace_id"
        answer = await rig.send(damaged, "logs")
        assert (answer.accepted, answer.rejected) == (1, 1)
        assert answer.message == "1 log records rejected: encoding"
        assert rig.value("rejected_spans_total", reason="invalid_trace_id") == 1
        assert rig.value("rejected_log_records_total", reason="encoding") == 1
        assert rig.value("dropped_log_records_total") == 1
        assert rig.value("duplicate_spans_total") == 1

    run(check, writer=database.writer, ledger=database.ledger)
    found = query(database, "select signal, reason from quarantine order by signal")
    assert found == [("logs", "encoding"), ("traces", "invalid_trace_id")]
    database.close()


def test_a_request_whose_commit_fails_counts_once_it_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine's own error at COMMIT, twice; the client sends again until it is acknowledged."""
    database = open_database(tmp_path, quarantine_rows=1)
    span, *bad = [a_span(seed, start_ns=NOW_NS, name="plain text") for seed in range(3)]
    for each in bad:
        each.trace_id = b"short"
    span.attributes.extend([attribute("key", "once"), attribute("key", "twice")])
    span.dropped_attributes_count = 2
    request = a_request([span, *bad]).SerializeToString().replace(b"plain text", b"plain\xfftext")
    original, failures = writer.run, iter([True, True])

    def run_or_fail(cursor: Any, sql: str, parameters: Any = None) -> Any:
        if sql == "COMMIT" and next(failures, False):
            raise duckdb.IOException("simulated: no space left on device")
        return original(cursor, sql, parameters)

    def counted(rig: Rig) -> list[float]:
        store = database.writer._telemetry.registry.get_sample_value
        return [
            rig.value("accepted_spans_total", transport="grpc"),
            rig.value("rejected_spans_total", reason="invalid_trace_id"),
            rig.value("duplicate_attributes_total"),
            store("retraind_quarantined_items_total") or 0.0,
            store("retraind_quarantine_overflow_total") or 0.0,
            float(rig.value("repaired_strings_total") > 0),
            rig.value("incomplete_spans_total", convention="otel_genai"),
        ]

    async def check(rig: Rig) -> None:
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await rig.send(request)
            assert counted(rig) == [0, 0, 0, 0, 0, 0, 0]
        answer = await rig.send(request)
        assert (answer.accepted, answer.rejected, answer.duplicate) == (1, 2, False)
        assert counted(rig) == [1, 2, 1, 1, 1, 1, 1]
        assert (await rig.send(request)).duplicate
        assert counted(rig) == [1, 2, 1, 1, 1, 1, 1]

    monkeypatch.setattr(writer, "run", run_or_fail)
    run(check, writer=database.writer, ledger=database.ledger)
    database.close()


def test_attributes_over_the_limit_reject_the_span_alone() -> None:
    span = a_span(1, start_ns=NOW_NS)
    span.attributes.extend(attribute(f"k{i}", i) for i in range(40))
    payload = a_request([span, a_span(2, start_ns=NOW_NS)]).SerializeToString()
    decoded = batches.decode("traces", [payload], [b"d"], received_at_ns=NOW_NS, attribute_limit=32)
    assert decoded.batch.results == [ExportResult(1, 1, "1 spans rejected: attribute_limit")]
    assert decoded.rejections[0] == {"attribute_limit": 1}
