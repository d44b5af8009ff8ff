"""A file of feedback, read row by row and sent in batches that may be sent again."""

from __future__ import annotations

import csv
import hashlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from retraind.cli.client import Declined

if TYPE_CHECKING:
    from retraind.cli.client import Client

BATCH_ROWS = 200
BATCH_BYTES = 512 * 1024
PATIENCE_SECONDS = 120.0
_NUMBERS = ("scale", "score")
_TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True, slots=True)
class Row:
    """`body`: the row as JSON; `read`: bytes of the file up to its end."""

    line: int
    read: int
    body: bytes


def send_file(client: Client, api: str, path: Path) -> dict[str, Any]:
    """Send every row; {"accepted": n, "rejected": n, "errors": [{"line", "error", "id"?}]}.

    A batch's idempotency key is made of its place and content, so the same file is stored once.
    """
    total: dict[str, Any] = {"accepted": 0, "rejected": 0, "errors": []}
    read = 0
    with click.progressbar(length=path.stat().st_size, label=path.name, file=sys.stderr) as bar:
        for batch in _batches(_rows(path)):
            answer = _send(client, api, batch)
            total["accepted"] += answer["accepted"]
            total["rejected"] += answer["rejected"]
            for error in answer["errors"]:
                index = error.pop("index")
                total["errors"].append({"line": batch[index].line, **error})
            bar.update(batch[-1].read - read)
            read = batch[-1].read
    return total


def _send(client: Client, api: str, batch: list[Row]) -> dict[str, Any]:
    """The answer to one batch; waits and tries again while the daemon says that it takes none."""
    body = b"[" + b",".join(row.body for row in batch) + b"]"
    key = hashlib.sha256(f"{batch[0].line}\0".encode() + body).hexdigest()
    headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
    give_up = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            found: dict[str, Any] = client.post(f"/api/v1/{api}", content=body, headers=headers)
        except Declined as declined:
            answer = declined.response
            pause = float(answer.headers.get("retry-after", 1))
            if answer.status_code == 503 and time.monotonic() + pause < give_up:
                time.sleep(pause)
                continue
            if answer.status_code in (400, 422) and "errors" in answer.json():
                return answer.json()  # type: ignore[no-any-return]
            raise
        return found


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    size = 0
    for row in rows:
        if batch and (len(batch) == BATCH_ROWS or size + len(row.body) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += len(row.body)
    if batch:
        yield batch


def _rows(path: Path) -> Iterator[Row]:
    return _csv(path) if path.suffix.lower() == ".csv" else _json_lines(path)


def _json_lines(path: Path) -> Iterator[Row]:
    """Lines that are not JSON are sent as null, which the daemon rejects by their place."""
    import orjson  # noqa: PLC0415

    read = 0
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            read += len(raw)
            text = raw.removeprefix(b"\xef\xbb\xbf").strip() if number == 1 else raw.strip()
            if not text:
                continue
            try:
                yield Row(number, read, orjson.dumps(orjson.loads(text)))
            except orjson.JSONDecodeError:
                yield Row(number, read, b"null")


def _csv(path: Path) -> Iterator[Row]:
    """Cells as the API has them: numbers and truths by the name of their column."""
    import orjson  # noqa: PLC0415

    read = 0

    def counted(lines: Iterator[str]) -> Iterator[str]:
        nonlocal read
        for line in lines:
            read += len(line.encode())
            yield line

    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(counted(iter(file)), restkey="cells without a head")
            for cells in reader:
                yield Row(reader.line_num, read, orjson.dumps(_typed(cells)))
    except (UnicodeDecodeError, csv.Error) as error:
        raise click.BadParameter(f"{path} is not a CSV file in UTF-8: {error}") from error


def _typed(cells: dict[str, Any]) -> dict[str, Any]:
    """What is neither number nor truth where one is expected stays text: the daemon says so."""
    item: dict[str, Any] = {name: cell for name, cell in cells.items() if cell not in (None, "")}
    kind = item.get("kind")
    for name in (*_NUMBERS, *(("value",) if kind == "rating" else ())):
        try:
            item[name] = float(item[name])
        except (KeyError, ValueError, TypeError):
            continue
    for name in ("passed", *(("value",) if kind == "escalation" else ())):
        if str(item.get(name)).lower() in _TRUTHS:
            item[name] = _TRUTHS[str(item[name]).lower()]
    return item
