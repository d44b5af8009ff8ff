"""Exact projections in any batch, the whitening by eigenvalues, the kernel by its formula."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from retraind.drift.embedding import (
    FEATURES,
    RIDGE,
    EmbeddingProjection,
    EmbeddingResult,
    EmbeddingRows,
    EmbeddingSums,
    freeze_embedding,
)
from retraind.drift.embedding_projection import (
    MAX_DIMENSIONS,
    REDUCED_BITS,
    STATE,
    reduced,
    unit_vectors,
)
from retraind.drift.frozen import NotTested, held_out
from retraind.errors import StoreError

SCALE = 2.0**REDUCED_BITS


def vectors(seed: int, n: int, length: int) -> np.ndarray:
    """Directions with a mean, and variances that fall."""
    rng = np.random.default_rng(seed)
    spread = 1 / np.sqrt(np.arange(1, length + 1))
    return (rng.normal(size=(n, length)) * spread + 0.3).astype(np.float32)


def ids(n: int) -> list[str]:
    return [f"session {i}" for i in range(n)]


def freeze(rows: np.ndarray) -> EmbeddingProjection:
    each = freeze_embedding(rows, "model", ids(len(rows)), "reference id")
    assert isinstance(each, EmbeddingProjection)
    return each


def project(each: EmbeddingProjection, rows: np.ndarray) -> EmbeddingRows:
    found = each.project(rows, "model")
    assert isinstance(found, EmbeddingRows)
    return found


def sums(each: EmbeddingProjection, rows: np.ndarray) -> EmbeddingSums:
    return each.sums(project(each, rows), np.zeros(len(rows), np.int64), 1)[0]


@pytest.fixture(scope="module", params=[24, 700], ids=["short", "long"])
def frozen(request: pytest.FixtureRequest) -> EmbeddingProjection:
    return freeze(vectors(1, 2000, request.param))


def test_bits_do_not_depend_on_the_batch(frozen: EmbeddingProjection) -> None:
    rows = vectors(2, 101, frozen.length)
    whole = project(frozen, rows)
    backwards = project(frozen, rows[::-1])
    doubles = project(frozen, np.asfortranarray(rows, np.float64))
    single = [project(frozen, rows[i : i + 1]) for i in range(len(rows))]
    for name in ("whitened", "features", "lengths"):
        expected = getattr(whole, name)
        assert (getattr(backwards, name)[::-1] == expected).all()
        assert (getattr(doubles, name) == expected).all()
        assert (np.concatenate([getattr(row, name) for row in single]) == expected).all()


def test_products_are_those_of_whole_numbers(frozen: EmbeddingProjection) -> None:
    """Python's integers have no rounding. The rounding that is left is the last step's."""
    points = reduced(unit_vectors(vectors(3, 5, frozen.length))[0], frozen.seed.encode())
    shifted = (points.astype(np.int64) - frozen.mean).astype(object)
    exact = shifted @ frozen.whitening.entries.astype(object)
    assert (frozen.whitening.times(points - frozen.mean).astype(np.int64) == exact).all()
    found = project(frozen, vectors(3, 5, frozen.length)).whitened
    steps = 2 ** (frozen.whitening.bits + REDUCED_BITS) // STATE
    assert all(abs(a * steps - b) * 2 <= steps for a, b in zip(found.flat, exact.flat, strict=True))
    exact = points.astype(np.int64).astype(object) @ frozen.frequencies.entries.astype(object)
    assert (frozen.frequencies.times(points).astype(np.int64) == exact).all()


def test_worst_vectors_are_exact() -> None:
    """All coordinates alike, in the largest model there can be."""
    rows = np.concatenate((vectors(4, 600, 8192), np.ones((1, 8192), np.float32)))
    frozen = freeze(rows)
    points = reduced(unit_vectors(rows[-1:])[0], frozen.seed.encode())
    for matrix in (frozen.whitening, frozen.frequencies):
        exact = points.astype(np.int64).astype(object) @ matrix.entries.astype(object)
        assert np.abs(exact).max() < 2**53
        sizes = np.abs(points.astype(np.int64)).astype(object) @ np.abs(matrix.entries).astype(
            object
        )
        assert max(sizes.flat) < 2**53  # so no partial sum, in whatever order, can round


def test_directions_only() -> None:
    rows = vectors(5, 50, 32)
    units, lengths, present = unit_vectors(rows)
    norms = np.linalg.norm(rows.astype(np.float64), axis=1)
    np.testing.assert_allclose(units / 2**24, rows / norms[:, None], atol=1e-6)
    np.testing.assert_allclose(lengths, norms, rtol=1e-5)
    assert present.all()
    assert (unit_vectors(rows * np.float32(4))[0] == units).all()


def test_random_signs_keep_distances() -> None:
    units = unit_vectors(vectors(6, 200, 1536))[0]
    points = reduced(units, b"seed")
    assert points.shape == (200, MAX_DIMENSIONS)
    before = np.linalg.norm(units[:100] - units[100:], axis=1) / 2**24
    after = np.linalg.norm(points[:100] - points[100:], axis=1) / SCALE
    ratio = after / before
    assert ratio.mean() == pytest.approx(1, abs=0.05)
    assert ratio.std() < 2 / np.sqrt(2 * MAX_DIMENSIONS)
    assert (reduced(units, b"other") != points).any()


def test_whitening_by_eigenvalues(frozen: EmbeddingProjection) -> None:
    """A direction with variance v is given v / (v + ridge)."""
    rows = vectors(1, 2000, frozen.length)
    points = reduced(unit_vectors(rows)[0], frozen.seed.encode()) / SCALE
    made = ~held_out(ids(2000), 2)
    variances = np.linalg.eigvalsh(np.cov(points[made].T))
    expected = variances / (variances + RIDGE * variances.mean())
    whitened = project(frozen, rows).whitened[made] / STATE
    found = np.linalg.eigvalsh(np.cov(whitened.T))
    np.testing.assert_allclose(found, np.sort(expected), rtol=2e-3)
    assert np.abs(whitened.mean(axis=0)).max() < 1e-4


def test_features_are_those_of_the_gaussian_kernel(frozen: EmbeddingProjection) -> None:
    rows = vectors(7, 400, frozen.length)
    points = reduced(unit_vectors(rows)[0], frozen.seed.encode()) / SCALE
    squares = ((points[:200] - points[200:]) ** 2).sum(axis=1)
    features = project(frozen, rows).features / STATE * np.sqrt(2 / FEATURES)
    products = (features[:200] * features[200:]).sum(axis=1)
    error = products - np.exp(-squares / np.median(squares))
    assert np.abs(error.mean()) < 0.05
    assert error.std() < 2 / np.sqrt(FEATURES)


def test_sums_are_the_same_in_any_order(frozen: EmbeddingProjection) -> None:
    rows = vectors(8, 90, frozen.length)
    groups = np.arange(90) % 3
    parts = frozen.sums(project(frozen, rows), groups, 4)
    assert [each.n for each in parts] == [30, 30, 30, 0]
    assert parts[1] == sums(frozen, rows[groups == 1][::-1])
    whole = sums(frozen, rows)
    assert parts[2] + parts[0] + parts[3] + parts[1] == whole
    assert (whole.features.total == project(frozen, rows).features.sum(axis=0)).all()


def test_vectors_without_a_direction_are_missing(frozen: EmbeddingProjection) -> None:
    rows = vectors(9, 6, frozen.length)
    rows[1] = 0
    rows[3, 2] = np.nan
    rows[4, 0] = np.inf
    found = sums(frozen, rows)
    assert (found.n, found.missing) == (3, 3)
    expected = sums(frozen, rows[[0, 2, 5]])
    assert found == replace(expected, missing=3)


def test_one_strange_vector_is_clipped() -> None:
    rows = np.concatenate((vectors(10, 1000, 24) * 0.01 + 1, np.ones((1, 24), np.float32)))
    rows[-1, 0] = -50
    whitened = project(freeze(rows[:-1]), rows).whitened
    assert np.abs(whitened[-1]).max() == 8 * STATE
    assert np.abs(whitened).max(axis=1)[:-1].max() < 8 * STATE


def test_both_tests_and_their_joint_p(frozen: EmbeddingProjection) -> None:
    reference = vectors(1, 2000, frozen.length)[held_out(ids(2000), 2)]
    moved = vectors(11, 300, frozen.length)
    moved[:, -3:] += 0.2
    same, other = (
        frozen.compare(sums(frozen, reference), sums(frozen, rows))
        for rows in (vectors(12, 300, frozen.length), moved)
    )
    assert isinstance(same, EmbeddingResult)
    assert isinstance(other, EmbeddingResult)
    assert same.p_value > 1e-3
    assert same.p_value == min(1, 2 * min(same.shift.p_value, same.cluster.p_value))
    assert (same.shift.n, same.shift.m) == (300, len(reference))
    assert same.shift.method != same.cluster.method
    if frozen.length == 24:
        assert other.p_value < 1e-9
        assert other.shift.distance_lower > same.shift.distance


def test_distance_is_the_psi_of_two_normal_distributions() -> None:
    """Half a standard deviation: PSI = (mean difference / deviation)^2 = 0.25, less the ridge."""
    rng = np.random.default_rng(13)

    def cloud(n: int, shift: float) -> np.ndarray:  # on a flat part of the sphere
        return np.concatenate(
            (rng.normal(size=(n, 10)) * 0.01 + shift * 0.01 * np.eye(10)[0], np.ones((n, 1))),
            axis=1,
        )

    reference = cloud(8000, 0)
    each = freeze(reference)
    own = sums(each, reference[held_out(ids(8000), 2)])
    found = each.compare(own, sums(each, cloud(20_000, 0.5)))
    assert isinstance(found, EmbeddingResult)
    ridge = RIDGE * 10 / 11
    assert found.shift.distance == pytest.approx(0.25 / (1 + ridge), rel=0.15)


def test_what_cannot_be_compared_says_why(frozen: EmbeddingProjection) -> None:
    rows = vectors(14, 40, frozen.length)
    for refused, why in (
        (frozen.project(rows, "model-2"), "of model-2"),
        (frozen.project(rows[:, :-1], "model"), f"{frozen.length} dimensions"),
    ):
        assert isinstance(refused, NotTested)
        assert refused.reason == "not_comparable"
        assert why in refused.detail
    longer = frozen.compare(sums(frozen, rows), sums(frozen, rows * 2))
    assert isinstance(longer, NotTested)
    assert "2 times" in longer.detail
    other = freeze(vectors(15, 600, frozen.length))
    mixed = frozen.compare(sums(frozen, rows), sums(other, rows))
    assert isinstance(mixed, NotTested)
    with pytest.raises(ValueError, match="different references"):
        _ = sums(frozen, rows) + sums(other, rows)


def test_references_that_cannot_be_frozen() -> None:
    few = vectors(16, 520, 8)
    few[:21] = 0
    small = freeze_embedding(few, "model", ids(520), "r")
    assert small == NotTested("reference_too_small", "499 sessions with a vector; 500 are needed")
    constant = freeze_embedding(np.ones((600, 8)), "model", ids(600), "r")
    assert isinstance(constant, NotTested)
    assert constant.reason == "constant"
    with pytest.raises(ValueError, match="8192"):
        freeze_embedding(np.ones((2, 8193)), "model", ids(2), "r")


def test_the_same_reference_has_the_same_bytes() -> None:
    rows = vectors(17, 800, 40)
    each, names = freeze(rows), ids(800)
    again = freeze_embedding(rows[::-1], "model", names[::-1], "reference id")
    assert isinstance(again, EmbeddingProjection)
    assert again.id == each.id
    stored = EmbeddingProjection.from_bytes(each.to_bytes())
    assert stored.to_bytes() == each.to_bytes()
    assert sums(stored, rows) == sums(each, rows)
    with pytest.raises(StoreError):
        EmbeddingProjection.from_bytes(each.to_bytes()[:-8])
