"""The numbers of a window, worked out from the raw values that were sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from builders import HOUR_NS
from evaluate_harness import START_NS, World, an_hour

Make = Callable[..., World]
REFERENCE, WINDOW = (0, 1, 2, 3), 4


def raw(hours: Any, key: str) -> list[Any]:
    spans = [s for hour in hours for s in sent(hour).resource_spans[0].scope_spans[0].spans]
    found = []
    for span in spans:
        (value,) = [pair.value for pair in span.attributes if pair.key == key]
        found.append(value.int_value if value.WhichOneof("value") == "int_value"
                     else value.string_value)  # fmt: skip
    return found


def sent(hour: int) -> Any:
    return an_hour(hour, 100, failing=0.5 if hour == WINDOW else 0.1)


@pytest.fixture
def world(make_world: Make) -> World:
    world = make_world()
    for hour in range(7):
        world.send(sent(hour))
        world.tick()
    return world


def window(world: World, feature: str, kind: str) -> dict[str, Any]:
    (row,) = world.rows(
        "select * from windows where feature = $feature and kind = $kind "
        "and window_end = make_timestamp_ns($end)",
        feature=feature, kind=kind, end=START_NS + (WINDOW + 1) * HOUR_NS,
    )  # fmt: skip
    return row


def psi(reference: np.ndarray, current: np.ndarray) -> float:
    """Half a session is added to each bin (docs/drift.md)."""
    p = (reference + 0.5) / (reference.sum() + 0.5 * len(reference))
    q = (current + 0.5) / (current.sum() + 0.5 * len(current))
    return float(stats.entropy(p, q) + stats.entropy(q, p))


def test_psi_and_p_value_of_a_category(world: World) -> None:
    reference, current = Counter(raw(REFERENCE, "app.intent")), Counter(raw([4], "app.intent"))
    names = sorted(reference | current)
    r, c = (np.array([counts[name] for name in names]) for counts in (reference, current))
    row = window(world, "intent", "category")
    assert (row["n"], row["m"]) == (100, 400)
    assert row["psi"] == pytest.approx(psi(r, c))
    scale = 1 / 100 + 1 / 400
    assert row["psi_floor"] == pytest.approx(2 * scale)
    assert row["p_value"] == pytest.approx(stats.chi2.sf(psi(r, c) / scale, 2))


def test_psi_of_a_number_over_the_deciles_of_the_reference(world: World) -> None:
    """Values are counted in buckets 0.5 % wide, so each is cut at its own bucket's upper edge."""
    reference, current = (
        np.array(raw(hours, "gen_ai.usage.input_tokens")) for hours in (REFERENCE, [4])
    )

    def bucket(values: np.ndarray) -> np.ndarray:
        return np.floor(np.log(values / 1e-9) / np.log(1.005) + 1e-9)

    def cut(values: np.ndarray) -> np.ndarray:
        return np.bincount(np.searchsorted(edges, bucket(values)), minlength=10)

    edges = np.quantile(bucket(reference), np.arange(1, 10) / 10, method="inverted_cdf")
    assert len(set(edges)) == 9
    row = window(world, "input_tokens", "number")
    assert (row["n"], row["m"]) == (100, 400)
    assert row["psi"] == pytest.approx(psi(cut(reference), cut(current)), rel=1e-9)
    assert row["psi_corrected"] == pytest.approx(max(0.0, row["psi"] - 9 * (1 / 100 + 1 / 400)))


def test_fail_rate_and_mean_score(world: World) -> None:
    rate = window(world, "grounded", "rate")
    assert (rate["n"], rate["results"], rate["failures"], rate["rate"]) == (100, 100, 50, 0.5)
    assert rate["baseline_rate"] == pytest.approx(40 / 400)
    assert rate["rate_lower"] < 0.5 < rate["rate_upper"]
    assert window(world, "grounded", "score")["mean"] == pytest.approx(0.5)


def test_windows_of_a_series_follow_one_another_without_gap(world: World) -> None:
    rows = world.rows(
        "select distinct epoch_ns(window_start) as first, epoch_ns(window_end) as last, sessions "
        "from windows order by first"
    )
    assert [row["sessions"] for row in rows] == [100] * 6
    ends = [(row["first"], row["last"]) for row in rows]
    assert ends == [(START_NS + h * HOUR_NS, START_NS + (h + 1) * HOUR_NS) for h in range(6)]
