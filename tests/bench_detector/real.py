"""Real marginals: the columns of the data sets inside the nannyml wheel, rows shuffled.

Shuffled rows are exchangeable: nothing has changed between a reference and its windows, whatever
the column looks like. The files are read where pip put them; nannyml itself is not imported.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, parquet

from .generate import Values
from .install import package_of
from .rules import OURS
from .section import Digest, Section, Size, generator, percent
from .side_by_side import Cell, Tools, rule_rates

FILES = {
    "census": "employment_MA_reference.pq",
    "car loan": "synthetic_car_loan_reference.csv",
    "car price": "regression_synthetic_reference.csv",
    "multiclass": "mc_reference.csv",
}
NO_FEATURE = {"id", "timestamp", "identifier", "period", "Unnamed: 0", ""}
FEW_VALUES = 20
"""A number with no more distinct values than this is a category, as Evidently has it."""
REFERENCE = 10_000
SIZES = (100, 500, 1000)
SHUFFLES, WINDOWS = 4, 5


def run(seed: int, size: Size, tools: Tools | None = None) -> Section:  # noqa: ARG001
    section = Section("Real marginals, rows shuffled: % of unchanged windows flagged")
    columns = list(_columns())
    cells = [
        _cell(seed, name, kind, values, n) for name, kind, values in columns for n in SIZES
    ]  # fmt: skip
    digest, rates = Digest(), rule_rates(cells, "real marginals")
    digest.add(rates)
    if tools is not None:
        rates |= tools(cells)
    section.header = ["rule", *(f"n = {n}" for n in SIZES), "worst column at n = 100"]
    for rule, own in rates.items():
        section.rows.append([rule, *(_shown(own, n) for n in SIZES), _worst(own)])
    ours = {n: _total(rates[OURS], n) for n in SIZES}
    section.notes.append(
        f"{len(columns)} columns of {len(FILES)} data sets, reference of {REFERENCE}, "
        f"{ours[100][1]} windows for each n; {OURS}: "
        + ", ".join(f"{hits} of {many} at n = {n}" for n, (hits, many) in ours.items())
    )
    section.data["rates"] = {
        rule: {n: _total(own, n) for n in SIZES} for rule, own in rates.items()
    }
    section.digest = digest.text()
    return section


def _columns() -> Iterator[tuple[str, str, Values]]:
    """Name, kind and values of every column with something to watch."""
    folder = package_of("nannyml", "nannyml") / "datasets" / "data"
    for dataset, file in FILES.items():
        path = folder / file
        table = parquet.read_table(path) if path.suffix == ".pq" else csv.read_csv(path)
        for name in table.column_names:
            column = pc.drop_null(table[name])
            if pa.types.is_dictionary(column.type):
                column = column.cast(pa.string())
            if name in NO_FEATURE or pa.types.is_temporal(column.type):
                continue
            distinct = pc.count_distinct(column).as_py()
            number = pa.types.is_floating(column.type) or pa.types.is_integer(column.type)
            if distinct < 2 or len(column) < REFERENCE + WINDOWS * max(SIZES):
                continue
            if number and distinct > FEW_VALUES:
                yield f"{dataset}, {name}", "number", column.cast(pa.float64()).to_numpy()
            elif distinct < len(column) / 2:
                yield f"{dataset}, {name}", "category", _codes(column)


def _codes(column: pa.ChunkedArray) -> Values:
    texts = column.cast(pa.string()).to_numpy(zero_copy_only=False).astype(str)
    return np.unique(texts, return_inverse=True)[1].astype(np.float64)


def _cell(seed: int, name: str, kind: str, values: Values, n: int) -> Cell:
    rng, references, windows = generator(seed, "real", name, n), [], []
    for _ in range(SHUFFLES):
        rows = rng.permutation(values)[: REFERENCE + WINDOWS * n]
        references.append(rows[:REFERENCE])
        windows.append(rows[REFERENCE:].reshape(WINDOWS, n))
    return Cell(f"{name} | {n}", kind, np.stack(references), np.stack(windows))


def _total(own: dict[str, tuple[int, int] | None], n: int) -> tuple[int, int]:
    cells = [found for name, found in own.items() if found and name.endswith(f"| {n}")]
    return sum(hits for hits, _ in cells), sum(many for _, many in cells)


def _shown(own: dict[str, tuple[int, int] | None], n: int) -> str:
    hits, many = _total(own, n)
    return percent(hits / many) if many else "-"


def _worst(own: dict[str, tuple[int, int] | None]) -> str:
    shares = {
        name.rpartition(" | ")[0]: found[0] / found[1]
        for name, found in own.items()
        if found and name.endswith("| 100")
    }
    worst = max(shares, key=lambda name: shares[name])
    return f"{percent(shares[worst])} {worst}"
