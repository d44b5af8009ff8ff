"""Commits batches until it is killed; prints a line after each acknowledgement."""

from __future__ import annotations

import sys
from pathlib import Path

from retraind.clock import SystemClock
from retraind.config.settings import Store
from retraind.store.database import Database
from retraind.telemetry import Telemetry
from store_harness import batch


def main(folder: Path, first: int, segment_bytes: int, batches: int) -> None:
    config = Store(segment_bytes=segment_bytes, min_free_bytes=0)
    database = Database.open(folder, config, Telemetry(), SystemClock())
    database.start()
    for i in range(first, first + batches):
        future = database.writer.submit(batch(range(10 * i, 10 * i + 10), text="x" * 200))
        future.result(60)
        sys.stdout.write(f"acked {i}\n")
        sys.stdout.flush()
    database.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *(int(argument) for argument in sys.argv[2:]))
