"""river's streaming detectors on fail-rate streams: rate -> alarms (calls seen) of each stream."""

import json
import sys

import numpy as np
from river import drift

CHANGE = int(sys.argv[2])
DETECTORS = {
    "river ADWIN": (drift.ADWIN, True),
    "river PageHinkley, rises": (lambda: drift.PageHinkley(mode="up"), False),
    "river DDM": (drift.binary.DDM, False),
    "river HDDM_A": (drift.binary.HDDMA, False),
    "river HDDM_W": (drift.binary.HDDMW, False),
}


def alarms(make, rises, stream, unchanged):
    """ADWIN also fires when a rate falls; only its rises count, in its favour."""
    detector, found = make(), []
    for seen, failed in enumerate(stream.tolist(), 1):
        before = detector.estimation if rises else 0.0
        detector.update(failed)
        if detector.drift_detected and (not rises or detector.estimation > before):
            found.append(seen)
            if not unchanged and seen > CHANGE:
                break
    return found


with np.load(sys.argv[1]) as data:
    streams = {name: data[name] for name in data.files}
result = {}
for name, (make, rises) in DETECTORS.items():
    print("river_streams:", name, file=sys.stderr, flush=True)
    result[name] = {
        rate: [alarms(make, rises, stream, rate == "5 %") for stream in own]
        for rate, own in streams.items()
    }
print(json.dumps(result))
