"""Evidently's default drift method for a column, and its PSI, window by window."""

import sys
from collections import defaultdict

import pandas as pd
from cells import cells, progress, texts, told
from evidently.legacy.calculations.stattests.registry import get_stattest
from evidently.legacy.core import ColumnType

flags = {"Evidently": defaultdict(list), "Evidently PSI": defaultdict(list)}
for number, (name, kind, references, windows) in enumerate(cells(sys.argv[1])):
    progress(number, name)
    column = ColumnType.Numerical if kind == "number" else ColumnType.Categorical
    for reference, own in zip(references, windows):
        reference = pd.Series(reference if kind == "number" else texts(reference))
        for window in own:
            window = pd.Series(window if kind == "number" else texts(window))
            for rule, asked in (("Evidently", None), ("Evidently PSI", "psi")):
                method = get_stattest(reference, window, column, asked)
                found = method(reference, window, column, None)
                flags[rule][name].append(found.drifted)
told(flags)
