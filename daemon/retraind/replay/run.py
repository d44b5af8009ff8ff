"""The evaluation of a daemon, over stored rows and on a state of its own.

Two ways to read the past. A plain replay reads every row that there is now, hour by hour of event
time: what would be decided with all that is known. One *as of* a time takes in the rows in the
order and at the moments in which the daemon had read them when it decided, and so repeats its
decisions, those that later rows would have changed included. Neither looks at the clock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from retraind.config.settings import Config
from retraind.errors import QueryError
from retraind.evaluate.evaluator import Stages, build_stages
from retraind.evaluate.inputs import CONTEXT_NS
from retraind.evaluate.memory import Memory, Source, SourceState
from retraind.evaluate.references import write_references
from retraind.evaluate.tidy import KEPT_NS
from retraind.model import HOUR_NS
from retraind.replay import history
from retraind.replay.history import Pin, Tick
from retraind.replay.seed import Begun, seed
from retraind.store.recorded import Recorded
from retraind.store.rows import StoredRows
from retraind.store.state import State
from retraind.telemetry import Telemetry
from retraind.window.watermark import SourceClock

CHUNK_NS = 24 * HOUR_NS
"""Event time whose panes are built before its windows are tested: bounds what is read at once."""

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class AsOf:
    """Up to where rows had been read: a wall time or a seq, one of them."""

    now_ns: int | None = None
    seq: int | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """What a replay has done. Its decisions are in the state that it was given.

    `end_ns`: up to which event time panes were closed, in at least one source. `until_ns`: the wall
    time up to which the daemon's decisions compare, None for all. `unpinned`: references that
    people pinned at a later time than that of any window.
    """

    begin_ns: int
    end_ns: int
    through_seq: int
    until_ns: int | None
    begun: list[Begun]
    unpinned: int
    digest: str


class Replayer:
    """Replays a recorded folder with other settings on an empty `state`."""

    def __init__(self, recorded: Recorded, state: State, config: Config) -> None:
        self._recorded = recorded
        self._state = state
        # Nothing is delivered: without destinations no row of the outbox is ever written.
        self._config = config.model_copy(update={"destinations": ()})
        self._newest = 0
        self._rows = StoredRows(recorded.reader, lambda: self._newest)
        self._stages: Stages = build_stages(self._rows, state, self._config, Telemetry())
        self._pins = history.pins_of_people(recorded.state)
        self._begin_ns = history.complete_from(recorded.state, CONTEXT_NS)

    def plain(self, last_ns: int, on_progress: OnProgress, *, chunk_ns: int = CHUNK_NS) -> Run:
        """Decide with every row there is now, about windows that end by `last_ns`."""
        through = self._newest = self._readable()
        memory, begun = self._seed(now_ns=self._begin_ns)
        memory.through_seq = through
        spans = self._spans(memory, last_ns)
        if not spans:
            raise QueryError("there is nothing to replay: no hour of any source is closed by then")
        first = min(start for start, _ in spans.values())
        end = max(stop for _, stop in spans.values())
        versions = self._rows.new_versions(0, through)
        at = first
        while at < end:
            until = min(end, (at // chunk_ns + 1) * chunk_ns)
            for source, (start, stop) in sorted(spans.items()):
                low, high = max(at, start), min(until, stop)
                if low < high:
                    self._stages.panes.build_hours(memory, source, low, high, through)
            seen = versions["first_ns"].to_numpy()
            new = (seen < until) & ((seen >= at) | (at == first))
            self._stages.panes.record_deploys(memory, versions.filter(pa.array(new)))
            self._test(memory, spans, until)
            at = until
            on_progress(at - first, end - first)
        return self._done(first, end, through, None, begun)

    def as_of(self, limit: AsOf, on_progress: OnProgress) -> Run:
        """Decide as the daemon did up to then, each window with the rows that it had read."""
        found = self._ticks(limit)
        if not found:
            raise QueryError("nothing had been decided by then; see `retraind status`")
        first_ns = next((tick.now_ns for tick in found if tick.now_ns is not None), 0)
        memory, begun = self._seed(now_ns=first_ns)
        begin = min((state.closed_ns for state in memory.sources.values()), default=0)
        now_ns = 0
        for done, tick in enumerate(found, 1):
            now_ns = max(now_ns, self._time_of(memory.through_seq, tick))
            self._newest = tick.through_seq
            self._stages.panes.bring_up_to_date(memory, now_ns)
            self._pin(memory, now_ns)
            for source in sorted(memory.due):
                self._stages.windows.evaluate_source(memory, source, now_ns)
                memory.due.discard(source)
            on_progress(done, len(found))
        begin = begin or min((each.first_ns for each in memory.series.values()), default=0)
        end = max((state.closed_ns for state in memory.sources.values()), default=0)
        until = limit.now_ns if limit.now_ns is not None else now_ns
        return self._done(begin, end, memory.through_seq, until, begun)

    def _readable(self) -> int:
        if self._recorded.newest_seq == 0:
            raise QueryError("there is nothing to replay: no stored row can be read")
        return self._recorded.newest_seq

    def _seed(self, now_ns: int) -> tuple[Memory, list[Begun]]:
        return seed(self._recorded.state, self._state, self._config, self._begin_ns, now_ns)

    def _done(
        self, begin: int, end: int, through: int, until: int | None, begun: list[Begun]
    ) -> Run:
        rows = self._state.read("window_results").to_pylist()
        digest = hashlib.blake2b(repr(rows).encode(), digest_size=16).hexdigest()
        return Run(begin, end, through, until, begun, len(self._pins), digest)

    # A plain replay

    def _spans(self, memory: Memory, last_ns: int) -> dict[Source, tuple[int, int]]:
        """First and last hour of each source; puts the sources into the memory."""
        closed = history.horizons(self._recorded.state)
        firsts = self._first_panes()
        table = self._recorded.reader.fetch("hours_of_sources", through=self._newest)
        found: dict[Source, tuple[int, int]] = {}
        for row in table.to_pylist():
            source = Source(row["service_name"], row["environment"])
            stop = min(closed.get(source, 0), last_ns // HOUR_NS * HOUR_NS)
            if self._recorded.snapshot is not None:
                # The daemon still writes into this hour, and only it can read what comes after.
                stop = min(stop, row["last_ns"])
            # A clock that once stood at 1970 must not open decades of windows.
            start = firsts.get(source, max(row["first_ns"], stop - KEPT_NS))
            start = max(start, self._begin_ns)
            if start < stop:
                found[source] = start, stop
                memory.sources[source] = SourceState(SourceClock(start, start), start)
        return found

    def _first_panes(self) -> dict[Source, int]:
        """Where the daemon began with each source: windows begin where its own did."""
        first: dict[Source, int] = {}
        for row in self._recorded.state.read("read_series").to_pylist():
            source = Source(row["service_name"], row["environment"])
            first[source] = min(row["first_ns"], first.get(source, row["first_ns"]))
        return first

    def _test(self, memory: Memory, spans: dict[Source, tuple[int, int]], until_ns: int) -> None:
        """Test windows in the order of their end over all sources, however much was built before.

        The threshold of a fail rate depends on how many there are by then: testing source after
        source would let the size of the chunks decide.
        """
        ends = [
            (end, source) for source in spans for end in self._stages.windows.ends(memory, source)
        ]
        for end, source in sorted(ends):
            self._pin(memory, end)
            memory.sources[source].closed_ns = end
            self._stages.windows.evaluate_source(memory, source, end)
        for source, (start, stop) in sorted(spans.items()):
            # As a tick does, also where no window has closed.
            memory.sources[source].closed_ns = closed = max(start, min(until_ns, stop))
            self._stages.windows.evaluate_source(memory, source, closed)

    # As of a time

    def _ticks(self, limit: AsOf) -> Sequence[Tick]:
        """The daemon's ticks up to the limit, as far as their rows can be read."""
        newest = self._readable() if limit.seq is None else min(self._readable(), limit.seq)
        found = history.ticks(self._recorded.state)
        if limit.now_ns is not None:
            by_then = [each.through_seq for each in found if 0 < (each.now_ns or 0) <= limit.now_ns]
            newest = min(newest, max(by_then, default=0))
            found = [each for each in found if (each.now_ns or 0) <= limit.now_ns]
        return [tick for tick in found if tick.through_seq <= newest]

    def _time_of(self, after: int, tick: Tick) -> int:
        """When a tick was: what is recorded, else when the newest of its rows arrived."""
        if tick.now_ns is not None:
            return tick.now_ns
        rows = self._recorded.reader.fetch(
            "arrival_of", after_seq=after, through=tick.through_seq
        )  # fmt: skip
        found: int | None = rows["now_ns"][0].as_py()
        return found or 0

    # References of people

    def _pin(self, memory: Memory, now_ns: int) -> None:
        """Pin what people had pinned by then, of the series that there are."""
        due = [pin for pin in self._pins if pin.created_ns <= now_ns]
        if not due:
            return
        self._pins = [pin for pin in self._pins if pin.created_ns > now_ns]
        with self._state.transaction() as tx:
            for pin in due:
                if self._is_news(memory, pin):
                    new = history.reference_of(
                        self._recorded.state, pin, memory.series[pin.series_id]
                    )
                    write_references(
                        tx, memory, [new], source=pin.source, now_ns=pin.created_ns,
                        actor="replay",
                    )  # fmt: skip

    def _is_news(self, memory: Memory, pin: Pin) -> bool:
        """Whether the series is replayed and had not begun with this reference."""
        series = memory.series.get(pin.series_id)
        if series is None or series.key.monitor not in self._config.monitors_by_name:
            return False
        active = memory.references.get(pin.series_id)
        return active is None or active.reference.id != pin.id
