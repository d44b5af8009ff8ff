"""Rows of the state file's tables."""

from __future__ import annotations

import math

from retraind.evaluate.tables import rows_table


def test_rows_with_other_columns_keep_all_of_them():
    """A fail rate's row comes before a drift row and has none of its columns."""
    table = rows_table([{"series_id": "a", "rate": 0.1}, {"series_id": "b", "psi": 0.2}])

    assert table.to_pylist() == [
        {"series_id": "a", "rate": 0.1, "psi": None},
        {"series_id": "b", "rate": None, "psi": 0.2},
    ]


def test_nan_is_null():
    assert rows_table([{"baseline_rate": math.nan}]).to_pylist() == [{"baseline_rate": None}]
