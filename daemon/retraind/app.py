"""The composition root: builds every part in the order of the data, starts sinks before sources.

Stopping goes the other way: no new data, answer what was taken, finish the tick, end deliveries,
close the store.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import platform
import signal
from collections.abc import Callable, Sequence
from importlib.metadata import version

import structlog
import uvloop

from retraind import __version__
from retraind.clock import SystemClock
from retraind.config.restart import restart_needed, taken_up
from retraind.config.settings import Config
from retraind.console import unix
from retraind.console.admin import admin_app
from retraind.console.feedback import Senders
from retraind.control import Control
from retraind.errors import ConfigError, RetraindError, StartError, StoreError
from retraind.evaluate.evaluator import Evaluator
from retraind.metrics.collector import SnapshotCollector
from retraind.metrics.snapshot import Snapshot
from retraind.receive.admit import Admission
from retraind.receive.auth import Tokens, check_bind, is_loopback, split_endpoint
from retraind.receive.exchange import Exchange
from retraind.receive.grpc import GrpcServer
from retraind.receive.http import OtlpHttp
from retraind.receive.intake import Intake
from retraind.receive.judgements import Judgements
from retraind.receive.serve import EmbeddedServer
from retraind.redact import from_settings, redact_text
from retraind.store.database import Database
from retraind.store.rows import StoredRows
from retraind.telemetry import Telemetry
from retraind.webhook.deliver import Delivery

log = structlog.get_logger(__name__)

# Reading messages makes many small objects that die at once. Looking for cycles among them every
# 700 objects, as Python does by default, costs a tenth of the time.
COLLECT_GARBAGE_AFTER = (50_000, 20, 50)
GRACE_SECONDS = 10.0
HOUSEKEEPING_SECONDS = 60.0
EXIT_OK = 0
EXIT_FAILED = 1
EXIT_CANNOT_START = 3


def run(config: Config, reload: Callable[[], Config]) -> int:
    """Run the daemon until SIGTERM or SIGINT; returns the exit code.

    `reload` reads the configuration again, with the command line's overrides.
    """
    gc.set_threshold(*COLLECT_GARBAGE_AFTER)
    try:
        code: int = uvloop.run(App(config, reload).run())
        return code
    except (StartError, ConfigError, StoreError) as error:
        log.critical("could not start", error=str(error))
        return EXIT_CANNOT_START


class App:
    """One daemon: all parts, and their common life."""

    def __init__(self, config: Config, reload: Callable[[], Config]) -> None:
        self._started = self._config = config
        self._read_config = reload
        self._telemetry = Telemetry()
        self._clock = SystemClock()
        self._starting = True
        self._fatal = False
        self._stop = asyncio.Event()

    async def run(self) -> int:
        """Start, serve until told to stop, and stop. Raises StartError, ConfigError, StoreError."""
        self._tokens = _tokens(self._config)
        token_file = self._config.admin.token_file
        self._admin_tokens = Tokens(token_file) if token_file else None
        self._loop = asyncio.get_running_loop()
        self._database = Database.open(
            self._config.data, self._config.store, self._telemetry, self._clock
        )
        try:
            self._build()
            async with contextlib.AsyncExitStack() as stack:
                await self._start(stack)
                self._ready()
                await self._stop.wait()
                log.info("stopping")
                self._admission.draining = True
        finally:
            await asyncio.to_thread(self._database.close)
        log.info("stopped")
        return EXIT_FAILED if self._fatal else EXIT_OK

    def _build(self) -> None:
        config, database, telemetry = self._config, self._database, self._telemetry
        for notice in database.notices:
            log.error("found at start", notice=notice)
        telemetry.build_info.labels(__version__, version("duckdb"), platform.python_version()).set(
            1
        )
        self._collector = SnapshotCollector(
            telemetry, config.limits.metric_series, config.metrics.methods
        )
        self._delivery = Delivery(
            state=database.state, destinations=config.destinations, telemetry=telemetry,
            clock=self._clock,
        )  # fmt: skip
        self._evaluator = Evaluator(
            rows=StoredRows(database.reader, lambda: database.writer.newest_seq),
            state=database.state,
            config=config,
            telemetry=telemetry,
            clock=self._clock,
            on_snapshot=self._publish,
            on_triggers=lambda: self._from_thread(self._delivery.wake),
            on_fatal=database.writer.fail,
        )
        self._admission = Admission(
            config.receivers.limits, telemetry, accepting=lambda: database.writer.accepting
        )
        self._intake = Intake(
            writer=database.writer,
            ledger=database.ledger,
            attribute_limit=config.receivers.limits.attributes_per_span,
            telemetry=telemetry,
            clock=self._clock,
            policy=from_settings(config.content),
        )
        self._judgements = Judgements(
            writer=database.writer,
            ledger=database.ledger,
            admission=self._admission,
            limits=config.feedback,
            policy=lambda field, text: redact_text(self._intake.policy, text, field),
            telemetry=telemetry,
            clock=self._clock,
        )
        self._exchange = Exchange(self._intake, self._admission, self._tokens, telemetry)
        self._control = Control(
            config=lambda: self._config,
            database=database,
            evaluator=self._evaluator,
            delivery=self._delivery,
            telemetry=telemetry,
            clock=self._clock,
            snapshot=lambda: self._collector.snapshot,
            readiness=self._readiness,
            reload=self._reload,
        )

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        """Sinks first. The stack stops everything in the opposite order."""
        config = self._config
        self._database.start(on_fatal=lambda: self._from_thread(self._fail))
        local = admin_app(
            self._control, self._telemetry, self._judgements,
            tokens=None, senders=Senders(open=True), trusted=True,
        )  # fmt: skip
        remote = admin_app(
            self._control, self._telemetry, self._judgements,
            tokens=self._admin_tokens, senders=self._senders(), trusted=False,
        )  # fmt: skip
        for server in (
            EmbeddedServer(local, unix.listen(config.data), setting="data"),
            EmbeddedServer(remote, config.admin.endpoint, setting="admin.endpoint"),
        ):
            await server.start()
            stack.push_async_callback(server.stop, 1.0)
        self._delivery.start()
        stack.push_async_callback(self._delivery.stop)
        self._evaluator.start()
        stack.push_async_callback(asyncio.to_thread, self._evaluator.stop)
        # Stopped by `_stop` and waited for: a snapshot must not outlive the store's closing.
        housekeeping = asyncio.create_task(self._keep_house())
        stack.push_async_callback(self._end_housekeeping, housekeeping)
        stack.push_async_callback(self._intake.close)
        receivers = config.receivers
        http = EmbeddedServer(
            OtlpHttp(self._exchange), receivers.http.endpoint,
            setting="receivers.http.endpoint", tls=receivers.http.tls,
        )  # fmt: skip
        for receiver in (http, GrpcServer(receivers.grpc, self._exchange)):
            await receiver.start()
            stack.push_async_callback(receiver.stop, GRACE_SECONDS)
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stop.set)
        self._loop.add_signal_handler(signal.SIGHUP, self._reload_on_signal)

    def _ready(self) -> None:
        self._starting = False
        self._telemetry.config_reload_successful.set(1)
        self._telemetry.config_reload_timestamp.set(self._clock.now_ns() / 1e9)
        config = self._config
        log.info(
            "ready", data=str(config.data), grpc=config.receivers.grpc.endpoint,
            http=config.receivers.http.endpoint, admin=config.admin.endpoint,
            monitors=[monitor.name for monitor in config.monitors],
            destinations=[destination.name for destination in config.destinations],
        )  # fmt: skip

    def _senders(self) -> Senders:
        """Who may send feedback over TCP; without tokens as with telemetry, who can reach it."""
        tokens = [each for each in (self._tokens, self._admin_tokens) if each]
        host, _ = split_endpoint(self._config.admin.endpoint)
        reachable = is_loopback(host) or self._config.receivers.allow_unauthenticated
        return Senders(tokens, open=not tokens and reachable)

    def _readiness(self) -> Sequence[str]:
        reasons = []
        if self._starting:
            reasons.append("starting")
        if self._stop.is_set():
            reasons.append("draining")
        if not self._database.writer.accepting:
            reasons.append(f"the store takes no data: {self._database.writer.reason}")
        return reasons

    def _reload(self) -> Sequence[str]:
        """Read configuration and tokens again; returns the settings that need a restart.

        Raises ConfigError or StartError, changing nothing.
        """
        try:
            read = self._read_config()
            config = taken_up(self._started, read)
            tokens = [(each, each.read()) for each in (self._tokens, self._admin_tokens) if each]
            policy = from_settings(config.content)
            self._evaluator.configure(config)
        except RetraindError:
            self._telemetry.config_reload_successful.set(0)
            raise
        for each, digests in tokens:
            each.use(digests)
        self._delivery.configure(config.destinations)
        self._database.configure(config.store)
        self._admission.limits = config.receivers.limits
        self._judgements.limits = config.feedback
        self._intake.policy = policy
        self._intake.attribute_limit = config.receivers.limits.attributes_per_span
        self._collector.limit = config.limits.metric_series
        self._collector.methods = config.metrics.methods
        self._config = config
        self._telemetry.config_reload_successful.set(1)
        self._telemetry.config_reload_timestamp.set(self._clock.now_ns() / 1e9)
        log.info("configuration reloaded")
        waiting = restart_needed(self._started, read)
        if waiting:
            log.warning("changed settings that need a restart", settings=list(waiting))
        return waiting

    def _reload_on_signal(self) -> None:
        try:
            self._reload()
        except RetraindError as error:
            log.error("the configuration was not reloaded; the old one stays", error=str(error))

    async def _keep_house(self) -> None:
        """Retention and snapshots, off the event loop, until the daemon stops."""
        snapshot_at = self._loop.time() + self._config.store.snapshot_interval
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                pause = min(HOUSEKEEPING_SECONDS, self._config.store.snapshot_interval)
                await asyncio.wait_for(self._stop.wait(), pause)
                return
            try:
                await asyncio.to_thread(self._database.retention.apply)
                if self._loop.time() >= snapshot_at:
                    snapshot_at = self._loop.time() + self._config.store.snapshot_interval
                    await asyncio.to_thread(self._database.snapshot)
            except (StoreError, OSError) as error:
                log.warning("housekeeping failed; tried again later", error=str(error))

    async def _end_housekeeping(self, task: asyncio.Task[None]) -> None:
        self._stop.set()
        await task

    def _publish(self, snapshot: Snapshot) -> None:
        self._collector.snapshot = snapshot

    def _fail(self) -> None:
        """The engine has invalidated itself: only a new process can go on."""
        log.critical("the database engine has invalidated itself; exiting to be restarted")
        self._fatal = True
        self._stop.set()

    def _from_thread(self, what: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop may have ended already
            self._loop.call_soon_threadsafe(what)


def _tokens(config: Config) -> Tokens | None:
    """The ingest tokens, and a refusal to listen in the open without any."""
    receivers = config.receivers
    tokens = Tokens(receivers.tokens_file) if receivers.tokens_file else None
    for listener in (receivers.grpc, receivers.http):
        check_bind(
            listener.endpoint, has_auth=tokens is not None,
            allow_unauthenticated=receivers.allow_unauthenticated,
        )  # fmt: skip
    return tokens
