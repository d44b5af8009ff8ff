"""Log buckets: edges by hand, monotone, bounds that contain the value."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from retraind.window.buckets import NO_BUCKET, bucket, bucket_bounds, bucket_label

finite = st.floats(allow_nan=False, allow_infinity=False)


def one(value: float) -> int:
    return int(bucket(np.array([value]))[0])


def test_buckets_by_hand() -> None:
    assert one(0.0) == one(-0.0) == 0
    # ln(100 / 1e-9) / ln(1.005) = 25.32844 / 0.00498754 = 5078.34
    assert one(100.0) == 5079
    assert one(-100.0) == -5079
    assert one(1e-9) == 1
    assert one(1e-300) == 1
    assert one(1e18) == one(1e300) == 1 + math.floor(math.log(1e27) / math.log(1.005))
    assert bucket(np.array([math.nan, math.inf, -math.inf])).tolist() == [NO_BUCKET] * 3


@given(finite, finite)
def test_buckets_keep_the_order_of_values(first: float, second: float) -> None:
    low, high = sorted((first, second))
    assert one(low) <= one(high)


@given(st.floats(1e-9, 9e17), st.booleans())
def test_bounds_contain_the_value_and_are_half_a_percent_apart(size: float, minus: bool) -> None:
    low, high = bucket_bounds(one(size))
    assert low <= size < high
    assert math.isclose(high / low, 1.005, rel_tol=1e-12)
    if minus:
        assert bucket_bounds(one(-size)) == (-high, -low)


def test_labels() -> None:
    assert bucket_label(0) == "0"
    low, high = bucket_label(one(100.0)).split(" to ")
    assert float(low) <= 100 <= float(high)
