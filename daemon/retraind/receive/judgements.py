"""From JSON items of the API to their answer: validate, commit, say what became of each.

An item with an id is stored once by that id, the others of a request once by its idempotency key:
the ledger holds a digest of either, in the transaction of the rows, with a hash of the content.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import orjson

from retraind.clock import Clock
from retraind.config.settings import FeedbackSettings
from retraind.errors import InvalidPayload, StoreError, StoreUnavailable
from retraind.model import ExportResult, JudgementApi, WriteBatch
from retraind.normalise.judgements import FieldPolicy, ItemError, Judged, read_items, to_table
from retraind.receive.admit import Admission
from retraind.receive.commits import Ledger, Writer
from retraind.telemetry import Telemetry

DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer. `repeated`: everything accepted had been stored before."""

    accepted: int
    errors: tuple[ItemError, ...] = ()
    repeated: bool = False


@dataclass(slots=True)
class _Unit:
    """Items that are stored together, once."""

    digest: bytes
    items: list[Judged] = field(default_factory=list)
    copies: int = 0  # of the one item with this id, in the same request

    def content(self) -> str:
        """A hash of what is stored, without the time of receipt, by which a retry is known."""
        rows = orjson.dumps([item.row for item in self.items], option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(rows).hexdigest()[:16]


class Judgements:
    """Takes feedback and evaluations, and answers after their rows are committed."""

    def __init__(
        self,
        *,
        writer: Writer,
        ledger: Ledger,
        admission: Admission,
        limits: FeedbackSettings,
        policy: FieldPolicy,
        telemetry: Telemetry,
        clock: Clock,
    ) -> None:
        self.limits = limits
        self.policy = policy
        self.admission = admission
        self._writer = writer
        self._ledger = ledger
        self._telemetry = telemetry
        self._clock = clock

    async def take(self, api: JudgementApi, values: Sequence[Any], key: str | None) -> Receipt:
        """Store what is valid. Raises Refused or StoreError when nothing of it was stored."""
        self.admission.check()
        units, errors = await asyncio.to_thread(self._units, api, values, key)
        outcomes: list[ExportResult | Exception] = []
        if units:
            # Submitting waits while others wait. A sender that goes away cancels no commit.
            batch = _batch(api, units, self._clock.now_ns())
            committed = await asyncio.to_thread(self._writer.submit, batch)
            try:
                outcomes = await asyncio.shield(asyncio.wrap_future(committed))
            except StoreError as error:  # the engine's words are the operator's, not the sender's
                raise type(error) from error
        receipt = self._receipt(units, outcomes, errors)
        count = self._telemetry.judgements.labels
        count(api, "duplicate" if receipt.repeated else "accepted").inc(receipt.accepted)
        count(api, "rejected").inc(len(receipt.errors))
        return receipt

    def _units(
        self, api: JudgementApi, values: Sequence[Any], key: str | None
    ) -> tuple[list[_Unit], list[ItemError]]:
        """What is to be stored together, and what cannot be."""
        judged, errors = read_items(
            api, values, text_characters=self.limits.text_characters, policy=self.policy
        )
        common = _digest(api, "key", key) if key else secrets.token_bytes(DIGEST_BYTES)
        units: dict[bytes, _Unit] = {}
        for item in judged:
            digest = common if item.id is None else _digest(api, "id", item.id)
            unit = units.setdefault(digest, _Unit(digest))
            if item.id is None or not unit.items:
                unit.items.append(item)
            elif unit.items[0].row == item.row:
                unit.copies += 1
            else:
                errors.append(ItemError(item.index, _OTHER_CONTENT, item.id, "conflict"))
        return list(units.values()), errors

    def _receipt(
        self,
        units: Sequence[_Unit],
        outcomes: Sequence[ExportResult | Exception],
        errors: list[ItemError],
    ) -> Receipt:
        accepted, fresh = 0, False
        for unit, outcome in zip(units, outcomes, strict=True):
            problem = self._problem(unit, outcome)
            if problem is None:
                accepted += len(unit.items) + unit.copies
                fresh |= not (isinstance(outcome, ExportResult) and outcome.duplicate)
            else:
                errors += [replace(problem, index=item.index, id=item.id) for item in unit.items]
        errors.sort(key=lambda error: error.index)
        return Receipt(accepted, tuple(errors), repeated=accepted > 0 and not fresh)

    def _problem(self, unit: _Unit, outcome: ExportResult | Exception) -> ItemError | None:
        """Why a unit was not stored, None when it was, now or before. Raises StoreError."""
        if isinstance(outcome, InvalidPayload):
            return ItemError(0, str(outcome), reason="unstorable")
        if isinstance(outcome, Exception):
            raise StoreUnavailable from outcome
        if outcome.duplicate:
            # The ledger's own entry: of two that came at once, the outcome is each one's own.
            stored = self._ledger.lookup(unit.digest)
            if stored is not None and stored.message != unit.content():
                return ItemError(0, _OTHER_CONTENT, reason="conflict")
        return None


_OTHER_CONTENT = "this id or Idempotency-Key was used for something else; use a new one"


def _digest(api: JudgementApi, what: str, text: str) -> bytes:
    return hashlib.sha256(f"{api}\0{what}\0{text}".encode()).digest()[:DIGEST_BYTES]


def _batch(api: JudgementApi, units: Sequence[_Unit], received_at_ns: int) -> WriteBatch:
    rows = [item.row for unit in units for item in unit.items]
    table = to_table(rows, received_at_ns=received_at_ns)
    return WriteBatch(
        signal=api,
        received_at_ns=received_at_ns,
        digests=[unit.digest for unit in units],
        results=[ExportResult(len(unit.items), 0, unit.content()) for unit in units],
        evaluations=table,
        evaluation_request=np.repeat(
            np.arange(len(units), dtype=np.int32), [len(unit.items) for unit in units]
        ),
        size_bytes=table.nbytes,
    )
