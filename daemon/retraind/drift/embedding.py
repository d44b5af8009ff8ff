"""Embeddings that spans carry: has the cloud of vectors moved, or has a new cluster come?

Two tests. A mean test on ridge-whitened vectors sees a small shift in any direction, where a plain
mean looks only at the few directions that vary much. The squared maximum mean discrepancy of a
Gaussian kernel, by random Fourier features (Rahimi and Recht 2007), sees new clusters. Vectors are
scaled to length one first. The whitening and the kernel's width are taken from one half of the
reference, the moments of both tests and the compared means from the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from retraind.drift.bins import FloatArray, IntArray
from retraind.drift.embedding_projection import (
    MAX_LENGTH,
    REDUCED_BITS,
    STATE,
    TABLE_BITS,
    WholeMatrix,
    cosines,
    longest_reduced,
    reduced,
    unit_vectors,
    whitened,
    whole_matrix,
)
from retraind.drift.frozen import NotTested, content_id, held_out, numbered, pack, unpack
from retraind.drift.vector_means import MeanResult, Moments, VectorSums, compare_means, moments

KIND = "embedding/v1"
FEATURES = 256
RIDGE = 0.1
"""Times the mean eigenvalue of the covariance."""
SHIFT_METHOD = f"whitened-mean/ridge{RIDGE}/cumulants4/v1"
CLUSTER_METHOD = f"rff{FEATURES}-mmd/cumulants4/v1"
SMALLEST_REFERENCE = 500
FROZEN_SESSIONS = 10_000
HELD_OUT_ONE_IN = 2
NORM = 1 << 20
NORM_RATIO = 1.25
"""Mean lengths that differ more come from another model, or another scaling."""


@dataclass(frozen=True, slots=True)
class EmbeddingSums:
    """Sums over n sessions in fixed point: lengths, whitened vectors (d,), features (256,).

    A length is in 2^-20 of the reference's mean length. `missing` sessions had a vector that is
    zero or not finite.
    """

    whitened: VectorSums
    features: VectorSums
    lengths: int
    missing: int

    def __add__(self, other: EmbeddingSums) -> EmbeddingSums:
        return EmbeddingSums(
            self.whitened + other.whitened,
            self.features + other.features,
            self.lengths + other.lengths,
            self.missing + other.missing,
        )

    @property
    def n(self) -> int:
        return self.whitened.n


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddingRows:
    """Projected vectors of n sessions: whitened (n, d), features (n, 256), lengths (n,).

    Rows of sessions that are not `present` mean nothing.
    """

    whitened: IntArray
    features: IntArray
    lengths: IntArray
    present: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class EmbeddingResult:
    """Both tests. `p_value` is twice the smaller one of the two, so it keeps its level.

    `shift.distance` is in the unit of PSI: two normal distributions whose means are that far apart
    in whitened coordinates have that PSI.
    """

    shift: MeanResult
    cluster: MeanResult
    p_value: float


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddingProjection:
    """What is frozen with a reference of embeddings of `length` dimensions of one `model`.

    `norm` is the mean length of its vectors. Vectors of another model or number of dimensions
    cannot be compared with it: that is a new series.
    """

    model: str
    length: int
    seed: str
    norm: float
    mean: IntArray
    whitening: WholeMatrix
    frequencies: WholeMatrix
    phases: IntArray
    shift_moments: Moments
    cluster_moments: Moments
    id: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", content_id(self.to_bytes()))

    def to_bytes(self) -> bytes:
        """For the table of references, at most 400 kB; `from_bytes` reads it."""
        names = ("model", "length", "seed", "norm")
        fields: dict[str, Any] = {name: getattr(self, name) for name in names}
        fields["bits"] = [self.whitening.bits, self.frequencies.bits]
        fields["moments"] = [asdict(self.shift_moments), asdict(self.cluster_moments)]
        return pack(KIND, fields, {
            "mean": self.mean, "whitening": self.whitening.entries,
            "frequencies": self.frequencies.entries, "phases": self.phases,
        })  # fmt: skip

    @classmethod
    def from_bytes(cls, packed: bytes) -> EmbeddingProjection:
        """Raises StoreError when these are not the bytes of an EmbeddingProjection."""
        fields, arrays = unpack(KIND, packed)
        shift, cluster = (Moments(**each) for each in fields.pop("moments"))
        bits = fields.pop("bits")
        return cls(
            **fields,
            mean=arrays["mean"],
            whitening=WholeMatrix(arrays["whitening"], bits[0]),
            frequencies=WholeMatrix(arrays["frequencies"], bits[1]),
            phases=arrays["phases"],
            shift_moments=shift,
            cluster_moments=cluster,
        )

    def project(self, vectors: npt.NDArray[Any], model: str) -> EmbeddingRows | NotTested:
        """Vectors, shape (n, length), of one model. 1000 of 1536 dimensions take about 30 MB."""
        if model != self.model:
            detail = f"the vectors are of {model}, the reference's of {self.model}"
            return NotTested("not_comparable", detail)
        if vectors.ndim != 2 or vectors.shape[1] != self.length:
            detail = f"vectors of shape {vectors.shape}, the reference has {self.length} dimensions"
            return NotTested("not_comparable", detail)
        units, lengths, present = unit_vectors(vectors)
        points = reduced(units, self.seed.encode())
        return EmbeddingRows(
            whitened(points, self.mean, self.whitening),
            cosines(points, self.frequencies, self.phases),
            np.rint(np.minimum(lengths / self.norm, NORM) * NORM).astype(np.int64),
            present,
        )

    def sums(self, rows: EmbeddingRows, groups: IntArray, count: int) -> list[EmbeddingSums]:
        """The sums of each of `count` groups; `groups`, shape (n,), has each session's.

        The reference's own are those of its held-out half.
        """
        own = groups[rows.present]
        sizes = np.bincount(own, minlength=count).tolist()
        missing = np.bincount(groups[~rows.present], minlength=count).tolist()
        first, second, lengths = (
            _added(each[rows.present], own, count)
            for each in (rows.whitened, rows.features, rows.lengths)
        )
        return [
            EmbeddingSums(
                VectorSums(self.id, sizes[i], first[i]),
                VectorSums(self.id, sizes[i], second[i]),
                int(lengths[i]),
                missing[i],
            )
            for i in range(count)
        ]

    def compare(
        self, reference: EmbeddingSums, current: EmbeddingSums
    ) -> EmbeddingResult | NotTested:
        """Both tests of a window's sums against those of its reference's held-out sessions."""
        if reference.whitened.parts != self.id:
            return NotTested("not_comparable", "the sums are those of another reference")
        if current.n and reference.n:
            ratio = current.lengths / current.n / (reference.lengths / reference.n)
            if not 1 / NORM_RATIO <= ratio <= NORM_RATIO:
                detail = f"the mean length of the vectors is {ratio:.3g} times the reference's"
                return NotTested("not_comparable", detail)
        shift = compare_means(
            SHIFT_METHOD, reference.whitened, current.whitened, self.shift_moments, STATE
        )
        cluster = compare_means(
            CLUSTER_METHOD, reference.features, current.features, self.cluster_moments,
            STATE * (FEATURES / 2) ** 0.5,
        )  # fmt: skip
        if isinstance(shift, NotTested):
            return shift
        if isinstance(cluster, NotTested):
            return cluster
        return EmbeddingResult(shift, cluster, min(1.0, 2 * min(shift.p_value, cluster.p_value)))


def freeze_embedding(
    vectors: npt.NDArray[Any], model: str, session_ids: Sequence[str], seed: str
) -> EmbeddingProjection | NotTested:
    """Freeze a reference of vectors, shape (m, length), of one model; `seed` is its id.

    At most 10,000 sessions are looked at, half for the whitening, half for the moments. Raises
    ValueError when the vectors have more than 8192 dimensions.
    """
    if vectors.shape[1] > MAX_LENGTH:
        raise ValueError(f"vectors of more than {MAX_LENGTH} dimensions are not supported")
    order = numbered(session_ids)[:FROZEN_SESSIONS]
    units, lengths, present = unit_vectors(vectors[order])
    if (have := int(present.sum())) < SMALLEST_REFERENCE:
        return NotTested(
            "reference_too_small", f"{have} sessions with a vector; {SMALLEST_REFERENCE} are needed"
        )
    points = reduced(units, seed.encode())[present]
    compared = held_out((session_ids[row] for row in order.tolist()), HELD_OUT_ONE_IN)[present]
    made, rest = points[~compared], points[compared]
    if (made == made[0]).all() or (rest == rest[0]).all():
        return NotTested("constant", "the sessions of the reference are all alike")
    mean, whitening = _whitening(made, vectors.shape[1])
    frequencies, phases = _kernel(made, vectors.shape[1], seed)
    return EmbeddingProjection(
        model, vectors.shape[1], seed, float(lengths[present].mean()),
        mean, whitening, frequencies, phases,
        moments(whitened(rest, mean, whitening) / STATE),
        moments(cosines(rest, frequencies, phases) / (STATE * (FEATURES / 2) ** 0.5)),
    )  # fmt: skip


def _whitening(points: FloatArray, length: int) -> tuple[IntArray, WholeMatrix]:
    """The mean, and the symmetric (C + ridge)^(-1/2) for the covariance C."""
    scale = 2.0**REDUCED_BITS
    mean = np.rint(points.mean(axis=0))
    values, directions = np.linalg.eigh(np.cov(points.T / scale))
    stretch = 1 / np.sqrt(np.maximum(values, 0) + RIDGE * values.mean())
    matrix = (directions * stretch) @ directions.T
    return mean.astype(np.int64), whole_matrix(matrix, 2 * longest_reduced(length))


def _kernel(points: FloatArray, length: int, seed: str) -> tuple[WholeMatrix, IntArray]:
    """Frequencies for exp(-distance^2 / median distance^2), the median between sessions."""
    some = points[:1000] * 2.0**-REDUCED_BITS
    half = len(some) // 2
    left, right = some[:half], some[half : 2 * half]
    squares = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1) - 2 * left @ right.T
    median = float(np.median(squares))
    random = np.random.default_rng(np.frombuffer(seed.encode(), np.uint8))
    frequencies = random.normal(size=(points.shape[1], FEATURES)) * np.sqrt(2 / max(median, 1e-12))
    phases = random.integers(0, 1 << TABLE_BITS, FEATURES)
    return whole_matrix(frequencies / (2 * np.pi), longest_reduced(length)), phases


def _added(rows: IntArray, groups: IntArray, count: int) -> IntArray:
    """Sums of the rows of each group, exact."""
    totals = np.zeros((count, *rows.shape[1:]), np.int64)
    order = np.argsort(groups, kind="stable")
    present, first = np.unique(groups[order], return_index=True)
    if len(present):
        totals[present] = np.add.reduceat(rows[order], first)
    return totals
