"""Values that cross the border between two stages.

Times inside the daemon are integer nanoseconds since the Unix epoch (UTC) and end in `_ns`;
tables, events and logs show them as RFC 3339 timestamps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

HOUR_NS = 3_600_000_000_000

Signal = Literal["traces", "logs"]
JudgementApi = Literal["feedback", "evaluations"]
"""What people and evaluators POST to the API: rows of `evaluations`."""


@dataclass(frozen=True, slots=True)
class ExportResult:
    """The answer to one OTLP request: items stored and rejected, and why."""

    accepted: int
    rejected: int = 0
    message: str = ""
    duplicate: bool = False


@dataclass(slots=True)
class WriteBatch:
    """Rows of a few requests, decoded together, ready to be committed together.

    The tables have the columns of store/schema/segment.sql without `seq` and `received_at`, which
    the writer adds. `request` columns are not part of the tables: `*_request` arrays give, for each
    row, the index of its request in `digests`, so that a failed commit can be bisected by request.
    """

    signal: Signal | JudgementApi
    received_at_ns: int
    digests: list[bytes]
    results: list[ExportResult]
    spans: pa.Table | None = None
    span_request: Any = None  # np.ndarray[int32], one entry a row of `spans`
    evaluations: pa.Table | None = None
    evaluation_request: Any = None
    logs: pa.Table | None = None
    log_request: Any = None
    span_details: pa.Table | None = None
    span_detail_request: Any = None
    quarantine: pa.Table | None = None
    quarantine_request: Any = None
    size_bytes: int = 0


@dataclass(frozen=True, slots=True, order=True)
class SeriesKey:
    """What is watched on its own: monitor x service x environment x request model x cohort."""

    monitor: str
    service_name: str
    environment: str
    model: str
    cohort: str


FeatureKind = Literal["number", "category", "score", "rate"]
ReferenceKind = Literal["pinned", "seasonal", "trailing", "deploy"]


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """Sparse, exact and additive counts of one feature, one value a session.

    `values`, shape (values,), are log-bucket indices for numbers and scores (see
    window/buckets.py), category texts (dtype object) for categories, and shares of failed
    evaluations in millionths for rates; sorted, unique, and paired with `counts`. Both may be parts
    of larger arrays, so nobody writes to them. `missing` sessions had no value. `total` and
    `total_squares` are sums of the value and its square in millionths (fixed point), for scores and
    rates only; `results` and `failures` count single evaluations, for rates only.
    """

    kind: FeatureKind
    values: npt.NDArray[Any]
    counts: npt.NDArray[np.int64]
    missing: int = 0
    total: int = 0
    total_squares: int = 0
    results: int = 0
    failures: int = 0
    n: int = field(init=False, repr=False)
    """Sessions with a value: the sum of `counts`, taken once because it is asked for often."""

    def __post_init__(self) -> None:
        texts = self.kind == "category"
        object.__setattr__(self, "values", np.asarray(self.values, object if texts else np.int64))
        object.__setattr__(self, "counts", np.asarray(self.counts, np.int64))
        object.__setattr__(self, "n", int(self.counts.sum()))

    __hash__ = None  # type: ignore[assignment]  # as arrays have none

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Counts):
            return NotImplemented
        names = ("kind", "missing", "total", "total_squares", "results", "failures")
        return (
            all(getattr(self, name) == getattr(other, name) for name in names)
            and np.array_equal(self.values, other.values)
            and np.array_equal(self.counts, other.counts)
        )


@dataclass(frozen=True, slots=True)
class Contribution:
    """One bin or category: its shares in reference and window, and its part of the PSI.

    `residual`: of its count, about standard normal under no change, positive where the window has
    more; 0 where it was not computed (drift/attribution.py).
    """

    label: str
    reference_share: float
    current_share: float
    contribution: float
    residual: float = 0.0


@dataclass(frozen=True, slots=True)
class DriftResult:
    """One window of one feature against its reference. Shares are of sessions with a value.

    `n` current and `m` reference sessions. `method` names the test and its parameters, so that two
    results are compared only when it is equal.
    """

    method: str
    n: int
    m: int
    psi: float
    psi_floor: float
    psi_corrected: float
    psi_lower: float
    kl_reference_current: float
    kl_current_reference: float
    js_distance: float
    statistic: float
    degrees_of_freedom: int
    p_value: float
    contributions: tuple[Contribution, ...] = ()
    components: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RateResult:
    """The fail rate of one eval in one window: mean over sessions of the share that failed."""

    method: str
    n: int
    results: int
    failures: int
    rate: float
    lower: float
    upper: float
    baseline_rate: float
    baseline_upper: float
    log_e_value: float
    log_threshold: float
    alarmed: bool


Json = dict[str, Any]
