"""What a monitor reads from each span: cohort, version, features and thresholds of evals."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from retraind.config.settings import EvalSettings, Feature, Monitor
from retraind.errors import ConfigError

SourceKind = Literal[
    "column", "attribute", "resource", "metadata", "prompt_variable", "request_parameter", "tag",
    "length", "first", "usage", "feature",
]  # fmt: skip

OWN = frozenset(
    {
        "name", "kind", "duration_ns", "status", "status_message", "service_name",
        "service_version", "environment", "scope_name", "scope_version", "operation", "provider",
        "request_model", "response_model", "model_version", "response_id", "input_tokens",
        "output_tokens", "total_tokens", "cache_read_tokens", "cache_write_tokens",
        "reasoning_tokens", "cost", "cost_input", "cost_output", "temperature", "top_p",
        "max_tokens", "streaming", "time_to_first_token_seconds", "tool_name", "tool_call_id",
        "embedding_dimensions", "error_type", "error_message", "guardrail_name",
        "guardrail_result", "guardrail_score", "convention", "fingerprint", "content_incomplete",
    }
)  # fmt: skip
"""Columns that describe one span: another span's value would be wrong for it."""

COLUMNS = OWN | {
    "session_id", "user_id", "tenant_id", "agent_name", "agent_id", "agent_version",
    "workflow_name", "prompt_template_id", "prompt_template_version", "prompt_template_text",
    "run_id", "variant", "release", "experiment_id", "experiment_name",
}  # fmt: skip
"""Columns of `spans` with one plain value, which a source may name."""

_KINDS: Mapping[str, SourceKind] = {
    "attributes": "attribute", "resource": "resource", "metadata": "metadata",
    "prompt_variables": "prompt_variable", "request_parameters": "request_parameter",
    "tags": "tag",
}  # fmt: skip
_NAMES = "|".join(_KINDS)
_KEYED = re.compile(rf"""({_NAMES})\[\s*(?:"([^"\]]+)"|'([^'\]]+)')\s*\]""")
_NEARLY_KEYED = re.compile(rf"({_NAMES})(?:\s*[\[.(]\s*(.*?))?\s*[\])]?")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value comes from.

    kind column: a column of `spans`; attribute, resource, metadata, prompt_variable,
    request_parameter: one key of that JSON object; tag: the tag where the span has it; length:
    characters of the first of the comma-separated columns that is filled; first: the first element
    of a list column; usage: see window/usage.py; feature: a macro, see store/features.py.
    """

    kind: SourceKind
    key: str

    @property
    def alias(self) -> str:
        """Name of the column in which the reader delivers this source."""
        return self.key if self.kind == "column" else f"{self.kind}:{self.key}"

    @property
    def inherited(self) -> bool:
        """Whether a span without a value takes that of another span of its trace."""
        return self.kind != "resource" and not (self.kind == "column" and self.key in OWN)


def parse_source(text: str) -> Source:
    """Read a column name, tags["key"], or a key of a JSON column as attributes["key"].

    Raises ConfigError that says what to write instead.
    """
    text = text.strip()
    if text in COLUMNS:
        return Source("column", text)
    match = _KEYED.fullmatch(text)
    if match is not None:
        return Source(_KINDS[match[1]], match[2] or match[3])
    nearly = _NEARLY_KEYED.fullmatch(text)
    if nearly is not None:
        key = (nearly[2] or "").strip("\"' ") or "key"
        raise ConfigError(f'{text!r} is not a source; write {nearly[1]}["{key}"]')
    close = difflib.get_close_matches(text, sorted(COLUMNS), n=1, cutoff=0.8)
    if close:
        raise ConfigError(f"{text!r} is not a column of spans; did you mean {close[0]!r}?")
    raise ConfigError(
        f"{text!r} is not a column of spans; write a column's name (one that holds one value), "
        f'attributes["{text}"], resource["{text}"], metadata["{text}"] or tags["{text}"]'
    )


@dataclass(frozen=True, slots=True)
class FeaturePlan:
    """One feature of a session. `context` features are shown, never evidence.

    `anywhere`: when no leaf inference span carries it, another span of the same trace may.
    `scale` multiplies a number (nanoseconds to seconds). One below `minimum`, before it is scaled,
    is none: a duration below 0 says only that clocks disagreed. `once`: a second report of a call
    does not carry it (window/usage.py).
    """

    name: str
    kind: Literal["number", "category"]
    source: Source
    context: bool = False
    anywhere: bool = False
    scale: float = 1.0
    once: bool = False
    help: str = ""
    minimum: float = -math.inf


INPUT_TOTAL = Source("usage", "input_total")
_BUILT_IN = (
    FeaturePlan(
        "input_tokens", "number", INPUT_TOTAL, once=True,
        help="Tokens of the prompt, cached ones included.",
    ),
    FeaturePlan(
        "output_tokens", "number", Source("column", "output_tokens"), once=True,
        help="Tokens of the answer.",
    ),
    FeaturePlan(
        "input_length", "number", Source("length", "input_text,input_messages"),
        help="Characters of the last user message.",
    ),
    FeaturePlan(
        "output_length", "number", Source("length", "output_text,output_messages"),
        help="Characters of the answer.",
    ),
    FeaturePlan(
        "finish_reason", "category", Source("first", "finish_reasons"),
        help="Why the answer ended.",
    ),
    FeaturePlan(
        "refusal", "category", Source("feature", "refusal"),
        help="refused or answered: by the finish reason, or the first words (English).",
    ),
    FeaturePlan(
        "output_json", "category", Source("feature", "output_json"),
        help="valid or invalid, of answers that look like JSON or were asked to be.",
    ),
    FeaturePlan(
        "tool_choice", "category", Source("feature", "tool_choice"),
        help="Tools that the answer calls; none when it was offered some.",
    ),
    FeaturePlan(
        "tool_name", "category", Source("column", "tool_name"), anywhere=True,
        help="A tool that ran.",
    ),
    FeaturePlan(
        "retrieval", "category", Source("feature", "retrieval"), anywhere=True,
        help="found or empty: whether a retrieval brought documents.",
    ),
    FeaturePlan(
        "retrieved_documents", "number", Source("feature", "retrieved"), anywhere=True,
        help="Documents that a retrieval brought.",
    ),
    FeaturePlan(
        "retrieval_score", "number", Source("feature", "top_score"), anywhere=True,
        help="Best score among them.",
    ),
    FeaturePlan(
        "top_document", "category", Source("feature", "top_document"), anywhere=True,
        help="Id of the first of them.",
    ),
    FeaturePlan(
        "duration_seconds", "number", Source("column", "duration_ns"), context=True, scale=1e-9,
        minimum=0, help="Duration of the call.",
    ),
    FeaturePlan(
        "cost", "number", Source("column", "cost"), context=True, once=True,
        help="Cost of the call in US dollars.",
    ),
    FeaturePlan(
        "error", "category", Source("column", "status"), context=True, help="Status of the call."
    ),
)  # fmt: skip
BUILT_IN: Mapping[str, FeaturePlan] = {feature.name: feature for feature in _BUILT_IN}
RESERVED = frozenset({"sessions", "versions"})
REPORTED = (
    INPUT_TOTAL, Source("column", "output_tokens"), Source("column", "cost"),
    Source("column", "duration_ns"), Source("usage", "response"), Source("usage", "emitter"),
)  # fmt: skip
"""What tells a second report of a call from another call."""


@dataclass(frozen=True, slots=True)
class EvalPlan:
    """When an evaluation without a verdict of its own has passed; threshold None: it never says."""

    threshold: float | None
    higher_is_better: bool = True
    max_fail_rate: float | None = None


_HIGHER = {
    "groundedness": 0.7, "faithfulness": 0.7, "relevance": 0.6, "answer_relevance": 0.6,
    "answer_relevancy": 0.6, "context_relevance": 0.5, "context_precision": 0.5,
    "context_recall": 0.5, "correctness": 0.7, "helpfulness": 0.5, "coherence": 0.5,
    "task_completion": 0.5,
}  # fmt: skip
_LOWER = {"hallucination": 0.5, "toxicity": 0.5, "bias": 0.5, "pii_leakage": 0.5}
WELL_KNOWN_EVALS: Mapping[str, EvalPlan] = {
    **{name: EvalPlan(threshold) for name, threshold in _HIGHER.items()},
    **{name: EvalPlan(threshold, higher_is_better=False) for name, threshold in _LOWER.items()},
}
_SILENT = EvalPlan(None)


def _eval_name(name: str) -> str:
    """`Answer Relevance`, `answer-relevance` and `AnswerRelevance` are one well-known name."""
    return re.sub(r"[\s-]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.strip())).lower()


def _eval_plan(name: str, settings: EvalSettings) -> EvalPlan:
    default = WELL_KNOWN_EVALS.get(_eval_name(name), _SILENT)
    higher = default.higher_is_better
    if "direction" in settings.model_fields_set:
        higher = settings.direction == "higher"
    threshold = settings.threshold
    if threshold is None and higher == default.higher_is_better:
        threshold = default.threshold
    return EvalPlan(threshold, higher, settings.max_fail_rate)


@dataclass(frozen=True, slots=True)
class MonitorPlan:
    """A monitor, resolved. None for service_name or environment matches every one."""

    monitor: str
    service_name: str | None
    environment: str | None
    cohort: Source | None
    version: Source
    features: tuple[FeaturePlan, ...]
    evals: Mapping[str, EvalPlan]

    def columns(self) -> Mapping[str, Source]:
        """Columns that the reader must deliver besides the base columns: alias -> source."""
        sources = [self.version, *(feature.source for feature in self.features)]
        if self.cohort is not None:
            sources.append(self.cohort)
        if any(feature.once for feature in self.features):
            sources += REPORTED
        return {source.alias: source for source in sources}

    def context(self) -> frozenset[str]:
        """Aliases that earlier spans of a trace need, too: what is inherited, and the version."""
        sources = [self.version] if self.cohort is None else [self.version, self.cohort]
        return frozenset(source.alias for source in sources)

    def eval_plan(self, name: str) -> EvalPlan:
        """The configured plan of an eval, else the default of a well-known name."""
        return self.evals.get(name) or WELL_KNOWN_EVALS.get(_eval_name(name), _SILENT)

    @classmethod
    def from_settings(cls, monitor: Monitor) -> MonitorPlan:
        """Resolve a configured monitor. Raises ConfigError with what to write instead."""
        chosen = monitor.features if monitor.features is not None else tuple(BUILT_IN)
        features = tuple(_feature(item) for item in chosen)
        names = [feature.name for feature in features]
        for name in names:
            if names.count(name) > 1 or name in RESERVED:
                problem = "is reserved" if name in RESERVED else "is used twice"
                raise ConfigError(f"monitor {monitor.name!r}: the feature name {name!r} {problem}")
        return cls(
            monitor=monitor.name,
            service_name=monitor.match.service_name,
            environment=monitor.match.environment,
            cohort=parse_source(monitor.cohort) if monitor.cohort else None,
            version=parse_source(monitor.version or "response_model"),
            features=features,
            evals={name: _eval_plan(name, item) for name, item in monitor.evals.items()},
        )


def _feature(item: str | Feature) -> FeaturePlan:
    if isinstance(item, Feature):
        return FeaturePlan(item.name, item.type, parse_source(item.source), anywhere=True)
    if item not in BUILT_IN:
        raise ConfigError(
            f"{item!r} is not a built-in feature ({', '.join(BUILT_IN)}); "
            "write {name: ..., from: ..., type: number|category} for one of your own"
        )
    return BUILT_IN[item]


def all_columns(plans: Iterable[MonitorPlan]) -> Mapping[str, Source]:
    """What the reader must deliver for these plans together: alias -> source."""
    return {alias: source for plan in plans for alias, source in plan.columns().items()}


def version_key(version: str, judge: str) -> str:
    """The `version` column of scores and rates: `gpt-4o-2024-08-06|judge:2`, or without a judge."""
    return f"{version}|judge:{judge}" if judge else version


def split_version(key: str) -> tuple[str, str]:
    """The model's version and the judge's of a `version` column."""
    version, _, judge = key.partition("|judge:")
    return version, judge
