"""What webhook tests share: an HTTP receiver on a socket, and a state file with a clock."""

from __future__ import annotations

import asyncio
import base64
import random
import tempfile
import threading
from collections.abc import Callable
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from retraind.clock import ManualClock
from retraind.config.settings import Destination
from retraind.model import Contribution, SeriesKey
from retraind.store.engine import Engine, run
from retraind.store.queries import schema_script
from retraind.store.state import State
from retraind.telemetry import Telemetry
from retraind.webhook import outbox
from retraind.webhook.deliver import Delivery
from retraind.webhook.event import build_event
from retraind.webhook.send import new_client
from retraind.webhook.trigger import Reason, Trigger

NOW_NS = 1_795_000_000_000_000_000
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
SERIES = SeriesKey("default", "bot", "prod", "gpt", "emea")


class Receiver:
    """Answers each POST with the next of `answers` (the last one repeats) and keeps what came."""

    def __init__(self, port: int = 0) -> None:
        self.answers: list[tuple[int, dict[str, str], bytes]] = [(204, {}, b"")]
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.release = threading.Event()
        self.hang = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.requests.append((self.path, headers, body))
                if outer.hang:
                    outer.release.wait()
                status, extra, content = outer.answers[0]
                if len(outer.answers) > 1:
                    outer.answers.pop(0)
                try:
                    self.send_response(status)
                    for name, value in extra.items():
                        self.send_header(name, value)
                    self.send_header("content-length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                except OSError:
                    return  # the sender has read enough

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.thread = threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    def close(self) -> None:
        self.release.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@cache
def empty_state() -> bytes:
    """A state file with its tables; made once, because a hundred comments take a while."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "retraind.duckdb")
        engine = Engine(path.parent, memory_limit=2**28, threads=1)
        engine.attach(path, "state")
        run(engine.cursor(), schema_script("state", "state"))
        run(engine.cursor(), "CHECKPOINT state")
        engine.detach("state")
        engine.close()
        return path.read_bytes()


class World:
    """A state file, a clock and a secret; `delivery` makes what a restart would make."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.secret = folder / "secret"
        self.secret.write_text(SECRET)
        self.secret.chmod(0o600)
        self.clock = ManualClock(NOW_NS)
        self.telemetry = Telemetry()
        (folder / "retraind.duckdb").write_bytes(empty_state())
        self.open()

    def open(self) -> None:
        self.engine = Engine(self.folder, memory_limit=2**28, threads=1)
        self.engine.attach(self.folder / "retraind.duckdb", "state")
        self.state = State(self.engine, self.folder / "retraind.duckdb")

    def reopen(self) -> None:
        self.engine.close()
        self.open()

    def destination(self, url: str, name: str = "pipeline", **settings: Any) -> Destination:
        return Destination(name=name, url=url, secret_file=self.secret, **settings)

    def add(self, trigger_id: str, *destinations: Destination) -> bytes:
        body = build_event(
            Trigger(
                trigger_id, "ep_1", "default", "bot", "prod", "gpt", NOW_NS, SERIES,
                (
                    Reason(
                        "drift", SERIES, "intent", method="psi/v1", value=0.4, bound=0.2,
                        threshold=0.25, p_value=1e-9, n=300, m=3000,
                        window_ns=(NOW_NS - 3600 * 10**9, NOW_NS), reference_id="ref_1",
                        contributions=(Contribution("übrige", 0.1, 0.5, 0.3),),
                    ),
                ),
            ),
            created_at_ns=NOW_NS, expires_at_ns=NOW_NS + 86400 * 10**9, source="/retraind/prod",
        )  # fmt: skip
        with self.state.transaction() as tx:
            tx.append(
                "outbox", outbox.outbox_rows(trigger_id, body, destinations, self.clock.now_ns())
            )
        return body

    def delivery(self, *destinations: Destination) -> Delivery:
        return Delivery(
            state=self.state, destinations=destinations, telemetry=self.telemetry,
            clock=self.clock, jitter=random.Random(1),
        )  # fmt: skip

    def attempt(self, delivery: Delivery, name: str = "pipeline") -> float | None:
        async def once() -> float | None:
            async with new_client() as client:
                return await delivery.deliver_next(client, name)

        return asyncio.run(once())

    def row(self) -> dict[str, Any]:
        return outbox.listing(self.state, limit=1)[0]

    def metric(self, name: str, **labels: str) -> float | None:
        return self.telemetry.registry.get_sample_value(f"retraind_{name}", labels)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another thread or task brings about; the test's timeout bounds it."""
    while not condition():  # noqa: ASYNC110 - a condition, not an event of this loop
        await asyncio.sleep(0.01)
