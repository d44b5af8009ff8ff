"""river's labelled series and what its detectors say: columns, labels, alarms (rows seen)."""

import json
from numbers import Number

from river import drift
from river.drift import datasets

DETECTORS = {
    "river ADWIN": drift.ADWIN,
    "river PageHinkley": drift.PageHinkley,
    "river KSWIN": lambda: drift.KSWIN(seed=1),
}


def columns(rows):
    """The values of each numeric column, by name."""
    rows = [y if isinstance(y, dict) else {"value": y} for _, y in rows]
    return {
        name: [float(row[name]) for row in rows]
        for name, first in rows[0].items()
        if isinstance(first, Number)
    }


def alarms(make, values):
    """Each column's own detector, fed standardised values: PageHinkley's limits have a unit."""
    mean = sum(values) / len(values)
    sd = (sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5 or 1.0
    detector, found = make(), []
    for seen, value in enumerate(values, 1):
        detector.update((value - mean) / sd)
        if detector.drift_detected:
            found.append(seen)
    return found


result = {}
for name in datasets.__all__:
    series = getattr(datasets, name)()
    own = columns(series)
    result[name] = {
        "columns": own,
        "labels": list(series.annotations.values()),
        "alarms": {
            rule: sorted({at for values in own.values() for at in alarms(make, values)})
            for rule, make in DETECTORS.items()
        },
    }
print(json.dumps(result))
