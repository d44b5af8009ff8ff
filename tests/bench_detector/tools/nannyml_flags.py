"""NannyML's default univariate method (Jensen-Shannon, mean + 3 sd of the reference's chunks)."""

import logging
import sys
from collections import defaultdict

import pandas as pd
from cells import cells, progress, texts, told

logging.disable(logging.WARNING)
import nannyml  # noqa: E402

flags = {"NannyML": defaultdict(list)}
for number, (name, kind, references, windows) in enumerate(cells(sys.argv[1])):
    progress(number, name)
    size = windows.shape[-1]
    if references.shape[-1] < 2 * size:
        continue  # a single chunk has no standard deviation
    if kind != "number":
        references, windows = texts(references), texts(windows)
    for reference, own in zip(references, windows):
        calculator = nannyml.UnivariateDriftCalculator(column_names=["x"], chunk_size=size)
        calculator.fit(pd.DataFrame({"x": reference}))
        found = calculator.calculate(pd.DataFrame({"x": own.ravel()}))
        table = found.filter(period="analysis").to_df()
        flags["NannyML"][name] += list(table[("x", "jensen_shannon", "alert")].astype(bool))
told(flags)
