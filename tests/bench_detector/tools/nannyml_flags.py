"""NannyML's default univariate method (Jensen-Shannon, mean + 3 sd of the reference's chunks)."""

import logging
import sys
from collections import defaultdict

import pandas as pd
from cells import as_sent, cells, progress, told

logging.disable(logging.WARNING)
import nannyml  # noqa: E402

flags = {"NannyML": defaultdict(list)}
for number, (name, kind, references, windows) in enumerate(cells(sys.argv[1])):
    progress(number, name)
    size = windows.shape[-1]
    if references.shape[-1] < 2 * size:
        continue  # a single chunk has no standard deviation
    for reference, own in zip(references, windows, strict=True):
        calculator = nannyml.UnivariateDriftCalculator(column_names=["x"], chunk_size=size)
        calculator.fit(pd.DataFrame({"x": as_sent(kind, reference)}))
        found = calculator.calculate(pd.DataFrame({"x": as_sent(kind, own.ravel())}))
        table = found.filter(period="analysis").to_df()
        flags["NannyML"][name] += list(table[("x", "jensen_shannon", "alert")].astype(bool))
told(flags)
