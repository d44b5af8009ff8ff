"""Panes counted the slow way, with dictionaries and loops, and rows of `spans` to count."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import Any

import pyarrow as pa

HOUR = 3_600_000_000_000
MASK = 2**64 - 1
INFERENCE = {"chat", "text_completion", "embeddings", "rerank"}
ONCE = {"usage:input_total", "output_tokens", "cost"}
Row = dict[str, Any]

TEXT, INT, REAL = pa.string(), pa.int64(), pa.float64()
SPAN_TYPES = {
    "seq": INT, "trace_id": TEXT, "span_id": TEXT, "parent_span_id": TEXT,
    "start_time": pa.timestamp("ns"), "duration_ns": INT, "status": TEXT, "service_name": TEXT,
    "environment": TEXT, "operation": TEXT, "request_model": TEXT, "response_model": TEXT,
    "session_id": TEXT, "user_id": TEXT, "agent_name": TEXT, "run_id": TEXT, "variant": TEXT,
    "part": TEXT, "usage:input_total": INT, "usage:response": INT, "usage:emitter": INT,
    "output_tokens": INT, "cost": REAL, "tool_name": TEXT,
    "length:input_text,input_messages": INT, "length:output_text,output_messages": INT,
    "first:finish_reasons": TEXT, "attribute:tier": TEXT, "attribute:intent": TEXT,
    "feature:refusal": TEXT, "feature:output_json": TEXT, "feature:tool_choice": TEXT,
    "feature:retrieval": TEXT, "feature:retrieved": INT, "feature:top_score": REAL,
    "feature:top_document": TEXT,
}  # fmt: skip
EVAL_TYPES = {
    "seq": INT, "time": pa.timestamp("ns"), "trace_id": TEXT, "span_id": TEXT, "name": TEXT,
    "score": REAL, "label": TEXT, "passed": pa.bool_(), "error_type": TEXT, "evaluator": TEXT,
    "evaluator_version": TEXT, "kind": TEXT, "run_id": TEXT, "variant": TEXT, "source": TEXT,
    "idempotency_key": TEXT,
}  # fmt: skip


def trace_id(number: int) -> str:
    return f"{number:032x}"


def span_id(number: int) -> str:
    return f"{number:016x}"


def span_table(rows: list[Row]) -> pa.Table:
    return pa.table({n: pa.array([row.get(n) for row in rows], t) for n, t in SPAN_TYPES.items()})


def eval_table(rows: list[Row]) -> pa.Table:
    return pa.table({n: pa.array([row.get(n) for row in rows], t) for n, t in EVAL_TYPES.items()})


def splitmix(value: int) -> int:
    z = (value + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def log_bucket(x: float) -> int:
    if x == 0:
        return 0
    return int(math.copysign(1 + math.floor(math.log(abs(x) / 1e-9) / math.log(1.005)), x))


class Slow:
    """The rules of a pane, one span at a time. Range in hours [first, last)."""

    def __init__(self, spans: list[Row], evals: list[Row], first: int, last: int) -> None:
        self.first, self.last = first, last
        self.evals = evals
        kept: dict[tuple[str, str], Row] = {}
        for row in sorted(spans, key=lambda r: r["seq"]):
            kept.setdefault((row["trace_id"], row["span_id"]), row)
        self.spans = kept
        self.by_trace: dict[str, list[Row]] = defaultdict(list)
        for row in kept.values():
            self.by_trace[row["trace_id"]].append(row)
        self.leaves = [row for row in kept.values() if self.is_leaf(row)]

    @staticmethod
    def hour(row: Row) -> int:
        return int(row["start_time"] // HOUR)

    @staticmethod
    def live(row: Row) -> bool:
        return not row.get("run_id") and row.get("variant") not in ("shadow", "candidate")

    def parent(self, row: Row) -> Row | None:
        up = self.spans.get((row["trace_id"], row.get("parent_span_id") or ""))
        return up if up is not None and up is not row and self.hour(up) <= self.hour(row) else None

    def ancestors(self, row: Row) -> list[Row]:
        found: list[Row] = []
        up = self.parent(row)
        while up is not None and not any(up is each for each in found):
            found.append(up)
            up = self.parent(up)
        return found

    def resolve(self, row: Row, name: str) -> str:
        for each in [row, *self.ancestors(row)]:
            if each.get(name):
                if self.hour(row) - self.hour(each) <= 1:
                    return str(each[name])
                break
        near = [
            each for each in self.by_trace[row["trace_id"]]
            if each.get(name) and 0 <= self.hour(row) - self.hour(each) <= 1
        ]  # fmt: skip
        return str(min(near, key=self.order)[name]) if near else ""

    @staticmethod
    def order(row: Row) -> tuple[int, int]:
        return row["start_time"], int(row["span_id"], 16)

    def is_call(self, row: Row) -> bool:
        if row.get("part") == "request":
            return False
        announced = row.get("part") == "pending" and self.parent(row) is not None
        return row.get("operation") in INFERENCE and not announced

    def is_leaf(self, row: Row) -> bool:
        if not self.is_call(row) or not self.live(row):
            return False
        return not any(
            other is not row and self.is_call(other)
            and self.hour(other) == self.hour(row)
            and any(row is up for up in self.ancestors(other))
            for other in self.by_trace[row["trace_id"]]
        )  # fmt: skip

    def reported_better(self, row: Row) -> bool:
        """Whether another leaf of this trace, hour and source is the same call, and goes first."""
        return any(
            self.fullness(other) < self.fullness(row) and self.is_same_call(other, row)
            for other in self.leaves
            if all(
                (other.get(n) or "") == (row.get(n) or "")
                for n in ("trace_id", "service_name", "environment")
            )
            and self.hour(other) == self.hour(row)
        )

    @staticmethod
    def fullness(row: Row) -> tuple[bool, bool, int, int]:
        silent = row.get("usage:input_total") is None and row.get("output_tokens") is None
        return silent, row.get("cost") is None, row["start_time"], int(row["span_id"], 16)

    @staticmethod
    def is_same_call(one: Row, other: Row) -> bool:
        (a, b), (c, d) = [
            (row["start_time"], row["start_time"] + max(row.get("duration_ns") or 0, 0))
            for row in (one, other)
        ]
        responses = {row.get("usage:response") for row in (one, other)}
        if None not in responses and len(responses) == 1 and a <= d and c <= b:
            return True
        models = any(
            one.get(n) and one.get(n) == other.get(n) for n in ("request_model", "response_model")
        )
        tokens = [
            (row.get("usage:input_total"), row.get("output_tokens") or 0) for row in (one, other)
        ]
        counted = tokens[0] == tokens[1] and tokens[0][0] is not None
        nested = (a <= c and d <= b) or (c <= a and b <= d)
        return models and counted and nested and one["usage:emitter"] != other["usage:emitter"]

    def session(self, row: Row) -> tuple[str, str]:
        own = self.resolve(row, "session_id")
        return ("session", own) if own else ("trace", row["trace_id"])

    def key(self, row: Row, cohort: str | None) -> tuple[str, ...]:
        model = row.get("request_model") or row.get("response_model") or ""
        group = self.resolve(row, cohort) if cohort else ""
        return row.get("service_name") or "", row.get("environment") or "", model, group

    def units(self, calls: list[tuple[Any, Row]], dominated: int) -> dict[int, tuple[str, str]]:
        """Session (or trace) of each call; `calls` of one pane."""
        held: dict[Any, set[str]] = defaultdict(set)
        for _, row in calls:
            held[self.session(row)].add(row["trace_id"])
        traces = len({(s, t) for s, ts in held.items() for t in ts})
        by_trace = traces >= dominated and 2 * max(len(ts) for ts in held.values()) > traces
        return {
            id(row): ("trace", row["trace_id"]) if by_trace else self.session(row)
            for _, row in calls
        }

    def rows(
        self, features: list[tuple[str, str, str, bool]], cohort: str | None, *, dominated: int,
        passes: Any, limit: int = 512,
    ) -> dict[tuple[Any, ...], Row]:  # fmt: skip
        """(service, environment, model, cohort, hour, feature, version, kind) -> row of a pane."""
        out: dict[tuple[Any, ...], Row] = {}
        panes: dict[tuple[Any, ...], list[tuple[Any, Row]]] = defaultdict(list)
        for row in self.leaves:
            if self.first <= self.hour(row) < self.last:
                panes[(*self.key(row, cohort), self.hour(row))].append((None, row))
        for pane, calls in panes.items():
            self._distributions(out, pane, calls, features, dominated, limit)
        self._quality(out, cohort, dominated, passes)
        return out

    def _distributions(self, out: Any, pane: Any, calls: Any, features: Any, dominated: int,
                       limit: int) -> None:  # fmt: skip
        units = self.units(calls, dominated)
        sessions: dict[Any, list[Row]] = defaultdict(list)
        for _, row in calls:
            sessions[units[id(row)]].append(row)
        unit = "session"
        if any(unit_ == ("trace", r["trace_id"]) and self.session(r)[0] == "session"
               for unit_, rs in sessions.items() for r in rs):  # fmt: skip
            unit = "trace"
        out[(*pane, "sessions", "", "category")] = {
            "sessions": len(sessions), "missing": 0, "values": {unit: len(sessions)}}  # fmt: skip
        versions = ("versions", "category", "response_model", False)
        for name, kind, column, anywhere in [versions, *features]:
            values: list[Any] = []
            for rows in sessions.values():
                carriers = [row for row in rows if row.get(column) not in (None, "")]
                if column in ONCE:
                    carriers = [row for row in carriers if not self.reported_better(row)]
                if not carriers and anywhere:
                    carriers = [
                        other for other in self.spans.values()
                        if other.get(column) not in (None, "") and self.live(other)
                        and self.hour(other) == pane[-1]
                        and any(other["trace_id"] == row["trace_id"]
                                and self.session(other) == self.session(row) for row in rows)
                    ]  # fmt: skip
                if carriers:
                    first = min(
                        carriers,
                        key=lambda r: (splitmix(int(r["span_id"], 16)), r["trace_id"]),
                    )
                    values.append(first[column])
            counts = Counter(log_bucket(v) if kind == "number" else v for v in values)
            if kind == "category" and len(counts) > limit:
                counts = Counter({"__high_cardinality__": len(values)})
            out[(*pane, name, "", kind)] = {
                "sessions": len(sessions), "missing": len(sessions) - len(values),
                "values": dict(counts)}  # fmt: skip

    def call_of(self, row: Row) -> Row | None:
        """The leaf inference span that an evaluation judges."""
        leaves = [leaf for leaf in self.leaves if leaf["trace_id"] == row.get("trace_id")]
        if not row.get("span_id"):
            own = row["kind"] == "automated" and row.get("time") is not None
            at = row["time"] // HOUR if own else -1
            near = [leaf for leaf in leaves if 0 <= at - self.hour(leaf) <= 1]
            before = [leaf for leaf in leaves if self.hour(leaf) < at]
            return min(near, key=self.order, default=max(before, key=self.order, default=None))
        judged = self.spans.get((row.get("trace_id") or "", row["span_id"]))
        if judged is None or not self.live(judged) or judged.get("operation") == "evaluator":
            return None
        if any(judged is leaf for leaf in leaves):
            return judged
        near = [leaf for leaf in leaves if self.hour(leaf) == self.hour(judged)]
        below = [
            (at, self.order(leaf), leaf) for leaf in near
            for at, up in enumerate(self.ancestors(leaf)) if up is judged
        ]  # fmt: skip
        if below:
            return min(below, key=lambda item: item[:2])[2]
        near = [leaf for leaf in leaves if 0 <= self.hour(judged) - self.hour(leaf) <= 1]
        return min(near, key=self.order, default=None)

    @staticmethod
    def rank(row: Row) -> tuple[int, int]:
        carriers = ["log", "event", "attribute", "span"]
        return carriers.index(row["source"].split(":")[0]), row["seq"]

    def repeats(self, row: Row) -> bool:
        """Whether a better row says the same, near it or under the same idempotency key."""
        if (row.get("source") or "api").startswith("api"):
            return False
        for other in self.evals:
            if (other.get("source") or "api").startswith("api") or not self.counts(other):
                continue
            key = row.get("idempotency_key")
            names = ["trace_id", "span_id", "name", "idempotency_key"]
            if key is None:
                names += ["evaluator", "evaluator_version", "score", "label"]
            if any(other.get(name) != row.get(name) for name in names):
                continue
            times = row.get("time"), other.get("time")
            near = times == (None, None) or (
                None not in times and abs(times[0] - times[1]) <= 300_000_000_000
            )
            if (key is not None or near) and self.rank(other) < self.rank(row):
                return True
        return False

    def counts(self, row: Row) -> bool:
        return not row.get("error_type") and self.live(row) and bool(row.get("name"))

    def _quality(self, out: Any, cohort: str | None, dominated: int, passes: Any) -> None:  # noqa: C901
        panes: dict[tuple[Any, ...], list[tuple[Row, Row]]] = defaultdict(list)
        for row in self.evals:
            call = self.call_of(row)
            if not self.counts(row) or call is None or self.repeats(row):
                continue
            own = row["kind"] == "automated" and row.get("time") is not None
            judged = self.spans.get((row.get("trace_id") or "", row.get("span_id") or ""))
            if not own and judged is None:
                continue
            hour = row["time"] // HOUR if own or judged is None else self.hour(judged)
            if self.first <= hour < self.last and hour >= self.hour(call):
                panes[(*self.key(call, cohort), hour)].append((row, call))
        for pane, pairs in panes.items():
            units = self.units(pairs, dominated)
            scores: dict[Any, dict[Any, list[int]]] = defaultdict(lambda: defaultdict(list))
            fails: dict[Any, dict[Any, list[bool]]] = defaultdict(lambda: defaultdict(list))
            for row, call in pairs:
                judge = row.get("evaluator_version")
                version = (call.get("response_model") or "") + (f"|judge:{judge}" if judge else "")
                at = (row["name"], version)
                if row.get("score") is not None:
                    scores[at][units[id(call)]].append(round(row["score"] * 1_000_000))
                verdict = row.get("passed")
                if verdict is None:
                    verdict = passes(row["name"], row.get("score"))
                if verdict is not None:
                    fails[at][units[id(call)]].append(not verdict)
            for (name, version), by_session in scores.items():
                means = [(2 * sum(s) + len(s)) // (2 * len(s)) for s in by_session.values()]
                out[(*pane, name, version, "score")] = {
                    "sessions": len(means), "missing": 0, "total": sum(means),
                    "total_squares": sum(round(m * m / 1e6) for m in means),
                    "values": dict(Counter(log_bucket(m / 1e6) for m in means))}  # fmt: skip
            for (name, version), by_session in fails.items():
                shares = [
                    (2_000_000 * sum(f) + len(f)) // (2 * len(f)) for f in by_session.values()
                ]
                out[(*pane, name, version, "rate")] = {
                    "sessions": len(shares), "missing": 0, "total": sum(shares),
                    "total_squares": sum(round(s * s / 1e6) for s in shares),
                    "results": sum(map(len, by_session.values())),
                    "failures": sum(map(sum, by_session.values())),
                    "values": dict(Counter(shares))}  # fmt: skip


def as_rows(table: pa.Table) -> dict[tuple[Any, ...], Row]:
    """Our rows in the oracle's form; counts of nothing and zero sums are left out alike."""
    out: dict[tuple[Any, ...], Row] = {}
    for row in table.to_pylist():
        key = tuple(row[n] for n in ("service_name", "environment", "model", "cohort"))
        key += (row["pane_start_ns"] // HOUR, row["feature"], row["version"], row["kind"])
        assert key not in out
        values = row["categories"] if row["kind"] == "category" else row["buckets"]
        assert values == sorted(values)
        out[key] = {
            "values": dict(zip(values, row["counts"], strict=True)),
            **{
                n: row[n]
                for n in ("sessions", "missing", "total", "total_squares", "results", "failures")
            },
        }
    return out


def full(row: Row) -> Row:
    return {"total": 0, "total_squares": 0, "results": 0, "failures": 0, **row}
