"""The fixtures: recorded and built requests with the rows that must come of them."""

from __future__ import annotations

import tomllib
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import built
from .cited import Found
from .sink import REQUESTS

HERE = Path(__file__).resolve().parent


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


COLUMNS = words(
    """
    session_id user_id tenant_id operation provider request_model response_model model_version
    response_id input_tokens output_tokens total_tokens cache_read_tokens cache_write_tokens
    reasoning_tokens cost cost_input cost_output temperature top_p max_tokens request_parameters
    streaming finish_reasons time_to_first_token_seconds input_messages output_messages
    system_instructions input_text output_text tool_definitions called_tools tool_name tool_call_id
    documents document_ids document_scores input_documents embedding embedding_dimensions agent_name
    agent_id agent_version workflow_name prompt_template_id prompt_template_version
    prompt_template_text prompt_variables error_type error_message guardrail_name guardrail_result
    guardrail_score run_id variant release tags metadata experiment_id experiment_name convention
    content_incomplete
    """
)
# Of the process that sends, not of the span: compared where a row lists them.
SURROUNDING = words("environment service_name service_version")
# Stored as JSON text, written as TOML values.
JSON_COLUMNS = words(
    """
    request_parameters input_messages output_messages tool_definitions documents input_documents
    prompt_variables metadata
    """
)
# Made from other columns: norm_source has no entry of their own.
DERIVED = words("called_tools document_ids document_scores convention content_incomplete")
# These may be made from what has no key: the time of an event, the length of a vector.
MAY_BE_DERIVED = DERIVED | words("time_to_first_token_seconds embedding_dimensions streaming")
EVALUATION_COLUMNS = words(
    """
    name score label passed explanation evaluator evaluator_version kind error_type source
    """
)
# What a result belongs to, and which it is: compared where a row lists them.
BELONGING = words("trace_id response_id idempotency_key dataset item_id")


@dataclass(frozen=True)
class SpanRow:
    """What the span `name` (the nth of that name by start time) must become.

    `keys` has the source keys of each value: one, more for the union of several, none when derived.
    """

    name: str
    nth: int
    values: dict[str, Any]
    keys: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class EvaluationRow:
    """What one judgement must become; `span` and `nth` name the judged span, or None."""

    span: str | None
    nth: int
    values: dict[str, Any]


@dataclass(frozen=True)
class Fixture:
    """One scenario: the bytes of its requests, and the rows they must become."""

    name: str
    file: Path
    traces: bytes
    logs: bytes
    spans: list[SpanRow] = field(default_factory=list)
    evaluations: list[EvaluationRow] = field(default_factory=list)

    def found(self) -> list[Found]:
        """The spans in the bytes by the official parser, by start, parents first."""
        logs = defaultdict(list)
        for group in REQUESTS["logs"].FromString(self.logs).resource_logs:
            for scoped in group.scope_logs:
                for log in scoped.log_records:
                    logs[log.trace_id, log.span_id].append(log)
        spans = [
            Found(span, group.resource, scoped.scope, logs[span.trace_id, span.span_id])
            for group in REQUESTS["traces"].FromString(self.traces).resource_spans
            for scoped in group.scope_spans
            for span in scoped.spans
        ]
        places = {(one.span.start_time_unix_nano, one.span.span_id) for one in spans}

        def place(one: Found) -> tuple[int, bool]:
            start = one.span.start_time_unix_nano
            return start, (start, one.span.parent_span_id) in places

        return sorted(spans, key=place)

    def find(self, name: str, nth: int) -> Found:
        """The recorded span of a row. Raises LookupError when there is none."""
        named = [one for one in self.found() if one.span.name == name]
        if nth >= len(named):
            raise LookupError(f"{self.name}: {len(named)} spans {name!r}, wanted number {nth}")
        return named[nth]


def files() -> list[Path]:
    return sorted([*HERE.glob("*@*/expected.toml"), *HERE.glob("built/*.toml")])


def fixtures() -> list[Fixture]:
    return [fixture for file in files() for fixture in load(file)]


def load(file: Path) -> list[Fixture]:
    """The fixtures of one file: its scenarios in order of name."""
    content = tomllib.loads(file.read_text())
    of_file = load_built if content.get("built") else load_recorded
    return [
        Fixture(
            name,
            file,
            traces,
            logs,
            [span_row(one) for one in content.get("span", []) if one["scenario"] == scenario],
            [
                evaluation_row(one)
                for one in content.get("evaluation", [])
                if one["scenario"] == scenario
            ],
        )
        for scenario, name, traces, logs in of_file(file, content)
    ]


def load_recorded(file: Path, _: dict[str, Any]) -> list[tuple[str, str, bytes, bytes]]:
    folder = file.parent
    names = sorted(
        {path.name.removesuffix(".pb").rpartition(".")[0] for path in folder.glob("*.pb")}
    )
    return [
        (
            scenario,
            f"{folder.name}/{scenario}",
            _bytes(folder / f"{scenario}.traces.pb"),
            _bytes(folder / f"{scenario}.logs.pb"),
        )
        for scenario in names
    ]


def _bytes(file: Path) -> bytes:
    return file.read_bytes() if file.exists() else b""


def load_built(file: Path, content: dict[str, Any]) -> list[tuple[str, str, bytes, bytes]]:
    result = []
    for scenario in sorted({one["scenario"] for one in content["sent"]}):
        name = f"built/{file.stem}/{scenario}"
        sent = [one for one in content["sent"] if one["scenario"] == scenario]
        logs = [one for one in content.get("sent_log", []) if one["scenario"] == scenario]
        spans = [one["name"] for one in sent]
        result.append(
            (
                scenario,
                name,
                built.traces(name, sent),
                built.logs(name, logs, spans) if logs else b"",
            )
        )
    return result


def span_row(entry: dict[str, Any]) -> SpanRow:
    cells = {key: cell for key, cell in entry.items() if key not in {"scenario", "name", "nth"}}
    return SpanRow(
        entry["name"],
        entry.get("nth", 0),
        {column: cell[0] for column, cell in cells.items()},
        {column: tuple(cell[1:]) for column, cell in cells.items() if len(cell) > 1},
    )


def evaluation_row(entry: dict[str, Any]) -> EvaluationRow:
    values = {k: v for k, v in entry.items() if k not in {"scenario", "span", "nth"}}
    return EvaluationRow(entry.get("span"), entry.get("nth", 0), values)
