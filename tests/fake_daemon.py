"""Stands in for the composed daemon in tests of the admin app and the CLI; it only records calls.

The app with the real daemon is tested in tests/acceptance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

import pyarrow as pa
from starlette.applications import Starlette

from retraind.console.admin import admin_app
from retraind.console.daemon import (
    HoldStatus,
    Ingest,
    MuteStatus,
    OutboxStatus,
    PinnedReferences,
    PinReference,
    SeriesStatus,
    Status,
    TriggerStatus,
    Watched,
    WindowStatus,
)
from retraind.console.feedback import Senders
from retraind.model import SeriesKey
from retraind.policy.mutes import MuteRequest
from retraind.receive.auth import Tokens
from retraind.receive.judgements import Judgements
from retraind.telemetry import Telemetry

KEY = SeriesKey("default", "bot<script>alert(1)</script>", "prod", "model-a", "premium")
T = 1_700_000_000_000_000_000  # 2023-11-14T22:13:20Z
REFERENCE = {"id": "ref_1", "state": "active", "created_at": "2023-11-14T22:13:20Z"}
STATUS = Status(
    version="0.1.0",
    started_ns=T,
    data="/srv/data",
    ingest=Ingest(accepted_spans=12345, spans_per_second=17.25, last_commit_ns=T),
    series=(SeriesStatus(KEY, (("input_tokens", "firing"), ("cost", "ok")), "pinned", T),),
    windows=(WindowStatus(KEY, "input_tokens", T, 300, "retrain", 0.314159, 0.0001),),
    triggers=(TriggerStatus("rt_1", "default", "bot", "prod", "model-a", "drift", T, T),),
    outbox=(OutboxStatus("rt_1", "hook", "pending", 3, T, 500, "secret answer"),),
    mutes=(MuteStatus("mute_1", "default", "bot", None, None, "emea", "cost", T, "load <test>"),),
    holds=(
        HoldStatus("hold_1", "deploy", "default", "bot", "prod", None, "bot 2 is new", T, T, 1),
    ),
)
SCOPE = {"monitor": "m", "service_name": "bot\x1b[2J", "environment": "prod", "model": "a"}
RESULT = {
    "window_end": "2023-11-14T22:00:00Z", "n": 300, "m": 2900, "psi_corrected": 0.3141592,
    "psi_lower": 0.2, "p_value": 1.25e-9, "verdict": "retrain", "shows": True, "rate": None,
}  # fmt: skip
EXPLANATION: dict[str, Any] = {
    "episode": {
        "id": "ep_1", **SCOPE, "status": "open", "opened_at": "2023-11-14T22:00:00Z",
        "closed_at": None, "trigger_id": None, "decided_for": None,
        "asked_at": None,
    },
    "series": [
        {
            **SCOPE, "cohort": "gold", "reference": None, "maturity": "immature: 5 of 7 days",
            "open_window": "280 sessions needed, 120 seen since 2023-11-14 22:00",
            "alarms": [
                {
                    "feature": "intent", "version": "", "kind": "category", "state": "firing",
                    "reference_kind": "seasonal",
                    "since": "2023-11-14T22:00:00.000Z", "holds": ["p = .0001 is below .001"],
                    "missing": ["1 of the last 3 windows shows it, 2 needed " * 3],
                    "windows": [RESULT], "change": None,
                    "moved": [
                        {"label": "refund", "reference_share": 0.25, "current_share": 0.75,
                         "contribution": 0.5}
                    ],
                }
            ],
        }
    ],
    "omitted": 3,
    "policies": [
        {
            **SCOPE, "rule": "any of drift, schedule", "asks": True,
            "holds": ["drift: intent of cohort gold"], "missing": ["schedule: not over"],
            "cooldown": {"trigger_id": "rt_0", "ends": "2023-11-20T22:00:00.000Z"},
        }
    ],
    "next": ["Retrain."],
}  # fmt: skip
TABLE = pa.table(
    {
        "at": pa.array([T + 123_456_789, None], pa.timestamp("ns")),
        "n": pa.array([2**60, 1], pa.int64()),
        "total": pa.array([Decimal(7), Decimal("0.5")], pa.decimal128(20, 2)),
        "x": pa.array([float("nan"), 0.25]),
        "blob": pa.array([b"\x00\xff", None]),
        "times": pa.array([[T + 1], []], pa.list_(pa.timestamp("ns"))),
    }
)


@dataclass
class Result:
    table: pa.Table
    truncated: bool = False


class FakeDaemon:
    """Records what it was asked; answers are set by the test."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.calls: list[Any] = []
        self.error: Exception | None = None
        self.table = TABLE

    def _call(self, *call: Any) -> None:
        self.calls.append(call)
        if self.error is not None:
            raise self.error

    def readiness(self) -> Sequence[str]:
        return self.reasons

    async def status(self) -> Status:
        return STATUS

    async def sql(self, query: str) -> Result:
        self._call("sql", query)
        return Result(self.table, truncated=True)

    async def reload(self) -> list[str]:
        self._call("reload")
        return ["admin.endpoint"]

    async def references(self) -> list[dict[str, Any]]:
        return [REFERENCE]

    async def reference(self, reference_id: str) -> dict[str, Any] | None:
        return {"id": reference_id} if reference_id == "ref_1" else None

    async def pin_reference(self, request: PinReference) -> PinnedReferences:
        self._call("pin", request)
        return PinnedReferences([REFERENCE | {"id": "ref_2"}], ["left out: one"])

    async def accept_reference(self, reference_id: str, by: str) -> list[dict[str, Any]]:
        self._call("accept", reference_id, by)
        return [REFERENCE]

    async def compare_references(self, reference_id: str, other: str | None) -> dict[str, Any]:
        self._call("compare", reference_id, other)
        feature = {"feature": "input_tokens", "psi_corrected": 0.31}
        return {"reference": reference_id, "other": other or "current", "features": [feature]}

    async def mutes(self) -> list[dict[str, Any]]:
        return [{"id": "mute_1", "reason": "load <test>", "created_by": "ann"}]

    async def mute(self, request: MuteRequest) -> dict[str, Any]:
        self._call("mute", request)
        return {"id": "mute_2", "ends_at": "2023-11-15T22:13:20Z", "alarms": 3}

    async def unmute(self, mute_id: str | None, by: str) -> list[str]:
        self._call("unmute", mute_id, by)
        return ["mute_1"]

    async def holds(self) -> Sequence[HoldStatus]:
        return STATUS.holds

    async def release_hold(self, hold_id: str, by: str) -> str:
        self._call("release", hold_id, by)
        return "hold_1"

    async def webhooks(self) -> Sequence[OutboxStatus]:
        return STATUS.outbox

    async def retry_webhook(
        self, trigger_id: str, destination: str | None, *, delivered: bool
    ) -> int:
        self._call("retry", trigger_id, destination, delivered)
        return 1 if trigger_id == "rt_1" else 0

    async def test_webhook(self, destination: str) -> dict[str, Any]:
        self._call("test", destination)
        if destination != "hook":
            raise LookupError(destination)
        return {"status": 204, "error": None, "seconds": 0.1}

    async def erase(self, user: str | None, trace: str | None) -> dict[str, Any]:
        self._call("erase", user, trace)
        return {"files": 1, "rows": {"spans": 2}, "datasets": []}

    async def episodes(self, limit: int) -> list[dict[str, Any]]:
        self._call("episodes", limit)
        return [{"id": "ep_1", "status": "open", "opened_at": None, "trigger_id": "rt_1"}]

    async def episode(self, begins: str) -> dict[str, Any] | None:
        self._call("episode", begins)
        return EXPLANATION if begins == "ep_1" else None

    async def explain(self, asked: Watched) -> dict[str, Any]:
        self._call("explain", asked)
        return EXPLANATION | {"episode": None}

    async def triggers(self, limit: int) -> list[dict[str, Any]]:
        self._call("triggers", limit)
        return [{"id": "rt_1"}]


def an_app(daemon: FakeDaemon, *, tokens: Tokens | None = None, trusted: bool = False) -> Starlette:
    """The admin app without a store: what it does with feedback, test_feedback.py asks."""
    nothing = cast(Judgements, None)
    return admin_app(
        daemon, Telemetry(), nothing, tokens=tokens, senders=Senders(), trusted=trusted
    )
