"""Which calls count for tokens and cost: of two reports of one call, one.

A gateway and a client library, or two libraries in one process, report the same call as two spans
that are not nested. They are one call when they meet in time and have one response id; or when one
runs inside the other, with equal model and tokens, and they come from two emitters (two spans of
one emitter are two calls, such as batches of equal size sent at once). A retry neither meets the
failed attempt nor shares its id, so both count. store/schema/usage.sql says the same of the view
`usage`; here only calls of one source and hour are compared, as a pane sees no others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retraind.window.columns import (
    Bools,
    Codes,
    Ints,
    group,
    one_array,
    pack,
    starts_of_runs,
    to_ints,
)  # fmt: skip
from retraind.window.plan import REPORTED
from retraind.window.traces import Traces

Floats = NDArray[np.float64]

COMPARED = 2000
"""Calls with equal keys that are compared with one another; more of them all count."""


@dataclass(frozen=True, slots=True)
class Reports:
    """What spans say of their calls: codes are -1 where absent, numbers NaN; `end` in ns."""

    source: Ints
    response: Ints
    emitter: Ints
    request_model: Ints
    response_model: Ints
    input_tokens: Floats
    output_tokens: Floats
    cost: Floats
    end: Ints


def read_reports(
    traces: Traces, text: Callable[[str], Codes], number: Callable[[str], Floats]
) -> Reports:
    """The columns of REPORTED; `text` and `number` read a column by its alias."""
    alias = {source.key: source.alias for source in REPORTED}

    def code(key: str) -> Ints:
        large = one_array(traces.table[alias[key]])
        return to_ints(large.dictionary_encode().indices, -1)

    return Reports(
        source=pack(text("service_name").index, text("environment").index),
        response=code("response"),
        emitter=code("emitter"),
        request_model=text("request_model").index,
        response_model=text("response_model").index,
        input_tokens=number(alias["input_total"]),
        output_tokens=number(alias["output_tokens"]),
        cost=number(alias["cost"]),
        end=traces.start + to_ints(traces.table[alias["duration_ns"]], 0).clip(0),
    )


def second_reports(traces: Traces, reports: Reports) -> Bools:
    """Leaf calls that another span of their trace reports at least as well."""
    second = np.zeros(len(traces.trace), bool)
    leaves = np.flatnonzero(traces.leaf)
    leaves = leaves[_in_company(traces.trace[leaves])]
    if len(leaves) == 0:
        return second
    place = pack(traces.trace, traces.hour - traces.hour.min(), reports.source)

    def meet(one: Ints, other: Ints) -> Bools:
        start, end = traces.start, reports.end
        return np.asarray((start[one] <= end[other]) & (start[other] <= end[one]))

    def inside(one: Ints, other: Ints) -> Bools:
        """`other` runs during `one`."""
        start, end = traces.start, reports.end
        return np.asarray((start[one] <= start[other]) & (end[other] <= end[one]))

    def is_echo(one: Ints, other: Ints) -> Bools:
        model = _equal(reports.request_model, one, other)
        model |= _equal(reports.response_model, one, other)
        nested = inside(one, other) | inside(other, one)
        return np.asarray(model & nested & (reports.emitter[one] != reports.emitter[other]))

    def mark(rows: Ints, key: Ints, are_one: Callable[[Ints, Ints], Bools]) -> None:
        """Mark each row that is one call with a row of equal key and better place."""
        several = _in_company(key)
        rows, key = rows[several], key[several]
        order = _by_place(traces, reports, rows)
        for members in _groups(rows[order], key[order]):
            if len(members) <= COMPARED:
                for at in range(1, len(members)):
                    second[members[at]] |= are_one(members[:at], members[at : at + 1]).any()

    known = leaves[reports.response[leaves] >= 0]
    mark(known, pack(place[known], reports.response[known]), meet)
    counted = leaves[np.isfinite(reports.input_tokens[leaves])]
    tokens = (reports.input_tokens, np.nan_to_num(reports.output_tokens))
    key = pack(place[counted], *(_codes(values[counted]) for values in tokens))
    several = _in_company(key)
    counted, key = counted[several], key[several]
    twice = np.isin(key, _with_two(key, reports.emitter[counted]))
    mark(counted[twice], key[twice], is_echo)
    return second


def _codes(whole: Floats) -> Ints:
    """Whole numbers as codes from 0."""
    values = whole.astype(np.int64)
    return np.asarray(values - values.min(initial=0))


def _in_company(key: Ints) -> Bools:
    """Entries whose key occurs more than once."""
    code, _ = group(key)
    many: Bools = np.bincount(code)[code] > 1
    return many


def _by_place(traces: Traces, reports: Reports, rows: Ints) -> Ints:
    """The order of calls, the fullest report first; then by start and id."""
    silent = np.isnan(reports.input_tokens[rows]) & np.isnan(reports.output_tokens[rows])
    unpriced = np.isnan(reports.cost[rows])
    return np.lexsort((traces.span_id[rows], traces.start[rows], unpriced, silent))


def _with_two(key: Ints, emitter: Ints) -> Ints:
    """Keys that occur with more than one emitter."""
    one = np.unique(pack(group(key)[0], emitter), return_index=True)[1]
    keys, count = np.unique(key[one], return_counts=True)
    return keys[count > 1]


def _equal(codes: Ints, one: Ints, other: Ints) -> Bools:
    return np.asarray((codes[one] == codes[other]) & (codes[one] >= 0))


def _groups(rows: Ints, key: Ints) -> Iterator[Ints]:
    """Rows of equal key, where there are several, in their order."""
    order = np.argsort(key, kind="stable")
    starts = starts_of_runs(key[order])
    ends = np.append(starts[1:], len(order))
    for start, end in zip(starts[ends - starts > 1], ends[ends - starts > 1], strict=True):
        yield rows[order[start:end]]
