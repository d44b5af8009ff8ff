"""Every setting: its type, default, unit and help. The one home of configuration facts.

docs/configuration.md is generated from these models. Durations are Prometheus strings in YAML
(`90s`, `15m`, `7d`) and seconds in code; sizes are `256MiB` in YAML and bytes in code.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from retraind.model import ReferenceKind

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB|TiB|kB|MB|GB|TB)?")
_BYTES = {
    "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
    "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
}  # fmt: skip


def parse_duration(value: object) -> float:
    """Seconds of a Prometheus duration, e.g. `1h30m`. Raises ValueError with the accepted form."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    text = str(value).strip()
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"not a duration: {text!r}; write e.g. 90s, 15m, 1h30m or 7d")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def parse_size(value: object) -> int:
    """Bytes of a size such as `256MiB`. Raises ValueError with the accepted form."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _SIZE.fullmatch(str(value).strip())
    if match is None:
        raise ValueError(f"not a size: {value!r}; write e.g. 512KiB, 64MiB or 20GiB")
    return int(float(match[1]) * _BYTES[match[2] or "B"])


# Nothing below zero anywhere; longest and largest such that nanoseconds and bytes fit 64 bits.
Duration = Annotated[float, BeforeValidator(parse_duration), Field(ge=0, le=36_500 * 86400)]
Size = Annotated[int, BeforeValidator(parse_size), Field(ge=0, le=2**60)]
Address = Annotated[str, Field(pattern=r"^(\[[0-9a-fA-F:]+\]|[^:\s]*):\d{1,5}$")]


RESTART: dict[str, Any] = {"restart": True}
"""Marks a setting that a reload does not take up, or a section with only such settings."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Tls(Section):
    cert_file: Path = Field(description="PEM file with the server certificate chain.")
    key_file: Path = Field(description="PEM file with the private key.")


class Listener(Section):
    endpoint: Address = Field(description="host:port to listen on.")
    tls: Tls | None = Field(None, description="Serve over TLS with this certificate.")


class GrpcReceiver(Listener):
    endpoint: Address = Field("127.0.0.1:4317", description="host:port of OTLP/gRPC.")


class HttpReceiver(Listener):
    endpoint: Address = Field("127.0.0.1:4318", description="host:port of OTLP/HTTP.")


class ReceiverLimits(Section):
    request_bytes: Size = Field(
        64 * 2**20,
        description="Largest request, compressed or not. Larger ones get 413. Each gRPC request "
        "reserves this much of in_flight_bytes while it is read.",
        gt=0,
        json_schema_extra=RESTART,
    )  # fmt: skip
    in_flight_bytes: Size = Field(
        256 * 2**20,
        description="Bytes of requests held at once, from reading the body to the commit.", gt=0,
        json_schema_extra=RESTART,
    )  # fmt: skip
    queue_wait: Duration = Field(
        2.0,
        description="A request whose estimated wait exceeds this is refused with a retry hint.",
        gt=0,
    )
    attributes_per_span: int = Field(
        1024, description="More attributes than this reject the span.", gt=0
    )


class Receivers(Section):
    grpc: GrpcReceiver = Field(GrpcReceiver(), description="OTLP/gRPC.", json_schema_extra=RESTART)
    http: HttpReceiver = Field(HttpReceiver(), description="OTLP/HTTP.", json_schema_extra=RESTART)
    tokens_file: Path | None = Field(
        None, description="File with one bearer token a line; without it no token is asked for.",
        json_schema_extra=RESTART,
    )  # fmt: skip
    allow_unauthenticated: bool = Field(
        False, description="Listen on a non-loopback address without tokens.",
        json_schema_extra=RESTART,
    )  # fmt: skip
    limits: ReceiverLimits = Field(ReceiverLimits(), description="Bounds of the receivers.")


class FeedbackSettings(Section):
    request_bytes: Size = Field(
        4 * 2**20, description="Largest body of POST /api/v1/feedback and /api/v1/evaluations.",
        gt=0,
    )  # fmt: skip
    items: int = Field(1000, description="Items of one request; send more in several.", gt=0)
    text_characters: int = Field(
        65_536, description="Longest comment, correction, label or explanation.", gt=0
    )


class Admin(Section):
    endpoint: Address = Field(
        "127.0.0.1:9464", description="host:port of metrics, health and API.",
        json_schema_extra=RESTART,
    )  # fmt: skip
    token_file: Path | None = Field(
        None,
        description="File with the admin token; SQL, reload and mutations over TCP need it. "
        "Without it they work only through DIR/retraind.sock.",
        json_schema_extra=RESTART,
    )
    sql_timeout: Duration = Field(
        30.0, description="A query is interrupted after this, at its next call of a function.", gt=0
    )
    sql_rows: int = Field(10_000, description="A query returns at most this many rows.", gt=0)


class Store(Section):
    memory_limit: Size = Field(
        2**30, description="Memory limit of the database engine.", ge=64 * 2**20,
        json_schema_extra=RESTART,
    )  # fmt: skip
    segment_bytes: Size = Field(
        256 * 2**20, description="A segment is sealed when its log reaches this size.", gt=0
    )
    segment_age: Duration = Field(86400.0, description="A segment is sealed at this age.", gt=0)
    retention_age: Duration = Field(
        30 * 86400.0, description="Sealed segments whose newest span is older are deleted.", gt=0
    )
    retention_bytes: Size = Field(
        50 * 2**30, description="The oldest sealed segments are deleted above this total.", gt=0
    )
    min_free_bytes: Size = Field(
        512 * 2**20, description="Below this much free disk the daemon refuses new data."
    )
    quarantine_rows: int = Field(
        10_000, description="Rejected items kept per segment; more are only counted.", ge=0
    )
    snapshot_interval: Duration = Field(
        3600.0, description="State file snapshots; three are kept.", ge=1
    )


class WindowSettings(Section):
    min_length: Duration = Field(
        3600.0, description="A decision window is at least this long.", gt=0
    )
    max_length: Duration = Field(
        7 * 86400.0, description="A decision window is at most this long.", gt=0
    )
    min_sessions: int = Field(
        280, description="A window closes once it has this many sessions.", gt=0
    )
    min_sessions_at_max_length: int = Field(
        100, description="At max_length a window with fewer sessions counts as no_data.", gt=0
    )
    lateness_min: Duration = Field(120.0, description="Smallest allowance for late spans.")
    lateness_max: Duration = Field(3600.0, description="Largest allowance for late spans.")


class ReferenceSettings(Section):
    min_age: Duration = Field(7 * 86400.0, description="The first reference covers at least this.")
    min_sessions: int = Field(
        2800, description="The first reference has at least this many sessions.", gt=0
    )
    ratio: float = Field(
        1.0,
        description="Sessions of the same hours that a pinned reference should have, as a multiple "
        "of the window's; with fewer, the same hours of other days are taken, too.",
        ge=0,
    )
    kinds: tuple[ReferenceKind, ...] = Field(
        ("pinned", "seasonal", "deploy"),
        description="What windows are compared with: always the pinned reference, which alone asks "
        "for retraining; seasonal: the same hours of the last weeks; deploy: before a new version, "
        "in its first 24 h; trailing: the last 7 days, shown but never an alarm.",
    )
    seasonal_weeks: int = Field(
        4, description="Weeks of the seasonal reference; until they exist it is immature.",
        ge=1, le=8,
    )  # fmt: skip

    @field_validator("kinds")
    @classmethod
    def _pinned_is_there(cls, kinds: tuple[ReferenceKind, ...]) -> tuple[ReferenceKind, ...]:
        if "pinned" not in kinds or len(set(kinds)) < len(kinds):
            raise ValueError("name pinned, and each kind once")
        return kinds


class Bands(Section):
    investigate: float = Field(0.10, description="PSI from which a shift is worth a look.", ge=0)
    retrain: float = Field(0.25, description="PSI from which retraining is considered.", ge=0)


class Detector(Section):
    bh_q: float = Field(
        0.05, description="False discovery rate of one tick (Benjamini-Hochberg).", gt=0, lt=1
    )
    alpha: float = Field(0.001, description="p-value that a window must reach besides.", gt=0, lt=1)
    windows_for: int = Field(
        2, description="Windows of the last three that must agree.", ge=1, le=3
    )
    keep_firing_for: int = Field(3, description="Quiet windows before an alarm resolves.", ge=1)
    bands: Bands = Field(Bands(), description="Bands of the corrected PSI.")
    fail_rate_tolerance: float = Field(
        0.01, description="Rise over the baseline fail rate that is tolerated.", ge=0, lt=1
    )
    false_pages_per_year: float = Field(
        4.0, description="Allowed false alarms a year, all fail-rate series together.", gt=0
    )


class EvalSettings(Section):
    threshold: float | None = Field(None, description="Score from which an evaluation passes.")
    direction: Literal["higher", "lower"] = Field("higher", description="Which side is better.")
    max_fail_rate: float | None = Field(
        None, ge=0, le=1, description="Fixed limit that fires even before a reference exists."
    )


class Feature(Section):
    name: str = Field(description="Name in metrics and events.", pattern=r"^[a-zA-Z_][\w.]{0,62}$")
    source: str = Field(
        alias="from",
        description="A column of `spans`; a key of attributes, resource, metadata, "
        'prompt_variables or request_parameters as attributes["key"]; or tags["tag"].',
    )
    type: Literal["number", "category"] = Field(description="number or category.")
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Match(Section):
    service_name: str | None = Field(None, description="Only this service; unset means every one.")
    environment: str | None = Field(None, description="Only this environment.")


Reason = Literal["golden_drop", "eval_fail_rate", "label_feedback", "drift", "schedule"]


class Policy(Section):
    any: tuple[Reason, ...] | None = Field(None, description="Fire when one of these holds.")
    all: tuple[Reason, ...] | None = Field(None, description="Fire when all of these hold.")
    k: int | None = Field(None, description="Fire when k of `of` hold.", gt=0)
    of: tuple[Reason, ...] | None = Field(None, description="Reasons counted by `k`.")
    cooldown: Duration = Field(
        7 * 86400.0, description="No second trigger for a model within this."
    )
    hold_for: Duration = Field(
        86400.0,
        description="How long a trigger waits at most while a new service.version, a changed judge "
        "or a changed schema may be the cause; 0: never.",
    )
    schedule: Duration | None = Field(
        None, description="Ask for retraining at this interval.", gt=0
    )
    always: bool = Field(
        False, description="Let the schedule fire although nothing reached notice since."
    )

    @model_validator(mode="after")
    def _one_form(self) -> Policy:
        forms = [self.any is not None, self.all is not None, self.k is not None]
        if sum(forms) > 1:
            raise ValueError("write only one of any, all or k with of")
        if (self.k is None) != (self.of is None):
            raise ValueError("k and of go together")
        return self


class Monitor(Section):
    name: str = Field(description="Name in metrics and events.", pattern=r"^[a-zA-Z0-9_.-]{1,63}$")
    match: Match = Field(Match(), description="Which spans it watches.")
    cohort: str | None = Field(
        None,
        description="What names the cohort: a source as `from` of a feature. A call without a "
        "value has that of its nearest ancestor, else of any span of its trace.",
    )
    version: str | None = Field(
        None,
        description="Where a model's version stands instead of response_model: a source like the "
        "cohort's, e.g. prompt_template_version, release or fingerprint.",
    )
    features: tuple[str | Feature, ...] | None = Field(
        None,
        description="Names of built-in features, or features of your own; unset: all built-in.",
    )
    evals: dict[str, EvalSettings] = Field(
        default_factory=dict, description="Thresholds of evaluations by name."
    )
    policy: Policy = Field(Policy(), description="When to ask for retraining.")
    window: WindowSettings = Field(WindowSettings(), description="Decision windows.")
    reference: ReferenceSettings = Field(
        ReferenceSettings(), description="What windows are compared with."
    )
    detector: Detector = Field(Detector(), description="Sensitivity.")


class Destination(Section):
    name: str = Field(description="Name in metrics.", pattern=r"^[a-zA-Z0-9_.-]{1,63}$")
    url: str = Field(description="Where triggers are POSTed to.", pattern=r"^https?://")
    secret_file: Path | None = Field(
        None, description="File with the Standard Webhooks secret (whsec_…)."
    )
    shape: Literal["cloudevent"] = Field("cloudevent", description="Form of the body.")
    timeout: Duration = Field(15.0, description="Time for one attempt.", gt=0)
    expire_after: Duration = Field(
        86400.0, description="An undelivered event expires after this.", gt=0
    )

    @field_validator("url")
    @classmethod
    def _has_a_host(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            broken = not parts.hostname or parts.port == 0 or re.search(r"[\s\x00-\x1f]", url)
        except ValueError:  # half an IPv6 address, or no port
            broken = True
        if broken:
            raise ValueError(f"{url!r} is not an address; write e.g. https://host:8080/path")
        return url


class Limits(Section):
    series: int = Field(
        1000, description="Series in all; later ones are counted, not watched.", gt=0
    )
    cohorts: int = Field(50, description="Cohorts per service and model.", gt=0)
    models: int = Field(50, description="Models per service and environment.", gt=0)
    categories: int = Field(
        512,
        description="A category feature with more values is high_cardinality and untested.",
        gt=0,
    )
    metric_series: int = Field(20_000, description="Series exported to Prometheus.", gt=0)


DriftMethod = Literal["psi", "kl_reference_current", "kl_current_reference", "js"]


class Metrics(Section):
    methods: tuple[DriftMethod, ...] = Field(
        ("psi",), description="Drift scores exported to Prometheus; all of them are in `windows`."
    )


ContentAction = Literal["keep", "truncate", "redact", "hash", "drop"]
PatternName = Literal["key", "email", "card", "ip", "phone"]


class Presidio(Section):
    model: str = Field("en_core_web_sm", description="Installed spaCy model.")
    language: str = Field("en", description="Language of the texts.")
    entities: tuple[str, ...] = Field(
        ("PERSON",), description="What is redacted; an empty list means all that is recognised."
    )
    score: float = Field(0.5, description="Least certainty of a finding.", ge=0, le=1)


class Content(Section):
    default: Literal["keep", "redact"] = Field(
        "keep", description="What happens to every text, names and keys included."
    )
    fields: dict[str, ContentAction] = Field(
        default_factory=dict,
        description="Other actions (keep, truncate, redact, hash, drop) by column, group (input, "
        'output, system, tools, documents), attributes["key"] or resource["key"].',
    )
    patterns: tuple[PatternName, ...] = Field(
        ("key", "email", "card", "ip", "phone"), description="What `redact` looks for."
    )
    extra_patterns: dict[str, str] = Field(
        default_factory=dict, description="RE2 expressions of your own by name."
    )
    presidio: Presidio | None = Field(
        None, description="Recognise more with Presidio; slow, needs retraind[presidio]."
    )
    truncate_bytes: Size = Field(4096, description="Longest text that `truncate` leaves.", gt=0)
    key_file: Path | None = Field(
        None, description="File with the key of `hash` and of token hashes, 16 bytes or more."
    )


class Config(Section):
    data: Path = Field(Path("retraind-data"), description="Data folder.", json_schema_extra=RESTART)
    receivers: Receivers = Field(Receivers(), description="Where telemetry comes in.")
    admin: Admin = Field(Admin(), description="Metrics, health, API and console.")
    feedback: FeedbackSettings = Field(
        FeedbackSettings(), description="Bounds of what is posted to the API."
    )
    content: Content = Field(Content(), description="What of texts may be stored.")
    store: Store = Field(Store(), description="Segments, retention and disk.")
    monitors: tuple[Monitor, ...] = Field(
        (Monitor(name="default"),),
        description="What is watched; by default every service and model.",
    )
    destinations: tuple[Destination, ...] = Field((), description="Where triggers are delivered.")
    limits: Limits = Field(Limits(), description="Bounds of series and labels.")
    metrics: Metrics = Field(Metrics(), description="What is exported to Prometheus.")
    tick: Duration = Field(5.0, description="How often windows are looked at.", gt=0)

    @property
    def monitors_by_name(self) -> dict[str, Monitor]:
        return {monitor.name: monitor for monitor in self.monitors}

    @field_validator("monitors", "destinations")
    @classmethod
    def _unique_names(cls, items: tuple[Any, ...]) -> tuple[Any, ...]:
        names = [item.name for item in items]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"the name {name!r} is used twice")
        return items
