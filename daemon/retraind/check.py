"""What is wrong with a configuration beyond its shape: settings that do not go together, files.

Used by `retraind check`, at start and on reload.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from retraind.config.document import Loc, Problem
from retraind.config.load import Loaded, load_with_marks, raise_problems, suggest
from retraind.config.settings import Config, Feature, Listener, Monitor
from retraind.errors import ConfigError, StartError
from retraind.receive.auth import Tokens, is_loopback, split_endpoint
from retraind.webhook.sign import load_secrets


def load_checked(path: Path | None, overrides: Sequence[str] = ()) -> Config:
    """The configuration, loaded and cross-checked. Raises ConfigError with every problem."""
    loaded = load_with_marks(path, overrides)
    problems = check(loaded)
    if problems:
        raise_problems(problems)
    return loaded.config


def check(loaded: Loaded) -> list[Problem]:
    """Every problem of a well-formed configuration."""
    config = loaded.config
    found = [*_listeners(config), *_exposure(config), *_files(config), *_numbers(config)]
    found += _content(config)
    for index, monitor in enumerate(config.monitors):
        found += _monitor(("monitors", index), monitor)
    return [loaded.problem(loc, text) for loc, text in found]


Finding = tuple[Loc, str]


def _addresses(config: Config) -> list[tuple[Loc, Listener | None, str]]:
    return [
        (("receivers", "grpc", "endpoint"), config.receivers.grpc, config.receivers.grpc.endpoint),
        (("receivers", "http", "endpoint"), config.receivers.http, config.receivers.http.endpoint),
        (("admin", "endpoint"), None, config.admin.endpoint),
    ]


def _listeners(config: Config) -> Iterator[Finding]:
    seen: list[tuple[str, int, Loc]] = []
    for loc, _, endpoint in _addresses(config):
        host, port = split_endpoint(endpoint)
        if port > 65535:
            yield loc, f"the port {port} does not exist; write one up to 65535"
            continue
        for other_host, other_port, other in seen:
            overlap = host == other_host or _is_any(host) or _is_any(other_host)
            if port == other_port != 0 and overlap:
                name = ".".join(str(part) for part in other)
                yield loc, f"{endpoint} is also used by {name}; give each listener its own port"
        seen.append((host, port, loc))


def _exposure(config: Config) -> Iterator[Finding]:
    receivers = config.receivers
    if receivers.tokens_file is not None or receivers.allow_unauthenticated:
        return
    for loc, listener, endpoint in _addresses(config):
        if listener is not None and not is_loopback(split_endpoint(endpoint)[0]):
            yield (
                loc,
                (
                    f"{endpoint} is open to the network without authentication; set "
                    "receivers.tokens_file, or receivers.allow_unauthenticated: true"
                ),
            )


def _is_any(host: str) -> bool:
    return host in ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound


def _files(config: Config) -> Iterator[Finding]:
    """Every file that is named can be used, and no secret lies where SQL users can read."""
    files: list[tuple[Loc, Path | None, Callable[[Path], object]]] = [
        (("receivers", "tokens_file"), config.receivers.tokens_file, Tokens),
        (("admin", "token_file"), config.admin.token_file, Tokens),
        (("content", "key_file"), config.content.key_file, _checked_elsewhere),
    ]
    for index, destination in enumerate(config.destinations):
        at: Loc = ("destinations", index, "secret_file")
        files.append((at, destination.secret_file, load_secrets))
    for name, listener in (("grpc", config.receivers.grpc), ("http", config.receivers.http)):
        if listener.tls is not None:
            tls: Loc = ("receivers", name, "tls")
            files.append(((*tls, "cert_file"), listener.tls.cert_file, _read_pem))
            files.append(((*tls, "key_file"), listener.tls.key_file, _read_pem))
    store = (config.data / "store").absolute()
    for loc, path, read in files:
        if path is None:
            continue
        try:
            read(path)
        except (ConfigError, StartError) as error:
            yield loc, str(error)
        if path.absolute().is_relative_to(store):
            yield loc, f"{path} lies where SQL users can read it; keep secrets out of {store}"


def _checked_elsewhere(_: Path) -> None:
    """Its content is looked at where it is used; here only where it lies."""


def _read_pem(path: Path) -> None:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; give a readable PEM file") from error
    if b"-----BEGIN " not in content:
        raise ConfigError(f"{path}: is not a PEM file; it has no line that starts with -----BEGIN")


def _numbers(config: Config) -> Iterator[Finding]:
    limits = config.receivers.limits
    if limits.request_bytes > limits.in_flight_bytes:
        yield (
            ("receivers", "limits", "request_bytes"),
            (
                "is more than in_flight_bytes, so the largest requests could never be taken; "
                "lower it or raise in_flight_bytes"
            ),
        )
    if config.store.segment_bytes > config.store.retention_bytes:
        yield (
            ("store", "segment_bytes"),
            "is more than retention_bytes; lower it or raise retention_bytes",
        )


def _content(config: Config) -> Iterator[Finding]:
    # numpy and pyarrow stay out of `retraind --help`, and of a configuration that keeps all.
    if config.content != type(config.content)():
        from retraind.redact.policy import problems  # noqa: PLC0415

        for setting, text in problems(config.content):
            yield ("content", setting), text


def _monitor(loc: Loc, monitor: Monitor) -> Iterator[Finding]:
    window, bands = monitor.window, monitor.detector.bands
    if window.min_length > window.max_length:
        yield (*loc, "window", "min_length"), "is longer than max_length; lower it"
    if window.lateness_min > window.lateness_max:
        yield (*loc, "window", "lateness_min"), "is longer than lateness_max; lower it"
    if window.min_sessions_at_max_length > window.min_sessions:
        yield (
            (*loc, "window", "min_sessions_at_max_length"),
            f"is more than min_sessions ({window.min_sessions}); lower it",
        )
    if bands.investigate > bands.retrain:
        yield (
            (*loc, "detector", "bands", "investigate"),
            f"is above retrain ({bands.retrain:g}); lower it",
        )
    if monitor.policy.k is not None and monitor.policy.k > len(monitor.policy.of or ()):
        yield (*loc, "policy", "k"), "is more than `of` has reasons; lower it"
    reasons = {
        *(monitor.policy.any or ()), *(monitor.policy.all or ()), *(monitor.policy.of or ()),
    }  # fmt: skip
    if "schedule" in reasons and monitor.policy.schedule is None:
        yield (*loc, "policy"), "the reason schedule needs an interval; add `schedule: 30d`"
    yield from _sources(loc, monitor)


def _sources(loc: Loc, monitor: Monitor) -> Iterator[Finding]:
    # numpy and pyarrow stay out of `retraind --help`.
    from retraind.window.plan import BUILT_IN, RESERVED, parse_source  # noqa: PLC0415

    def source(at: Loc, text: str) -> Iterator[Finding]:
        try:
            parse_source(text)
        except ConfigError as error:
            yield at, str(error)

    if monitor.cohort is not None:
        yield from source((*loc, "cohort"), monitor.cohort)
    if monitor.version is not None:
        yield from source((*loc, "version"), monitor.version)
    names: set[str] = set()
    for index, feature in enumerate(monitor.features or ()):
        at = (*loc, "features", index)
        name = feature.name if isinstance(feature, Feature) else feature
        if name in names:
            yield at, f"the feature {name!r} is listed twice; remove one or give it another name"
        elif name in RESERVED:
            yield at, f"the name {name!r} is reserved; give it another one"
        names.add(name)
        if isinstance(feature, Feature):
            yield from source((*at, "from"), feature.source)
        elif feature not in BUILT_IN:
            yield (
                at,
                (
                    f"{feature!r} is not a built-in feature; {suggest(feature, list(BUILT_IN))}, "
                    "or write {name: …, from: …, type: number} for one of your own"
                ),
            )
