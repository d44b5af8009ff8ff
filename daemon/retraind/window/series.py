"""Bounded sets of series: keys beyond a limit are folded into __other__."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from retraind.config.settings import Limits
from retraind.model import SeriesKey

OTHER = "__other__"


@dataclass(frozen=True, slots=True)
class Folding:
    """Final key of each key asked for, the keys not known before, and keys folded by limit."""

    keys: Mapping[SeriesKey, SeriesKey]
    new: tuple[SeriesKey, ...]
    folded: Mapping[str, int]


def fold_series(
    wanted: Iterable[tuple[int, SeriesKey]], known: Collection[SeriesKey], limits: Limits
) -> Folding:
    """Fold what is over the limits, in the order of (first hour, key); known keys are always kept.

    Over `models` the model becomes __other__, over `cohorts` the cohort, over `series` everything
    but the monitor. Building hour by hour with the keys so far gives the same as building at once.
    """
    series = set(known)
    models: dict[tuple[str, ...], set[str]] = {}
    cohorts: dict[tuple[str, ...], set[str]] = {}
    for key in known:
        _remember(key, models, cohorts)
    own = sum(key.service_name != OTHER for key in series)
    result: dict[SeriesKey, SeriesKey] = {}
    new: list[SeriesKey] = []
    folded = {"models": 0, "cohorts": 0, "series": 0}
    for _, key in sorted(set(wanted)):
        if key in result:
            continue
        final = key
        if final not in series:
            final = _within(key, models, cohorts, limits, folded)
        if final not in series:
            if own >= limits.series:
                folded["series"] += 1
                final = SeriesKey(key.monitor, OTHER, OTHER, OTHER, OTHER)
            else:
                own += 1
            if final not in series:
                series.add(final)
                new.append(final)
                _remember(final, models, cohorts)
        result[key] = final
    return Folding(result, tuple(new), folded)


def _remember(
    key: SeriesKey,
    models: dict[tuple[str, ...], set[str]],
    cohorts: dict[tuple[str, ...], set[str]],
) -> None:
    place = (key.monitor, key.service_name, key.environment)
    models.setdefault(place, set()).add(key.model)
    cohorts.setdefault((*place, key.model), set()).add(key.cohort)


def _within(
    key: SeriesKey,
    models: Mapping[tuple[str, ...], set[str]],
    cohorts: Mapping[tuple[str, ...], set[str]],
    limits: Limits,
    folded: dict[str, int],
) -> SeriesKey:
    place = (key.monitor, key.service_name, key.environment)
    model, cohort = key.model, key.cohort
    present = models.get(place, set()) - {OTHER}
    if model not in present and len(present) >= limits.models:
        model = OTHER
        folded["models"] += 1
    present = cohorts.get((*place, model), set()) - {OTHER}
    if cohort not in present and len(present) >= limits.cohorts:
        cohort = OTHER
        folded["cohorts"] += 1
    return SeriesKey(*place, model, cohort)
