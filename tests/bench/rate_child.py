"""CPU time of decode and normalise, of whichever retraind is first on the path; prints JSON.

`python rate_child.py FILE ROUNDS`: FILE holds a pickled list of OTLP requests. It imports nothing
else of the project, because it also runs the code of an older commit.
"""

from __future__ import annotations

import gc
import json
import pickle
import sys
import time
from pathlib import Path

from retraind.decode import decode_traces
from retraind.normalise import normalise_traces


def main(file: str, rounds: str) -> None:
    payloads = pickle.loads(Path(file).read_bytes())
    gc.set_threshold(50_000, 20, 50)  # as the daemon has it
    times = []
    for _ in range(int(rounds)):
        started = time.process_time()
        spans = normalise_traces(decode_traces(payloads), attribute_limit=1024).spans.num_rows
        times.append(time.process_time() - started)
    print(json.dumps({"spans": spans, "seconds": min(times)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
