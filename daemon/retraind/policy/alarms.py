"""The alarm of one watched feature: ok, pending, firing, resolving, no_data or immature.

Drift fires when `windows_for` (2) of the last three ready windows show it; a fail rate fires at
once, because its detector has already paid for looking often. A firing alarm clears after
`keep_firing_for` (3) quiet windows in a row. A drift window is quiet only when its corrected PSI is
below half of the threshold that it had to cross, so that an alarm does not flap around it. Windows
without enough data say nothing either way: they neither clear an alarm nor count as quiet.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from retraind.config.settings import Detector

AlarmKind = Literal["drift", "eval_fail_rate"]
AlarmState = Literal["ok", "pending", "firing", "resolving", "no_data", "immature"]
Verdict = Literal[
    "ok", "notice", "investigate", "retrain", "alarm",
    "immature", "no_data", "high_cardinality", "context",
]  # fmt: skip

READY: frozenset[str] = frozenset({"ok", "notice", "investigate", "retrain", "alarm"})
NOTICED: frozenset[str] = frozenset({"notice", "investigate", "retrain", "alarm"})
EXIT_RATIO = 0.5
REMEMBERED_WINDOWS = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """What one decision window says about one feature, times in event time.

    `in_family`: the window is in the tick's Benjamini-Hochberg set and below `alpha` (drift only).
    `over_limit`: whether a fail rate is above its fixed `max_fail_rate`; None when there is no such
    limit or nothing to hold against it. `evidence` is JSON-able and is carried, not read, here.
    """

    kind: AlarmKind
    feature: str
    version: str
    verdict: Verdict
    window_start_ns: int
    window_end_ns: int
    in_family: bool = False
    psi_corrected: float | None = None
    over_limit: bool | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReadyWindow:
    """What is remembered of a window that had enough data."""

    verdict: Verdict
    in_family: bool
    psi_corrected: float


@dataclass(frozen=True, slots=True)
class AlarmMemory:
    """Everything an alarm knows between two windows; JSON by `to_json`, back by `from_json`.

    `since_ns` is when `state` began, `fired_ns` when the alarm last began to fire (0 while it does
    not), `noticed_ns` the end of the last window that was at least notice. `retrain_band`: enough
    of the last three ready windows are in the retrain band for drift to ask on its own. `finding`
    is the last window that spoke for the alarm, kept so that a trigger always has its evidence.
    """

    state: AlarmState = "ok"
    since_ns: int = 0
    fired_ns: int = 0
    noticed_ns: int = 0
    recent: tuple[ReadyWindow, ...] = ()
    quiet: int = 0
    by_limit: bool = False
    retrain_band: bool = False
    finding: Finding | None = None

    @property
    def is_firing(self) -> bool:
        """Firing, or resolving and so not over yet."""
        return self.state in ("firing", "resolving")

    @property
    def sustained_psi(self) -> float:
        """The corrected PSI that two of the last three ready windows reach; 0 with fewer."""
        ranked = sorted((window.psi_corrected for window in self.recent), reverse=True)
        return ranked[1] if len(ranked) > 1 else 0.0


def step(memory: AlarmMemory, finding: Finding, settings: Detector) -> AlarmMemory:
    """The alarm after one more window. Windows of a feature are given in order of their end."""
    noticed = finding.window_end_ns if finding.verdict in NOTICED else memory.noticed_ns
    memory = replace(memory, noticed_ns=noticed)
    ready = finding.verdict in READY
    if ready:
        psi = finding.psi_corrected if finding.psi_corrected is not None else 0.0
        window = ReadyWindow(finding.verdict, finding.in_family, psi)
        recent = (*memory.recent, window)[-REMEMBERED_WINDOWS:]
        strong = sum(seen.in_family and seen.verdict == "retrain" for seen in recent)
        memory = replace(memory, recent=recent, retrain_band=strong >= settings.windows_for)
    if memory.is_firing:
        return _while_firing(memory, finding, settings, ready=ready)
    return _while_silent(memory, finding, settings, ready=ready)


def to_json(memory: AlarmMemory) -> str:
    """The text of alarms.memory."""
    return json.dumps(asdict(memory), separators=(",", ":"))


def from_json(text: str) -> AlarmMemory:
    """The memory written by `to_json`."""
    values = json.loads(text)
    values["recent"] = tuple(ReadyWindow(**window) for window in values["recent"])
    if values["finding"] is not None:
        values["finding"] = Finding(**values["finding"])
    return AlarmMemory(**values)


def _while_silent(
    memory: AlarmMemory, finding: Finding, settings: Detector, *, ready: bool
) -> AlarmMemory:
    end = finding.window_end_ns
    if finding.over_limit:
        return _fire(memory, finding, by_limit=True)
    if not ready:
        if finding.verdict == "context":
            return memory
        state: AlarmState = "immature" if finding.verdict == "immature" else "no_data"
        return _enter(memory, state, end)
    if finding.kind == "eval_fail_rate":
        alarmed = finding.verdict == "alarm"
        return _fire(memory, finding, by_limit=False) if alarmed else _enter(memory, "ok", end)
    return _while_drift_is_silent(memory, finding, settings)


def _while_drift_is_silent(
    memory: AlarmMemory, finding: Finding, settings: Detector
) -> AlarmMemory:
    hot = sum(_is_hot(window) for window in memory.recent)
    if hot == 0:
        return _enter(replace(memory, finding=None), "ok", finding.window_end_ns)
    if _speaks_for(finding):
        memory = replace(memory, finding=finding)
        if hot >= settings.windows_for:
            return _fire(memory, finding, by_limit=False)
    return _enter(memory, "pending", finding.window_end_ns)


def _while_firing(
    memory: AlarmMemory, finding: Finding, settings: Detector, *, ready: bool
) -> AlarmMemory:
    if _speaks_for(finding):
        return _enter(replace(memory, finding=finding, quiet=0), "firing", finding.window_end_ns)
    # An alarm by fixed limit may predate the first reference: there, a window below the limit is
    # the only evidence there will be.
    below_limit = memory.by_limit and finding.over_limit is False and finding.verdict == "immature"
    if not ready and not below_limit:
        return memory
    if not _is_quiet(finding, settings):
        return _enter(replace(memory, quiet=0), "firing", finding.window_end_ns)
    quiet = memory.quiet + 1
    if quiet < settings.keep_firing_for:
        return _enter(replace(memory, quiet=quiet), "resolving", finding.window_end_ns)
    return AlarmMemory("ok", finding.window_end_ns, noticed_ns=memory.noticed_ns)


def _speaks_for(finding: Finding) -> bool:
    if finding.kind == "eval_fail_rate":
        return finding.verdict == "alarm" or bool(finding.over_limit)
    return finding.in_family and finding.verdict in ("investigate", "retrain")


def _is_hot(window: ReadyWindow) -> bool:
    return window.in_family and window.verdict in ("investigate", "retrain")


def _is_quiet(finding: Finding, settings: Detector) -> bool:
    if finding.kind == "eval_fail_rate":
        return True  # ready and not alarmed
    psi = finding.psi_corrected if finding.psi_corrected is not None else 0.0
    return not finding.in_family and psi < EXIT_RATIO * settings.bands.investigate


def _fire(memory: AlarmMemory, finding: Finding, *, by_limit: bool) -> AlarmMemory:
    end = finding.window_end_ns
    return replace(
        memory,
        state="firing",
        since_ns=end,
        fired_ns=end,
        quiet=0,
        by_limit=by_limit,
        finding=finding,
    )


def _enter(memory: AlarmMemory, state: AlarmState, at_ns: int) -> AlarmMemory:
    if memory.state == state:
        return memory
    return replace(memory, state=state, since_ns=at_ns)
