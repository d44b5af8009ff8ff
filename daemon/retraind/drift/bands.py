"""What a window's shift amounts to. Persistence over windows is the policy's part."""

from __future__ import annotations

from typing import Literal

from retraind.model import DriftResult

Band = Literal["ok", "notice", "investigate", "retrain"]

SHARE_POINTS = 0.05


def verdict(result: DriftResult, *, in_family: bool, investigate: float, retrain: float) -> Band:
    """The band of one window's result; limits are of the corrected PSI.

    ok: not statistically real (`in_family` is false). notice: real, but small. retrain: so large
    that the lower bound, too, lies above `investigate`. PSI is a poor measure of a single share (5
    to 10 % is 0.037), so with two bins a move of 5 points is worth a look by itself.
    """
    if not in_family:
        return "ok"
    if result.psi_corrected >= retrain and result.psi_lower > investigate:
        return "retrain"
    if result.psi_corrected >= investigate or _share_moved(result):
        return "investigate"
    return "notice"


def _share_moved(result: DriftResult) -> bool:
    if len(result.contributions) != 2:
        return False
    part = result.contributions[0]
    return abs(part.current_share - part.reference_share) >= SHARE_POINTS
