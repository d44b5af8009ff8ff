"""What happens to files at start: whose folder it is, which state file, which segments."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import structlog

from retraind.errors import StartError
from retraind.store.engine import Cursor, Engine, run
from retraind.store.migrate import migrate
from retraind.store.queries import SEGMENT_VERSION
from retraind.store.seal import measured
from retraind.store.segments import MERGING, Segment, Segments
from retraind.store.state import State

log = structlog.get_logger(__name__)

_FILE = re.compile(r"segment-(\d{6,})\.duckdb(\.quarantined)?")


def lock_folder(data_dir: Path) -> int:
    """Own the data folder until the descriptor is closed. Raises StartError if another does."""
    descriptor = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise StartError(
            f"another retraind (process {owner}) owns {data_dir}; "
            "stop it, or choose another folder with --data"
        ) from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


def open_state(engine: Engine, data_dir: Path, now_ns: int) -> str | None:
    """Attach the state file. Returns a notice when a snapshot or a new file had to take over."""
    path = data_dir / "retraind.duckdb"
    try:
        attach_state(engine, path, now_ns)
        return None
    except duckdb.Error as error:
        log.error("state file cannot be read", error=str(error))
    for file in (path, Path(f"{path}.wal")):
        if file.exists():
            file.rename(f"{file}.damaged-{now_ns}")
    for snapshot in sorted((data_dir / "snapshots").glob("state-*.duckdb"), reverse=True):
        try:
            shutil.copyfile(snapshot, path)
            attach_state(engine, path, now_ns)
        except duckdb.Error as error:
            log.error("snapshot cannot be read", file=snapshot.name, error=str(error))
            path.unlink(missing_ok=True)
        else:
            return f"the state file could not be read and was set aside; {snapshot.name} took over"
    attach_state(engine, path, now_ns)
    return "the state file could not be read and was set aside; there was no snapshot, so it is new"


def attach_state(engine: Engine, path: Path, now_ns: int) -> None:
    """Attach a state file as this version reads it, a new one with its tables.

    Raises StartError when a newer version wrote it, duckdb.Error when it cannot be read.
    """
    engine.attach(path, "state")
    try:
        migrate(engine.cursor(), path, now_ns)
    except duckdb.Error:
        engine.detach("state")
        raise


def open_segments(segments: Segments, state: State, *, trust_state: bool) -> list[Segment]:
    """Attach what is on disk and choose the hot segment; returns those that are to be sealed.

    Files that the state does not know are adopted. After a recovery the state is not trusted:
    every file is verified and sealed again, and a new one becomes hot.
    """
    rows = state.read("read_segments").to_pylist() if trust_state else []
    if not trust_state:
        with state.transaction() as tx:
            tx.run("delete_segments")
    known = {row["id"]: _segment(row) for row in rows}
    for path in segments.folder.glob(f"*{MERGING}*"):
        path.unlink()
    on_disk = _scan(segments.folder)
    unsealed = []
    for i in sorted(known.keys() | on_disk.keys()):
        segment = known.get(i, Segment(i, "sealing", 0))
        segments.put(segment)
        if segment.status in ("dropped", "merged"):
            segments.path(segment).unlink(missing_ok=True)
        elif segment.status != "quarantined" and on_disk.get(i, False):
            opened = _open(segments, segment)
            if opened is not None and opened.status != "sealed":
                unsealed.append(opened)
        elif segment.status in ("hot", "sealing", "sealed"):
            segments.set_aside(segment, "its file is missing or was set aside before")
    to_seal = _choose_hot(segments, unsealed, on_disk, trust_state=trust_state)
    for segment in to_seal:
        segments.record(segment)
    segments.record(segments.hot)
    segments.refresh_views()
    return to_seal


def _choose_hot(
    segments: Segments, unsealed: list[Segment], on_disk: dict[int, bool], *, trust_state: bool
) -> list[Segment]:
    """Go on with the newest file that takes commits, or start one; returns what is to be sealed."""
    merges = _finish_merges(segments)
    left = {segment.id for segment in segments.all()}
    adopted = [segment for segment in unsealed if segment.id in merges]
    unsealed = [segment for segment in unsealed if segment.id in left - merges]
    newest = max(on_disk.keys() - merges, default=0)
    current = bool(unsealed) and unsealed[-1].schema_version == SEGMENT_VERSION
    if current and trust_state and unsealed[-1].id == newest:
        segments.continue_with(replace(unsealed.pop(), status="hot"))
        if segments.is_due():
            unsealed.append(segments.rotate())
    else:
        segments.create_hot()
    return [replace(segment, status="sealing") for segment in adopted + unsealed]


def _finish_merges(segments: Segments) -> set[int]:
    """Delete the sources of merged files; returns the ids of merged files."""
    sources = _merged_from(segments)
    for segment in segments.all():
        if any(segment.id in ids for ids in sources.values()):
            segments.detach(segment)
            segments.record(replace(segment, status="merged"))
            segments.path(segment).unlink(missing_ok=True)
    return set(sources)


def _merged_from(segments: Segments) -> dict[int, set[int]]:
    """For each merged file that is readable, the ids of the segments whose rows it holds."""
    found = {}
    for segment in segments.all():
        info = _info(segments.engine.cursor(), segment) or {}
        if ids := info.get("merged_from"):
            found[segment.id] = {int(i) for i in ids.split()}
    return found


def attach_read_only(segments: Segments, state: State) -> None:
    """Attach every readable segment on disk without changes; damaged ones are left out."""
    gone = {
        row["id"]
        for row in state.read("read_segments").to_pylist()
        if row["status"] in ("dropped", "merged")
    }
    for i, present in sorted(_scan(segments.folder).items()):
        if present and i not in gone:
            segment = Segment(i, "sealed", 0)
            try:
                segments.attach(segment)
            except duckdb.Error as error:
                log.warning("segment cannot be opened", file=segment.file, error=str(error))
            else:
                segments.put(segment)
    for ids in _merged_from(segments).values():
        for segment in segments.all():
            if segment.id in ids:
                segments.put(replace(segment, status="merged"))
    segments.refresh_views()


def _scan(folder: Path) -> dict[int, bool]:
    """Ids of segment files; False for those set aside earlier."""
    found: dict[int, bool] = {}
    for path in folder.iterdir():
        match = _FILE.fullmatch(path.name)
        if match is not None:
            i = int(match[1])
            found[i] = found.get(i, False) or match[2] is None
    return found


def _open(segments: Segments, segment: Segment) -> Segment | None:
    """Attach one segment, replaying its log; None when it had to be set aside."""
    cursor = segments.engine.cursor()
    try:
        segments.attach(segment)
        info = _info(cursor, segment)
        if info is None:
            segments.initialise(segment)
            info = {}
        version = int(info.get("schema_version", SEGMENT_VERSION))
        if version > SEGMENT_VERSION:
            raise StartError(
                f"{segments.path(segment)} was written by a newer retraind (schema {version}); "
                "install that version"
            )
        created_ns = segment.created_ns or int(info.get("created_at_ns", 0))
        segment = replace(segment, schema_version=version, created_ns=created_ns)
        if segment.status != "sealed":
            segment = measured(cursor, segment)
    except duckdb.Error as error:
        segments.detach(segment)
        log.error("segment cannot be opened", file=segment.file, error=str(error))
        segments.set_aside(segment, "it could not be opened")
        return None
    segments.put(segment)
    return segment


def _info(cursor: Cursor, segment: Segment) -> dict[str, str] | None:
    try:
        return dict(run(cursor, f"SELECT key, value FROM {segment.catalog}.main.segment_info"))  # noqa: S608
    except duckdb.CatalogException:
        return None


def _segment(row: dict[str, Any]) -> Segment:
    return Segment(**{name: value for name, value in row.items() if name != "file"})


def next_seq(segments: Segments, state: State) -> int:
    """One more than the highest seq ever committed, also to segments that are gone.

    Were it lower, panes would take new rows for ones that they already include.
    """
    recorded: int = state.read("highest_seq")["seq"][0].as_py()
    return 1 + max([recorded, *(segment.last_seq or 0 for segment in segments.all())])
