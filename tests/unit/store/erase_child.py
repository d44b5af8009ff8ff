"""Erases Alice, and kills itself at a moment that the caller names."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from retraind.clock import SystemClock
from retraind.store.erase import Selection, erase
from retraind.store.segments import Segments
from store_harness import open_database


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(folder: Path, point: str) -> None:
    database = open_database(folder, clock=SystemClock())
    if point == "rename":
        Path.rename = die  # type: ignore[method-assign,assignment]
    elif point == "unlink":
        Path.unlink = _unless_merging(Path.unlink)  # type: ignore[method-assign]
    elif point == "record":
        record = Segments.record

        def recorded(segments: Segments, *changed: Any) -> None:
            if any(segment.status == "merged" for segment in changed):
                die()
            record(segments, *changed)

        Segments.record = recorded  # type: ignore[method-assign]
    sys.stdout.write("erasing\n")
    sys.stdout.flush()
    erase(database, Selection(users=("alice@example.com",)))
    if point == "anywhere":
        signal.pause()


def _unless_merging(unlink: Any) -> Any:
    def deleted(path: Path, **options: Any) -> None:
        if ".merging" not in path.name:
            die()
        unlink(path, **options)

    return deleted


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
