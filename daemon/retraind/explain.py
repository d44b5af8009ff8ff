"""Explanations from the state file: what an episode rests on, or what a monitor still lacks."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from retraind.config.settings import Config, Monitor
from retraind.console.daemon import Watched
from retraind.console.encode import timestamp
from retraind.errors import QueryError
from retraind.model import Json
from retraind.policy import alarms, explain
from retraind.policy.alarms import AlarmMemory
from retraind.store.state import State

WINDOWS = 5
MAX_ALARMS = 60
_KEY = ("monitor", "service_name", "environment", "model", "cohort")
_SCOPE = _KEY[:-1]
_SHOWN = (
    "window_start", "window_end", "sessions", "n", "m", "method", "verdict", "in_family",
    "psi_corrected", "psi_lower", "p_value", "rate", "rate_lower", "rate_upper", "baseline_rate",
    "baseline_upper", "log_e_value", "log_threshold", "mean",
)  # fmt: skip
_GRAVEST = ("firing", "held", "muted", "resolving", "pending", "immature", "no_data", "ok")
_FOREVER_NS = 4_000_000_000 * 1_000_000_000  # 2096; DuckDB's nanoseconds end in 2262

Row = Mapping[str, Any]
Feature = tuple[str, str, str, str]
"""feature, version, kind, kind of reference."""


class Seen(NamedTuple):
    """What some series have shown up to an event time, by series and feature.

    `results` are those of the last windows, newest first; `memories` those of the alarms now.
    """

    until_ns: int
    results: Mapping[str, Mapping[Feature, list[Row]]]
    memories: Mapping[str, Mapping[Feature, AlarmMemory]]


def find_episode(state: State, config: Config, begins: str) -> Json | None:
    """The explanation of the episode or trigger whose id begins so; None when there is none.

    Raises QueryError when several do.
    """
    found = state.read("find_episodes", id=begins).to_pylist()
    if not found:
        return None
    if len(found) > 1:
        raise QueryError(f"{len(found)} episodes begin with {begins}; write more of the id")
    return _explain_episode(state, config, found[0])


def explain_watched(state: State, config: Config, asked: Watched) -> Json:
    """What fires and what is missing, of every alarm that matches. Raises QueryError for none."""
    wanted = {name: getattr(asked, name) for name in _KEY if getattr(asked, name) is not None}
    every: list[Row] = state.read("read_series").to_pylist()
    series = [
        row
        for row in every
        if all(row[name] == value for name, value in wanted.items())
        and row["monitor"] in config.monitors_by_name
    ]
    if not series:
        raise QueryError("no series of a configured monitor matches; see `retraind status`")
    # A policy decides with all its series, also with those that were not asked for.
    policies: dict[tuple[str, ...], list[Row]] = {_scope(row): [] for row in series}
    for row in every:
        if _scope(row) in policies:
            policies[_scope(row)].append(row)
    seen = _see(state, chain.from_iterable(policies.values()), _FOREVER_NS)
    told = _tell_series(state, config, series, seen, feature=asked.feature)
    rules = [_tell_policy(state, config, own[0], own, seen) for _, own in sorted(policies.items())]
    shown, omitted = _bounded(told)
    return {"series": shown, "omitted": omitted, "policies": rules, "next": _advise(shown)}


def _explain_episode(state: State, config: Config, row: Row) -> Json:
    episode = {
        name: row[name]
        for name in (
            "id",
            *_SCOPE,
            "opened_at",
            "closed_at",
            "status",
            "trigger_id",
            "decided_for",
            "asked_at",
        )
    }
    body: Json = {"episode": episode, "series": [], "omitted": 0, "policies": [], "next": []}
    if row["monitor"] not in config.monitors_by_name:
        body["next"] = [f"The monitor {row['monitor']} is no longer configured."]
        return body
    until_ns = row["until_ns"] or _FOREVER_NS
    children = {tuple(json.loads(each)) for each in json.loads(row["children"] or "[]")}
    series = [each for each in state.read("read_series").to_pylist() if _scope(each) == _scope(row)]
    seen = _see(state, series, until_ns)
    told = _tell_series(state, config, series, seen, only=children)
    policy = _tell_policy(state, config, row, series, seen, children)
    body["series"], body["omitted"] = _bounded(told)
    body["policies"] = [policy]
    body["attribution"] = json.loads(row["attribution"] or "{}")
    if row["trigger_id"] is not None:
        event = json.loads(row["event"])["data"]
        body["reasons"] = list(dict.fromkeys(each["kind"] for each in event.get("reasons", ())))
        body["deliveries"] = state.read("deliveries_of_trigger", id=row["trigger_id"]).to_pylist()
    body["next"] = _advise_episode(body)
    return body


def _scope(row: Row) -> tuple[str, ...]:
    return tuple(row[name] for name in _SCOPE)


def _see(state: State, series: Iterable[Row], until_ns: int) -> Seen:
    ids = [row["id"] for row in series]
    return Seen(until_ns, _results(state, ids, until_ns), _memories(state, ids))


def _tell_series(
    state: State,
    config: Config,
    series: Sequence[Row],
    seen: Seen,
    *,
    feature: str | None = None,
    only: Collection[tuple[str, ...]] | None = None,
) -> list[Json]:
    """Each series with its alarms; of `only` the alarms that have this (kind, …, cohort)."""
    ids = [row["id"] for row in series]
    sessions = {row["series_id"]: row for row in _read(state, "sessions_of_series", ids)}
    references = {row["series_id"]: row for row in _read(state, "active_references", ids)}
    told = []
    for row in sorted(series, key=lambda row: tuple(row[name] for name in _KEY)):
        monitor = config.monitors_by_name[row["monitor"]]
        maturity = "" if row["id"] in references else _maturity(row, sessions[row["id"]], monitor)
        known, results = seen.memories.get(row["id"], {}), seen.results.get(row["id"], {})
        own = []
        for key in sorted(known.keys() | results.keys()):
            if only is not None and _child(key, row["cohort"]) not in only:
                continue
            if feature is not None and key[0] != feature:
                continue
            if feature is None and key not in known:
                continue  # context is shown where it is asked for
            rows = results.get(key, [])
            own.append(_tell_alarm(key, rows, known.get(key), monitor, maturity, seen.until_ns))
        if own or only is None:
            told.append(
                {
                    **{name: row[name] for name in _KEY},
                    "reference": references.get(row["id"]),
                    "maturity": maturity,
                    "open_window": _open_window(row, sessions[row["id"]], monitor),
                    "alarms": sorted(own, key=lambda each: _GRAVEST.index(each["state"] or "ok")),
                }
            )
    return told


def _tell_alarm(
    key: Feature,
    rows: list[Row],
    memory: AlarmMemory | None,
    monitor: Monitor,
    maturity: str,
    until_ns: int,
) -> Json:
    feature, version, kind, reference = key
    story = explain.tell_alarm(rows, monitor, maturity)
    holds = list(story.holds)
    if memory is not None and memory.state == "resolving":
        needed = monitor.detector.keep_firing_for
        holds.append(f"it still fires: quiet for {memory.quiet} of {needed} windows")
    missing = list(story.missing)
    if memory is not None and memory.fired_ns > until_ns:
        missing.append(f"it joined later, {timestamp(memory.fired_ns)[:16].replace('T', ' ')}")
    moved = json.loads(next((row["contributions"] for row in rows if row["n"]), None) or "[]")
    return {
        "feature": feature,
        "version": version,
        "kind": kind,
        "reference_kind": reference,
        "state": None if memory is None else memory.state,
        "since": None if memory is None else timestamp(memory.since_ns),
        "holds": holds,
        "missing": missing,
        "windows": [
            {name: row[name] for name in _SHOWN} | {"shows": explain.shows_drift(row)}
            for row in rows
        ],
        "change": next((row["change"] for row in rows if row["n"]), None),
        "moved": [part for part in moved if part["contribution"] > 0],
    }


def _tell_policy(
    state: State,
    config: Config,
    scope: Row,
    series: Sequence[Row],
    seen: Seen,
    children: Collection[tuple[str, ...]] | None = None,
) -> Json:
    """The rule of a policy against what all its series have shown up to a time."""
    monitor = config.monitors_by_name[scope["monitor"]]
    held: dict[str, str] = {}
    evaluated = False
    for id_, cohort in sorted((row["id"], row["cohort"]) for row in series):
        for key, rows in seen.results.get(id_, {}).items():
            kind = "eval_fail_rate" if key[2] == "rate" else "drift"
            evaluated |= kind == "eval_fail_rate"
            if children is not None:
                firing = _child(key, cohort) in children
                firing &= kind == "drift" or explain.fail_rate_fires(rows, monitor)
            else:
                memory = seen.memories.get(id_, {}).get(key)
                firing = memory is not None and memory.is_firing
            large = key[3] == "pinned" and explain.in_retrain_band(rows, monitor.detector)
            if firing and (kind != "drift" or large):
                held.setdefault(kind, _named(key[0], cohort))
    rule = explain.tell_rule(monitor.policy, held, has_evaluations=evaluated)
    asked = {name: scope[name] for name in _SCOPE}
    last = state.read("last_trigger", **asked, until=seen.until_ns).to_pylist()
    cooldown = None
    if last:
        ends_ns = last[0]["decided_ns"] + int(monitor.policy.cooldown * 1e9)
        cooldown = {"trigger_id": last[0]["id"], "ends": timestamp(ends_ns)}
    return {
        **asked,
        "rule": rule.text,
        "asks": rule.asks,
        "holds": list(rule.holds),
        "missing": list(rule.missing),
        "cooldown": cooldown,
    }


def _key(row: Row) -> Feature:
    return row["feature"], row["version"], row["kind"], row["reference_kind"]


def _child(key: Feature, cohort: str) -> tuple[str, ...]:
    """What an alarm is called among the children of its episode (policy/decide.py)."""
    kind = "eval_fail_rate" if key[2] == "rate" else "drift"
    others = () if key[3] == "pinned" else (key[3],)
    return kind, *key[:2], cohort, *others


def _named(feature: str, cohort: str) -> str:
    return f"{feature} of cohort {cohort}" if cohort else feature


def _read(state: State, name: str, ids: list[str]) -> list[Row]:
    rows: list[Row] = state.read(name, series=ids).to_pylist()
    return rows


def _results(state: State, ids: list[str], until_ns: int) -> dict[str, dict[Feature, list[Row]]]:
    """The last results by series and feature, newest first."""
    found: dict[str, dict[Feature, list[Row]]] = {}
    table = state.read("last_results", series=ids, since=0, until=until_ns, windows=WINDOWS)
    for row in table.to_pylist():
        own = found.setdefault(row["series_id"], {})
        own.setdefault(_key(row), []).append(row)
    return found


def _memories(state: State, ids: Iterable[str]) -> dict[str, dict[Feature, AlarmMemory]]:
    wanted = set(ids)
    found: dict[str, dict[Feature, AlarmMemory]] = {}
    for row in state.read("read_alarms").to_pylist():
        if row["series_id"] in wanted:
            found.setdefault(row["series_id"], {})[_key(row)] = alarms.from_json(row["memory"])
    return found


def _maturity(series: Row, sessions: Row, monitor: Monitor) -> str:
    """How far a series is from its first reference."""
    settings = monitor.reference
    age = max(0, series["window_ns"] - series["first_ns"]) / 1e9
    return (
        f"immature: {_duration(age, settings.min_age)} and {sessions['closed']:,} of "
        f"{settings.min_sessions:,} sessions for the first reference"
    )


def _open_window(series: Row, sessions: Row, monitor: Monitor) -> str:
    settings = monitor.window
    return (
        f"{settings.min_sessions:,} sessions needed, {sessions['open']:,} seen since "
        f"{timestamp(series['window_ns'])[:16].replace('T', ' ')}"
    )


def _duration(seconds: float, needed: float) -> str:
    size, unit = (86400, "days") if needed >= 2 * 86400 else (3600, "hours")
    return f"{seconds / size:.3g} of {needed / size:.3g} {unit}"


def _bounded(series: list[Json]) -> tuple[list[Json], int]:
    """At most MAX_ALARMS alarms, the gravest ones, and how many are left out."""
    ranked = sorted(
        (_GRAVEST.index(alarm["state"] or "ok"), place, number)
        for place, each in enumerate(series)
        for number, alarm in enumerate(each["alarms"])
    )
    kept = {(place, number) for _, place, number in ranked[:MAX_ALARMS]}
    for place, each in enumerate(series):
        numbered = enumerate(each["alarms"])
        each["alarms"] = [alarm for number, alarm in numbered if (place, number) in kept]
    return series, max(0, len(ranked) - MAX_ALARMS)


def _advise(series: list[Json]) -> list[str]:
    states = {alarm["state"] for each in series for alarm in each["alarms"]}
    advice = []
    if any(each["reference"] is None for each in series):
        advice.append(
            "Wait until the first reference pins itself, or pin one: "
            "`retraind reference pin --from training.parquet`."
        )
    if "no_data" in states:
        advice.append(
            "Too little data: lower window.min_sessions_at_max_length, or take fewer cohorts."
        )
    if states & {"firing", "resolving"}:
        advice.append("Something fires: `retraind episodes` lists what it belongs to.")
    return advice


def _advise_episode(body: Json) -> list[str]:
    episode, policy = body["episode"], body["policies"][0]
    scope = [
        f"--{option} {episode[name]}"
        for option, name in (("service", "service_name"), ("model", "model"))
        if episode[name]
    ]
    pin = f"`retraind reference pin {' '.join(scope)}`".replace(" `", "`")
    advice = []
    if episode["trigger_id"] is None:
        if policy["asks"] and policy["cooldown"]:
            advice.append("It was held back by the cooldown of the trigger before (see above).")
        elif episode["status"] == "open":
            advice.append("It will ask when the policy's rule holds: see what is missing above.")
        if any(line.startswith("drift is in the retrain band") for line in policy["missing"]):
            advice.append("To let drift ask by itself, name it: `policy: {any: [drift, …]}`.")
    else:
        advice.append(f"Retrain, then compare with the new traffic: {pin}.")
    advice += [
        f"The trigger never reached {each['destination']}: "
        f"`retraind webhook retry {episode['trigger_id']}`."
        for each in body.get("deliveries", ())
        if each["status"] in ("dead", "expired")
    ]
    advice.append(f"If the change is wanted, take it as the reference: {pin}.")
    return advice
