"""The fail rate of one eval in one closed window, and whether it has risen."""

from __future__ import annotations

import math

from retraind.model import Counts, RateResult
from retraind.rates.baseline import baseline, mean
from retraind.rates.edetector import Memory, log_evidence, update
from retraind.rates.interval import interval, shares

METHOD = "mean/betting95+sr5/v1"
METHOD_NO_REFERENCE = "mean/betting95/v1"


def evaluate(
    window: Counts,
    reference: Counts | None,
    memory: Memory | None,
    *,
    tolerance: float,
    log_threshold: float,
) -> tuple[RateResult, Memory]:
    """The window's result and the detector's memory for the next window of the series.

    Windows must not overlap, and must come in order. Without a reference (or with an empty one) the
    rate and its interval are given, baseline and evidence are NaN, nothing alarms and the memory is
    returned as it came. A baseline whose null rate is 1 cannot be exceeded: evidence 0, no alarm.
    Start with memory None again when a new reference is accepted. Raises ValueError when the window
    has no sessions.
    """
    rate = mean(window)
    lower, upper = interval(window)
    null, base_rate, evidence = math.nan, math.nan, math.nan
    method, alarmed, after = METHOD_NO_REFERENCE, False, memory or ()
    if reference is not None and reference.n:
        method, base = METHOD, baseline(reference, tolerance=tolerance)
        null, base_rate, evidence = base.null, base.rate, 0.0
        if null < 1:
            after = update(memory or None, *shares(window), null, log_threshold)
            evidence = log_evidence(after)
            alarmed = evidence >= log_threshold
    result = RateResult(
        method=method,
        n=window.n,
        results=window.results,
        failures=window.failures,
        rate=rate,
        lower=lower,
        upper=upper,
        baseline_rate=base_rate,
        baseline_upper=null,
        log_e_value=evidence,
        log_threshold=log_threshold,
        alarmed=alarmed,
    )
    return result, after
