"""Evidently's default drift method for a column, and its PSI, window by window."""

import sys
from collections import defaultdict

import pandas as pd
from cells import as_sent, cells, progress, told
from evidently.legacy.calculations.stattests.registry import get_stattest
from evidently.legacy.core import ColumnType

flags = {"Evidently": defaultdict(list), "Evidently PSI": defaultdict(list)}
for number, (name, kind, references, windows) in enumerate(cells(sys.argv[1])):
    progress(number, name)
    column = ColumnType.Numerical if kind == "number" else ColumnType.Categorical
    for reference, own in zip(references, windows, strict=True):
        before = pd.Series(as_sent(kind, reference))
        for window in own:
            now = pd.Series(as_sent(kind, window))
            for rule, asked in (("Evidently", None), ("Evidently PSI", "psi")):
                method = get_stattest(before, now, column, asked)
                flags[rule][name].append(method(before, now, column, None).drifted)
told(flags)
