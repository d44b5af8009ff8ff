"""Replays of a folder that real ticks have filled: what they repeat, and what they say of it."""

from __future__ import annotations

import hashlib
import json
import random
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from builders import HOUR_NS, a_request, a_span
from evaluate_harness import MONITOR, START_NS, World, a_config, an_hour
from harness import eventually
from retraind.cli import run as run_command
from retraind.config.settings import Config, Store
from retraind.console.daemon import PinReference
from retraind.errors import StartError
from retraind.evaluate.memory import load
from retraind.evaluate.mutes import mute
from retraind.pin import accept, pin
from retraind.policy.mutes import MuteRequest
from retraind.replay import history
from retraind.replay.compare import Comparison, compare
from retraind.replay.run import CHUNK_NS, AsOf, Replayer, Run
from retraind.store.recorded import open_recorded, scratch_state
from retraind.store.state import State
from retraind.webhook import outbox

EAGER = MONITOR | {"policy": {"any": ["drift", "eval_fail_rate"], "cooldown": "2h"}}
ALL = AsOf(now_ns=2**62)
FIRST, LAST = 0, 2**62


def story() -> list[Any]:
    """Four calm hours, an hour of failing answers, then other questions, too."""
    calm = [an_hour(hour, failing=0.04) for hour in range(6)]
    failing = [an_hour(hour, failing=0.3) for hour in range(6, 8)]
    return [*calm, *failing, *(an_hour(hour, failing=0.6, shifted=True) for hour in range(8, 13))]


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Plays requests, a tick after each, and stops: the folder that is left."""

    def recorded(
        requests: Iterable[Any], config: Config | None = None, *, together: int = 1
    ) -> Path:
        folder = tmp_path_factory.mktemp("recorded") / "data"
        world = World(folder, config or a_config(EAGER))
        waiting = list(requests)
        while waiting:
            world.clock.advance(seconds=5)
            world.send(*waiting[:together])
            del waiting[:together]
            world.clock.advance(seconds=5)
            world.tick()
        world.close()
        return folder

    return recorded


class Replayed:
    """A replay that is still open."""

    def __init__(self, recorded: State, state: State, done: Run) -> None:
        self.recorded, self.state, self.run = recorded, state, done

    def compared(self, first_ns: int = FIRST, last_ns: int = LAST) -> Comparison:
        return compare(self.recorded, self.state, self.run, first_ns, last_ns)


@contextmanager
def replayed(
    folder: Path, config: Config | None = None, *, as_of: AsOf | None = None,
    last_ns: int = LAST, chunk_ns: int = CHUNK_NS,
) -> Iterator[Replayed]:  # fmt: skip
    with (
        tempfile.TemporaryDirectory() as scratch,
        open_recorded(folder, Path(scratch) / "a") as recorded,
        scratch_state(Path(scratch) / "b") as state,
    ):
        replayer = Replayer(recorded, state, config or a_config(EAGER))
        if as_of is not None:
            done = replayer.as_of(as_of, lambda *_: None)
        else:
            done = replayer.plain(last_ns, lambda *_: None, chunk_ns=chunk_ns)
        yield Replayed(recorded.state, state, done)


def results(state: State) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = state.read("window_results").to_pylist()
    return rows


@pytest.fixture(scope="module")
def told(record: Any) -> Path:
    """The folder of the story."""
    folder: Path = record(story())
    return folder


def state_of(folder: Path) -> dict[str, tuple[int, str]]:
    """Contents and times of everything in a folder."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder",
        )
        for path in folder.rglob("*")
    }


def test_the_same_settings_decide_the_same(record: Any) -> None:
    folder = record(story(), together=2)
    for as_of in (None, ALL):
        with replayed(folder, as_of=as_of) as found:
            assert results(found.state) == results(found.recorded)
            assert history.fired(found.state, FIRST, LAST) == history.fired(
                found.recorded, FIRST, LAST
            )
            comparison = found.compared()
            assert {row.side for row in comparison.rows} == {"both"}
            assert len(comparison.rows) >= 1
            assert comparison.alike == len(results(found.recorded)) > 20
            assert (comparison.later, comparison.verdicts, comparison.differs) == (0, 0, False)
            assert all(each.rebuilt for each in found.run.begun)


def tried(**detector: Any) -> Config:
    return a_config(EAGER | {"detector": detector})


def test_a_higher_threshold_fires_nothing_and_a_lower_one_earlier(record: Any) -> None:
    """Three in ten fail from hour 6 on, and more than half from hour 8 on."""
    patient, deaf = {"fail_rate_tolerance": 0.4}, {"fail_rate_tolerance": 0.9}
    folder = record(story(), tried(bands={"investigate": 90, "retrain": 99}, **patient))
    with replayed(folder, tried(bands={"investigate": 90, "retrain": 99}, **deaf)) as found:
        (before,) = found.compared().rows
        assert before.side == "only recorded"
        assert before.fired.at_ns > START_NS + 8 * HOUR_NS
        assert found.compared().differs
    with replayed(folder, tried(bands={"investigate": 90, "retrain": 99})) as found:
        after, again = found.compared().rows
        assert (after.side, again.side) == ("only replayed", "only recorded")
        assert START_NS + 6 * HOUR_NS < after.fired.at_ns <= START_NS + 8 * HOUR_NS
        assert after.fired.reasons == ("eval_fail_rate",)
        assert after.fired.features == ("grounded",)


def test_nothing_is_delivered(record: Any) -> None:
    hook = {"name": "hook", "url": "http://127.0.0.1:1/"}
    folder = record(story(), a_config(EAGER, destinations=[hook]))
    with replayed(folder, a_config(EAGER, destinations=[hook])) as found:
        assert history.fired(found.state, FIRST, LAST)
        assert len(outbox.listing(found.recorded, limit=9)) >= 1
        assert outbox.listing(found.state, limit=9) == []


def late_story() -> list[Any]:
    """Of an hour that failed only its good half came in time, of another only its bad half."""
    rng = random.Random(5)

    def some(hour: int, failing: bool, sessions: int) -> Any:
        score = 0.0 if failing else 1.0
        return a_request([
            a_span(rng, start_ns=START_NS + hour * HOUR_NS + i,
                   evaluations=[("grounded", score, "")],
                   attributes={"gen_ai.response.model": "v1", "app.intent": "ask"})
            for i in range(sessions)
        ])  # fmt: skip

    calm = [an_hour(hour, failing=0.04) for hour in range(6)]
    bad = [some(6, True, 45), some(7, False, 45), some(8, False, 45)]
    late = [some(6, False, 4000)]
    return [*calm, *bad, an_hour(9, failing=0.04), *late, an_hour(10, failing=0.04)]


def test_rows_that_came_later_are_left_out_as_of_then_and_said_without(record: Any) -> None:
    rates_only = a_config(MONITOR | {"policy": {"any": ["eval_fail_rate"]}})
    folder = record(late_story(), rates_only)
    with replayed(folder, rates_only, as_of=ALL) as found:
        assert results(found.state) == results(found.recorded)
        assert not found.compared().differs
        assert found.compared().later == 0
    with replayed(folder, rates_only) as found:
        comparison = found.compared()
        assert [row.side for row in comparison.rows] == ["only recorded"]
        (rate,) = [row for row in comparison.windows if row.recorded == "alarm"]
        assert rate.feature == "grounded"
        assert rate.replayed != "alarm"
        assert rate.start_ns == START_NS + 6 * HOUR_NS
        assert (rate.sessions_recorded, rate.sessions_replayed) == (45, 4045)
        assert comparison.later >= len(comparison.windows)


def test_as_of_a_seq_or_a_time_knows_nothing_of_what_came_after(told: Path) -> None:
    with replayed(told, as_of=ALL) as found:
        triggers = found.recorded.read("recorded_triggers", first=FIRST, last=LAST).to_pylist()
        windows = found.recorded.read("recorded_windows", first=FIRST, last=LAST).to_pylist()
        ticks = history.ticks(found.recorded)
    first = triggers[0]
    (at,) = (tick for tick in ticks if tick.now_ns == first["created_ns"])
    then = sum(row["through_seq"] <= at.through_seq for row in windows)
    for limit in (AsOf(now_ns=first["created_ns"]), AsOf(seq=at.through_seq)):
        with replayed(told, as_of=limit) as found:
            fired = history.fired(found.state, FIRST, LAST)
            assert [each.id for each in fired] == [first["id"]]
            assert found.run.through_seq == at.through_seq
            comparison = found.compared()
            assert comparison.alike == len(results(found.state)) == then < len(windows)
            assert (comparison.later, comparison.verdicts, comparison.differs) == (0, 0, False)
    with replayed(told, as_of=AsOf(seq=at.through_seq - 1)) as found:
        assert history.fired(found.state, FIRST, LAST) == []


def test_the_same_input_gives_the_same_bits(record: Any) -> None:
    """Run twice, read in other pieces, or stored in other batches."""
    digests = set()
    for together, chunks in ((1, (HOUR_NS, 5 * HOUR_NS, CHUNK_NS, CHUNK_NS)), (20, (CHUNK_NS,))):
        folder = record(story(), together=together)
        for chunk_ns in chunks:
            with replayed(folder, chunk_ns=chunk_ns) as found:
                digests.add((found.run.digest, str(history.fired(found.state, FIRST, LAST))))
    assert len(digests) == 1


def test_several_sources_are_tested_in_order_of_time_however_they_are_read(record: Any) -> None:
    """The threshold of a fail rate depends on how many fail rates there are by then."""
    requests = [
        an_hour(hour, failing=0.04 if hour < 6 else 0.12, service=service)
        for hour in range(12)
        for service in ("a", "b", "c")
        if service == "a" or hour > 3
    ]
    folder = record(requests, together=3)
    digests = set()
    for chunk_ns in (HOUR_NS, 10 * CHUNK_NS):
        with replayed(folder, chunk_ns=chunk_ns) as found:
            digests.add(found.run.digest)
            assert {row["series_id"] for row in results(found.state)} == {
                row["series_id"] for row in results(found.recorded)
            }
    assert len(digests) == 1


def test_from_and_to_cut_what_is_shown(record: Any) -> None:
    """One service begins to fail at hour 5, the other at hour 8."""
    folder = record([
        an_hour(hour, failing=0.04 if hour < since else 0.6, service=service)
        for hour in range(11)
        for service, since in (("a", 5), ("b", 8))
    ], together=2)  # fmt: skip
    with replayed(folder) as found:
        times = [row.fired.at_ns for row in found.compared().rows]
        assert len(times) >= 2
        assert [row.fired.at_ns for row in found.compared(times[0] + 1).rows] == times[1:]
        assert [row.fired.at_ns for row in found.compared(0, times[1]).rows] == times[:1]
    with replayed(folder, last_ns=times[0]) as found:
        # The replay ends there, so what fired later is neither repeated nor missed.
        assert found.run.end_ns == times[0]
        assert [row.side for row in found.compared().rows] == ["both"]


def cli(*args: object) -> int:
    return run_command(["replay", *map(str, args)])


def written(folder: Path, *monitors: dict[str, Any]) -> Path:
    path = folder / "new.yaml"
    path.write_text(yaml.safe_dump({"monitors": list(monitors)}))
    return path


def test_the_command_prints_both_sides_and_changes_nothing(
    told: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = state_of(told)
    assert any(name.endswith(".wal") for name in before), "a log that must stay as it is"
    same = written(tmp_path, EAGER)
    assert cli("--config", same, "--data", told, "--json") == 0
    body = json.loads(capsys.readouterr().out)
    (trigger,) = body["triggers"]
    assert (trigger["side"], trigger["reasons"]) == ("both", ["eval_fail_rate"])
    assert body["series"][0]["reference"] == "rebuilt"
    assert body["snapshot"] is None
    assert cli("--config", same, "--data", told, "--as-of", "2100-01-01") == 0
    text = capsys.readouterr().out
    assert text.count(trigger["id"]) == 2
    assert "1 triggers on both sides" in text
    deaf = EAGER | {"policy": {"any": ["golden_drop"]}}
    assert cli("--config", written(tmp_path, deaf), "--data", told) == 1
    assert "1 only recorded" in capsys.readouterr().out
    assert state_of(told) == before


def test_what_keeps_it_from_running_is_said_with_2(
    told: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same = written(tmp_path, EAGER)
    assert cli("--config", same, "--data", tmp_path) == 2
    assert "is not a data folder" in capsys.readouterr().err
    assert cli("--config", same, "--data", told, "--from", "yesterday") == 2
    assert "2026-10-01T12:00Z" in capsys.readouterr().err
    assert cli("--config", same, "--data", told, "--to", "2001-01-01") == 2
    assert "no hour of any source is closed" in capsys.readouterr().err
    assert cli("--config", same, "--data", told, "--as-of", "2001-01-01") == 2
    assert "nothing had been decided by then" in capsys.readouterr().err
    assert cli("--config", written(tmp_path, {"name": "m", "windows": {}}), "--data", told) == 2
    assert "new.yaml:" in capsys.readouterr().err


def test_no_daemon_can_start_meanwhile(told: Path) -> None:
    with replayed(told), pytest.raises(StartError, match="owns"):
        World(told)


def test_a_history_without_its_beginning_goes_on_with_the_reference_of_then(
    tmp_path: Path,
) -> None:
    """The first five hours are deleted; panes of the two hours after them lack their context."""
    world = World(tmp_path / "data", a_config(EAGER))
    kept, tiny = Store(min_free_bytes=0), Store(min_free_bytes=0, segment_bytes=1)
    for hour, request in enumerate(story()):
        world.database.configure(tiny if hour == 4 else kept)
        world.clock.advance(seconds=5)
        world.send(request)
        world.tick()
    (pinned,) = world.rows('select id from "references"')
    eventually(lambda: [s for s in world.database.segments.all() if s.status == "sealed"])
    world.database.configure(Store(min_free_bytes=0, segment_bytes=1, retention_bytes=1))
    assert len(world.database.retention.apply()) == 1
    world.close()
    for as_of in (None, ALL):
        with replayed(tmp_path / "data", as_of=as_of) as found:
            (begun,) = found.run.begun
            assert not begun.rebuilt
            assert begun.reference_id == pinned["id"]
            assert begun.begin_ns == found.run.begin_ns == START_NS + 7 * HOUR_NS
            before = {_drift(row) for row in results(found.recorded)}
            after = {_drift(row) for row in results(found.state)}
            assert after <= before
            ends = {row["window_end"] for row in results(found.state)}
            assert len(ends) == 5  # of the hours 7 to 11: hour 12 is not closed
            assert {row["reference_id"] for row in results(found.state)} == {pinned["id"]}


def _drift(row: dict[str, Any]) -> tuple[object, ...]:
    """What no earlier window has a part in."""
    names = ("feature", "kind", "window_start", "window_end", "sessions", "n", "m", "p_value")
    return tuple(row[name] for name in names)


def test_what_a_person_pinned_is_pinned_again_at_its_time(tmp_path: Path) -> None:
    world = World(tmp_path / "data", a_config(EAGER))
    for hour in range(12):
        world.clock.advance(seconds=5)
        world.send(an_hour(hour, shifted=hour >= 6))
        world.tick()
        if hour == 8:
            world.clock.advance(seconds=5)
            by_hand(world, START_NS + 6 * HOUR_NS, START_NS + 8 * HOUR_NS)
    used = world.rows("select distinct reference_id from windows where reference_id is not null")
    assert len(used) == 2
    world.close()
    with replayed(tmp_path / "data", as_of=ALL) as found:
        assert results(found.state) == results(found.recorded)
        assert not found.compared().differs
    with replayed(tmp_path / "data") as found:
        # Its wall time comes after the event time of every window: nothing was pinned by then.
        assert found.run.unpinned == 1


def by_hand(world: World, start_ns: int, end_ns: int, *, propose: bool = False) -> None:
    """`retraind reference pin --start … --end …`"""
    request = PinReference(
        start_ns=start_ns, end_ns=end_ns, source="2 hours", propose=propose, by="ops"
    )
    memory = load(world.state)
    pin(world.state, memory, world.config, request, world.clock.now_ns())
    world.restart()


def test_what_a_person_accepted_is_taken_up_at_its_time(tmp_path: Path) -> None:
    """Proposed after hour 8, accepted after hour 9: what was only proposed changes nothing."""
    world = World(tmp_path / "data", a_config(EAGER))
    for hour in range(13):
        world.clock.advance(seconds=5)
        world.send(an_hour(hour, shifted=hour >= 6, version="v1" if hour < 10 else "v2"))
        world.tick()
        world.clock.advance(seconds=5)
        if hour == 8:
            by_hand(world, START_NS + 6 * HOUR_NS, START_NS + 8 * HOUR_NS, propose=True)
        if hour == 9:
            (proposed,) = world.rows('select id from "references" where proposed')
            memory = load(world.state)
            accept(world.state, memory, proposed["id"], "ops", world.clock.now_ns())
            world.restart()
    used = world.rows("select distinct reference_id from windows where reference_kind = 'pinned'")
    assert proposed["id"] in {row["reference_id"] for row in used}
    world.close()
    with replayed(tmp_path / "data", as_of=ALL) as found:
        assert results(found.state) == results(found.recorded)
        comparison = found.compared()
        assert comparison.alike == len(results(found.recorded))
        assert (comparison.later, comparison.verdicts, comparison.differs) == (0, 0, False)


def test_what_a_person_muted_stays_muted(tmp_path: Path) -> None:
    """Muted from before the failures until long after them: no trigger, then or now."""
    world = World(tmp_path / "data", a_config(EAGER))
    for hour, request in enumerate(story()):
        world.clock.advance(seconds=5)
        world.send(request)
        world.tick()
        if hour == 5:
            wanted = MuteRequest("m", None, None, None, None, None, 30 * 86400.0, "a test", "ops")
            mute(world.state, load(world.state), ["m"], wanted, world.clock.now_ns())
            world.restart()
    assert world.rows("select * from triggers") == []
    world.close()
    for as_of in (None, ALL):
        with replayed(tmp_path / "data", as_of=as_of) as found:
            assert results(found.state) == results(found.recorded)
            assert history.fired(found.state, FIRST, LAST) == []
