"""Why an alarm fires or does not, and what its policy still lacks: sentences with numbers.

They are written from the stored results of the last windows and the settings, so that what is told
of a past episode rests on what was known then.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from retraind.config.settings import Detector, EvalSettings, Monitor, Policy
from retraind.policy.alarms import READY, REMEMBERED_WINDOWS
from retraind.policy.reasons import named_reasons

Row = Mapping[str, Any]
"""A row of `windows`."""

_WHY_NOT = {
    "golden_drop": "no golden set has dropped",
    "eval_fail_rate": "no fail rate fires",
    "label_feedback": "nothing was reported",
    "drift": "no drift alarm is in the retrain band",
    "schedule": "the interval is not over, or nothing was noticed since",
}


class Story(NamedTuple):
    """What speaks for firing, and what is missing for it; one sentence each."""

    holds: tuple[str, ...]
    missing: tuple[str, ...]


class Rule(NamedTuple):
    """The rule of a policy, its reasons that hold or are missing, and whether enough of them do."""

    text: str
    holds: tuple[str, ...]
    missing: tuple[str, ...]
    asks: bool


def shows_drift(row: Row) -> bool:
    """Whether a window counts for a drift alarm."""
    return bool(row["in_family"]) and row["verdict"] in ("investigate", "retrain")


def in_retrain_band(rows: Sequence[Row], detector: Detector) -> bool:
    """Whether drift asks by itself. `rows`: results of one feature, newest first."""
    last = _last_ready(rows)
    strong = sum(1 for row in last if row["in_family"] and row["verdict"] == "retrain")
    return strong >= detector.windows_for


def fail_rate_fires(rows: Sequence[Row], monitor: Monitor) -> bool:
    """Whether a fail rate's alarm was on. `rows`: its results, newest first."""
    settings = monitor.evals.get(rows[0]["feature"])
    limit = None if settings is None else settings.max_fail_rate
    judged = [row for row in rows if row["rate"] is not None][: monitor.detector.keep_firing_for]
    return any(
        row["verdict"] == "alarm" or (limit is not None and row["rate_lower"] > limit)
        for row in judged
    )


def tell_alarm(rows: Sequence[Row], monitor: Monitor, maturity: str = "") -> Story:
    """The story of one feature. `rows`: its results, newest first; `maturity`: of its reference."""
    if not rows:
        return Story((), ("no decision window has closed yet",))
    row = rows[0]
    if row["kind"] == "rate":
        return _tell_rate(row, monitor.evals.get(row["feature"]), maturity)
    if row["verdict"] not in READY:
        return Story((), (_not_tested(row, monitor, maturity),))
    return _tell_drift(rows, monitor.detector)


def tell_rule(policy: Policy, held: Mapping[str, str], *, has_evaluations: bool) -> Rule:
    """The story of a policy. `held`: reasons that hold, and what each rests on."""
    named, needed = named_reasons(policy, has_evaluations=has_evaluations)
    if policy.schedule is None:
        named = tuple(name for name in named if name != "schedule" or name in held)
    known = [name for name in named if name in held]
    missing = [f"{name}: {_WHY_NOT[name]}" for name in named if name not in held]
    if "drift" in held and "drift" not in named:
        why = (
            "the policy does not name it"
            if policy.any or policy.all or policy.of
            else "the default policy leaves the decision to the evaluations that there are"
        )
        missing.append(f"drift is in the retrain band, but {why}")
    form = "all of" if policy.all else f"{policy.k} of" if policy.of else "any of"
    default = "" if policy.all or policy.of or policy.any else " (the default)"
    return Rule(
        f"{form} {', '.join(named)}{default}",
        tuple(f"{name}: {held[name]}" for name in known),
        tuple(missing),
        len(known) >= needed,
    )


def _tell_drift(rows: Sequence[Row], detector: Detector) -> Story:
    row, holds, missing = rows[0], [], []
    p, alpha = row["p_value"], detector.alpha
    if p >= alpha:
        missing.append(f"p = {p_text(p)} is not below {p_text(alpha)}")
    elif not row["in_family"]:
        missing.append(
            f"p = {p_text(p)} is below {p_text(alpha)}, but not in the Benjamini-Hochberg set of "
            f"the tests of its tick at q = {p_text(detector.bh_q)}"
        )
    else:
        holds.append(f"p = {p_text(p)} is below {p_text(alpha)} and in the Benjamini-Hochberg set")
        _tell_band(row, detector, holds, missing)
    last = _last_ready(rows)
    showing = sum(map(shows_drift, last))
    needed = detector.windows_for
    count = f"{showing} of the last {len(last)} windows {'shows' if showing == 1 else 'show'} it"
    (holds if showing >= needed else missing).append(f"{count}, {needed} needed")
    return Story(tuple(holds), tuple(missing))


def _tell_band(row: Row, detector: Detector, holds: list[str], missing: list[str]) -> None:
    psi, lower, bands = row["psi_corrected"], row["psi_lower"], detector.bands
    if row["verdict"] == "notice":
        missing.append(f"real, but small: corrected PSI {psi:.3f} is below {bands.investigate:.2f}")
        return
    if psi >= bands.investigate:
        holds.append(f"corrected PSI {psi:.3f} is at least {bands.investigate:.2f}")
    else:  # a share of two categories
        holds.append("one of its two shares moved by five points or more")
    if row["verdict"] == "retrain":
        holds.append(
            f"retrain band: at least {bands.retrain:.2f}, lower bound {lower:.3f} above "
            f"{bands.investigate:.2f}"
        )
    elif psi < bands.retrain:
        missing.append(f"for the retrain band: {psi:.3f} is below {bands.retrain:.2f}")
    else:
        missing.append(
            f"for the retrain band: the lower bound {lower:.3f} is not above "
            f"{bands.investigate:.2f}"
        )


def _tell_rate(row: Row, settings: EvalSettings | None, maturity: str) -> Story:
    if row["verdict"] == "no_data":
        return Story((), ("no evaluations in the last window",))
    holds, missing = [], []
    if row["verdict"] == "immature":
        missing.append(maturity or "immature: the reference has no baseline of it")
    else:
        found, needed = row["log_e_value"], row["log_threshold"]
        told = (
            f"fail rate {percent(row['rate'])} against {percent(row['baseline_upper'])}, what the "
            f"baseline of {percent(row['baseline_rate'])} allows: evidence {_evidence(found)}"
        )
        if row["verdict"] == "alarm":
            holds.append(f"{told} has reached {_evidence(needed)}")
        else:
            missing.append(f"{told} is below {_evidence(needed)}")
    limit = None if settings is None else settings.max_fail_rate
    if limit is not None:
        lower = f"lower bound {percent(row['rate_lower'])} of the fail rate"
        if row["rate_lower"] > limit:
            holds.append(f"{lower} is above max_fail_rate {percent(limit)}")
        else:
            missing.append(f"{lower} is not above max_fail_rate {percent(limit)}")
    return Story(tuple(holds), tuple(missing))


def _not_tested(row: Row, monitor: Monitor, maturity: str) -> str:
    n, verdict = row["n"], row["verdict"]
    needed = monitor.window.min_sessions_at_max_length
    if verdict == "no_data" and row["sessions"] < needed:
        return f"{needed:,} sessions needed, {row['sessions']:,} seen in the longest window"
    if verdict == "no_data":
        return f"{needed:,} sessions with a value needed, {n:,} seen"
    if verdict == "immature":
        ratio = monitor.reference.ratio
        return maturity or (
            f"immature: the reference has fewer than {ratio:g} x {n:,} sessions with a value"
        )
    if verdict == "high_cardinality":
        return "too many different values to be tested (limits.categories)"
    return "context: shown beside the others, never tested"


def _last_ready(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["verdict"] in READY][:REMEMBERED_WINDOWS]


def _evidence(logarithm: float) -> str:
    """An e-value by its logarithm: how many to one."""
    power = logarithm / math.log(10)
    return f"{10**power:,.3g} : 1" if abs(power) < 4 else f"10^{power:.1f} : 1"


def p_text(p: float) -> str:
    """A probability as statisticians write it: .003, or 2.1e-12."""
    return f"{p:.2g}".removeprefix("0") if p >= 1e-4 else f"{p:.1e}"


def percent(share: float) -> str:
    """A share in percent with three digits."""
    return f"{100 * share:.3g} %"
