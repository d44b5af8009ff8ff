"""Schema drift: attribute keys that came, went, changed their type, their name or their frequency.

It is a class of its own. A feature whose key was renamed has not drifted, it is not there; nothing
is learnt by retraining. Keys are compared within one kind of span, see retraind.drift.keys.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from retraind.drift.bins import SMALLEST_EXPECTED
from retraind.drift.compare import compare
from retraind.drift.keys import KeyCounts
from retraind.model import Counts

METHOD = "keys/v1"
ALPHA = 0.001
LEAST_NEW = 5
LEAST_NEW_SHARE = 0.01
LEAST_VANISHED = 20.0
"""Expected sessions: seeing none of 20 has the probability e^-20."""
SAME_VALUES = 0.05
"""Jensen-Shannon divergence, in bits and less its noise floor, up to which values are the same."""
NOT_THE_SAME_PRESENCE = 0.01

_NUMBER = {"int": "number", "double": "number"}
"""Encoders write 1.0 as an int or as a double, as they please."""

Kind = Literal["new", "vanished", "renamed", "retyped", "presence"]


@dataclass(frozen=True, slots=True)
class SchemaFinding:
    """One key of which something changed; `p_value` is the chance of it if nothing has.

    renamed: `key` has vanished and `to` is proposed as its new name, `reason` being `alias` or
    `values`. retyped: `to` is a type that the reference never had, shares are of the sessions with
    the key. Else shares are of all sessions. A presence finding is only a candidate: select among
    all of a tick (retraind.drift.family).
    """

    kind: Kind
    key: str
    reference_share: float
    current_share: float
    p_value: float
    to: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SchemaResult:
    """Findings by kind and key, of `n` current and `m` reference sessions.

    `capped` keys were dropped from either side. A key that the reference lacks is then not called
    new, and one that the window lacks not vanished: it may have been dropped.
    """

    method: str
    n: int
    m: int
    capped: int
    findings: tuple[SchemaFinding, ...]


def compare_keys(
    reference: KeyCounts,
    current: KeyCounts,
    *,
    reference_values: Mapping[str, Counts] | None = None,
    current_values: Mapping[str, Counts] | None = None,
    aliases: Collection[tuple[str, str]] = (),
) -> SchemaResult:
    """Compare the keys of one kind of span in a window with its reference.

    `..._values` are counts (numbers or categories) of keys where they are known, to recognise a
    renamed one; `aliases` are pairs of names, in either order, that mean the same. Keys that seem
    to be one renamed are reported so, and neither as vanished nor as new. A side without sessions
    has no findings: no data is no change.
    """
    m, n = reference.sessions, current.sessions
    capped = reference.dropped + current.dropped
    if m == 0 or n == 0:
        return SchemaResult(METHOD, n, m, capped, ())
    keys = sorted(reference.types.keys() | current.types.keys())
    new = {key: f for key in keys if (f := _new(key, reference, current))}
    vanished = {key: f for key in keys if (f := _vanished(key, reference, current))}
    values = (reference_values or {}, current_values or {})
    renamed = _renames(vanished, new, values, aliases, (m, n))
    gone = {name for finding in renamed for name in (finding.key, finding.to)}
    rest = [key for key in keys if key not in new and key not in vanished]
    findings = [
        *(finding for key, finding in new.items() if key not in gone),
        *(finding for key, finding in vanished.items() if key not in gone),
        *renamed,
        *(finding for key in keys for finding in _retyped(key, reference, current)),
        *(f for key in rest if (f := _presence(key, reference, current))),
    ]
    return SchemaResult(METHOD, n, m, capped, tuple(findings))


def none_of(sessions: int, hits: int, others: int) -> float:
    """Chance that all `hits` fall among the others if anyone could have had them.

    Fisher's exact test with an empty cell: C(others, hits) / C(sessions + others, hits).
    """
    total = sessions + others
    logs = special.gammaln(np.array([others, total - hits, others - hits, total]) + 1.0)
    return float(math.exp(min(0.0, logs[0] + logs[1] - logs[2] - logs[3])))


def _new(key: str, reference: KeyCounts, current: KeyCounts) -> SchemaFinding | None:
    seen, n = current.presence(key), current.sessions
    if reference.presence(key) or reference.dropped or seen < max(LEAST_NEW, LEAST_NEW_SHARE * n):
        return None
    p = none_of(reference.sessions, seen, n)  # a small reference may have missed a rare key
    return SchemaFinding("new", key, 0.0, seen / n, p) if p < ALPHA else None


def _vanished(key: str, reference: KeyCounts, current: KeyCounts) -> SchemaFinding | None:
    share = reference.presence(key) / reference.sessions
    if current.presence(key) or current.dropped or share * current.sessions < LEAST_VANISHED:
        return None
    p = none_of(current.sessions, reference.presence(key), reference.sessions)
    return SchemaFinding("vanished", key, share, 0.0, p) if p < ALPHA else None


def _retyped(key: str, reference: KeyCounts, current: KeyCounts) -> list[SchemaFinding]:
    """Types never seen before, as soon as chance does not explain that they were not."""
    before, now = _families(reference, key), _families(current, key)
    m, n = sum(before.values()), sum(now.values())
    if not m:
        return []
    findings = []
    for name in sorted(now.keys() - before.keys()):
        p = none_of(m, now[name], n)
        if p < ALPHA:
            findings.append(SchemaFinding("retyped", key, 0.0, now[name] / n, p, to=name))
    return findings


def _families(counts: KeyCounts, key: str) -> dict[str, int]:
    families: dict[str, int] = {}
    for name, sessions in counts.types.get(key, {}).items():
        family = _NUMBER.get(name, name)
        families[family] = families.get(family, 0) + sessions
    return families


def _presence(key: str, reference: KeyCounts, current: KeyCounts) -> SchemaFinding | None:
    """A candidate, where the smaller side is expected to hold five sessions with it and without."""
    m, n = reference.sessions, current.sessions
    before, now = reference.presence(key), current.presence(key)
    least = min(before + now, m + n - before - now) * min(m, n) / (m + n)
    if least < SMALLEST_EXPECTED:
        return None
    p = two_proportions(before, m, now, n)
    return SchemaFinding("presence", key, before / m, now / n, p)


def two_proportions(before: int, m: int, now: int, n: int) -> float:
    """Two-sided p of the pooled z test; 1 when all or none have it on both sides."""
    pooled = (before + now) / (m + n)
    variance = pooled * (1 - pooled) * (1 / m + 1 / n)
    if variance == 0:
        return 1.0
    return float(2 * special.ndtr(-abs(now / n - before / m) / math.sqrt(variance)))


def _renames(
    vanished: Mapping[str, SchemaFinding],
    new: Mapping[str, SchemaFinding],
    values: tuple[Mapping[str, Counts], Mapping[str, Counts]],
    aliases: Collection[tuple[str, str]],
    sessions: tuple[int, int],
) -> list[SchemaFinding]:
    """Each vanished key with at most one new one: aliases first, then the most alike values."""
    both_ways = [pair for one, other in aliases for pair in ((one, other), (other, one))]
    candidates = [(-1.0, old, name) for old, name in both_ways if old in vanished and name in new]
    candidates += [
        (_divergence(values[0][old], values[1][name]), old, name)
        for old in vanished.keys() & values[0].keys()
        for name in new.keys() & values[1].keys()
        if _as_frequent(vanished[old], new[name], sessions)
    ]
    found: dict[str, SchemaFinding] = {}
    for distance, old, name in sorted(candidates):
        taken = {finding.to for finding in found.values()}
        if distance < SAME_VALUES and old not in found and name not in taken:
            before, now = vanished[old].reference_share, new[name].current_share
            p = max(vanished[old].p_value, new[name].p_value)
            reason = "alias" if distance < 0 else "values"
            found[old] = SchemaFinding("renamed", old, before, now, p, to=name, reason=reason)
    return [found[key] for key in sorted(found)]


def _as_frequent(old: SchemaFinding, new: SchemaFinding, sessions: tuple[int, int]) -> bool:
    m, n = sessions
    before, now = round(old.reference_share * m), round(new.current_share * n)
    return two_proportions(before, m, now, n) >= NOT_THE_SAME_PRESENCE


def _divergence(before: Counts, now: Counts) -> float:
    """Divergence of the values on the reference's bins in [0, 1]; 1 where they cannot be compared.

    About PSI / 8 nats, so its noise floor is that of the PSI / (8 ln 2) bits. Texts of which none
    occurs on both sides, such as ids, are no evidence.
    """
    if before.kind != now.kind or not before.n or not now.n:
        return 1.0
    if before.kind == "category" and not set(before.values) & set(now.values):
        return 1.0
    result = compare(before, now)
    return max(0.0, result.js_distance**2 - result.psi_floor / (8 * math.log(2)))
