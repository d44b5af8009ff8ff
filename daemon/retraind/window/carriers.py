"""Which span speaks for a session: the smallest hash of those that carry the feature."""

from __future__ import annotations

import numpy as np

from retraind.window.columns import Bools, Ints, group, pack, starts_of_runs
from retraind.window.tally import choose
from retraind.window.traces import Traces


class Carriers:
    """Calls sorted once by (session, hash); `member` is the code of the session in its pane."""

    def __init__(self, traces: Traces, row: Ints, member: Ints, others: Ints) -> None:
        self.traces = traces
        ties = _trace_ranks(traces, row)
        order = np.lexsort((ties, traces.hash(row), member))
        self.row, self.member, self.others = row[order], member[order], others
        self.joined: tuple[Ints, Ints] | None = None

    def chosen(self, carried: Bools, anywhere: bool) -> tuple[Ints, Ints]:
        """Sessions with a carrier, and the carrier of each."""
        at = np.flatnonzero(carried[self.row])
        at = at[starts_of_runs(self.member[at])]
        owner, row = self.member[at], self.row[at]
        if not anywhere:
            return owner, row
        served = np.zeros(int(self.member.max()) + 1, bool)
        served[owner] = True
        member, other = self._of_same_trace(carried)
        free = ~served[member]
        member, other = member[free], other[free]
        best = choose(member, self.traces.hash(other), _trace_ranks(self.traces, other))
        return np.concatenate((owner, member[best])), np.concatenate((row, other[best]))

    def _of_same_trace(self, carried: Bools) -> tuple[Ints, Ints]:
        """Pairs (session, carrier) that share a trace, an hour and a session id with its calls."""
        other = self.others[carried[self.others]]
        rows = np.concatenate((self.row, other))
        place = (self.traces.trace[rows], self.traces.session[rows], self.traces.hour[rows])
        key, _ = group(pack(place[0], place[1], place[2] - place[2].min()))
        inside, outside = key[: len(self.row)], key[len(self.row) :]
        pairs = group(pack(inside, self.member))[0]
        one = np.unique(pairs, return_index=True)[1]
        one = one[np.argsort(inside[one], kind="stable")]
        low = np.searchsorted(inside[one], outside, side="left")
        count = np.searchsorted(inside[one], outside, side="right") - low
        ends = np.cumsum(count)
        step = np.arange(int(count.sum())) - np.repeat(ends - count, count)
        return self.member[one[np.repeat(low, count) + step]], np.repeat(other, count)


def _trace_ranks(traces: Traces, row: Ints) -> Ints:
    """Order of trace ids as texts: settles equal span ids of one session."""
    if len(traces.distinct_ids) == len(traces.span_id):
        return np.zeros(len(row), np.int64)
    order = np.argsort(np.array(traces.trace_ids.to_pylist(), dtype=str), kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return rank[traces.trace[row]]
