"""alibi-detect's TabularDrift (Kolmogorov-Smirnov or chi-square at p < .05)."""

import sys
from collections import defaultdict

import numpy as np
from alibi_detect.cd import TabularDrift
from cells import cells, progress, told

flags = {"alibi-detect": defaultdict(list)}
for number, (name, kind, references, windows) in enumerate(cells(sys.argv[1])):
    progress(number, name)
    category = kind != "number"
    dtype = np.int64 if category else np.float32
    for reference, own in zip(references, windows, strict=True):
        detector = TabularDrift(
            reference[:, None].astype(dtype),
            p_val=0.05,
            categories_per_feature={0: None} if category else None,
        )
        for window in own:
            found = detector.predict(window[:, None].astype(dtype))
            flags["alibi-detect"][name].append(found["data"]["is_drift"])
told(flags)
