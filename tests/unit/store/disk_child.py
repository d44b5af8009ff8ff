"""Commits until a checkpoint hits the full disk; prints a line after each acknowledgement.

The disk watch and the check before sealing are told that there is room, so that the engine itself
meets the full disk. Exits 3 when the store reports that the engine is gone, 4 when it never did.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from typing import NamedTuple

from retraind.clock import SystemClock
from retraind.config.settings import Store
from retraind.errors import StoreError
from retraind.store.database import Database
from retraind.telemetry import Telemetry
from store_harness import batch


class _Usage(NamedTuple):
    total: int = 2**50
    used: int = 0
    free: int = 2**50


def main(folder: Path) -> None:
    shutil.disk_usage = lambda _path: _Usage()  # type: ignore[assignment]
    config = Store(segment_bytes=4 * 2**20, min_free_bytes=0)
    database = Database.open(folder, config, Telemetry(), SystemClock())
    database.start(on_fatal=lambda: os._exit(3))
    for i in range(1000):
        text = os.urandom(1500).hex()
        try:
            database.writer.submit(batch(range(100 * i, 100 * i + 100), text=text)).result(60)
        except StoreError:  # a log may meet the full disk first; go on until a checkpoint does
            time.sleep(0.02)
            continue
        sys.stdout.write(f"acked {i}\n")
        sys.stdout.flush()
    os._exit(4)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
