"""JSON values of the API to rows of `evaluations`: each item alone, so one bad costs no other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
from pydantic import ValidationError

from retraind.model import Json, JudgementApi
from retraind.normalise.coerce import since_epoch
from retraind.normalise.items import EVALUATION, FEEDBACK, RESERVED, EvaluationItem
from retraind.normalise.schema import EVALUATIONS
from retraind.normalise.verdicts import verdict

SOURCES: Mapping[JudgementApi, str] = {
    "feedback": "api:feedback",
    "evaluations": "api:evaluations",
}
FieldPolicy = Callable[[str, str], str]
"""What may be stored of a text: (column, text) -> the text, another, or nothing."""

_MESSAGE_CHARACTERS = 300
# Of people: who they are is as on spans, and what an answer should have been is as an answer.
_LIKE = {"evaluator": "user_id", "correction": "output_text", "label": "output_text"}
_OUR_LABELS = ("thumbs", "rating", "escalation")
_ADAPTERS = {"feedback": FEEDBACK, "evaluations": EVALUATION}


@dataclass(frozen=True, slots=True)
class Judged:
    """An item that can be stored. `row`: columns of `evaluations`; `time` is None when not sent."""

    index: int
    id: str | None
    row: Json


@dataclass(frozen=True, slots=True)
class ItemError:
    """Why an item was not stored. `reason` conflict: its id or key was used for another one."""

    index: int
    error: str
    id: str | None = None
    reason: Literal["invalid", "conflict", "unstorable"] = "invalid"


def read_items(
    api: JudgementApi,
    values: Sequence[Any],
    *,
    text_characters: int,
    policy: FieldPolicy = lambda _, text: text,
) -> tuple[list[Judged], list[ItemError]]:
    """Validate every value by itself. Errors never quote what was sent but names of fields."""
    judged, errors = [], []
    for index, value in enumerate(values):
        try:
            item = _ADAPTERS[api].validate_python(
                value, context={"text_characters": text_characters}
            )
        except ValidationError as error:
            errors.append(ItemError(index, _message(api, error, value), _id(value)))
            continue
        row = _evaluation(item) if isinstance(item, EvaluationItem) else _feedback(item)
        row |= {name: getattr(item, name) for name in _TARGET}
        row["idempotency_key"] = item.id
        row["time"] = None if item.time is None else since_epoch(item.time)
        row["source"] = SOURCES[api]
        _apply(policy, row)
        judged.append(Judged(index, item.id, row))
    return judged, errors


def to_table(rows: Sequence[Json], *, received_at_ns: int) -> pa.Table:
    """Rows of `evaluations`; one without a time was judged when it was received."""
    timed = [row | {"time": received_at_ns if row["time"] is None else row["time"]} for row in rows]
    return pa.Table.from_pylist(timed, schema=EVALUATIONS)


_TARGET = ("trace_id", "span_id", "response_id", "session_id")
_OF_EVALUATION = (
    "name", "score", "label", "passed", "explanation", "evaluator", "evaluator_version",
    "error_type", "kind", "dataset", "item_id", "run_id", "variant",
)  # fmt: skip


def _evaluation(item: EvaluationItem) -> Json:
    row = {name: getattr(item, name) for name in _OF_EVALUATION}
    if item.error_type is not None:
        row["passed"] = None  # an evaluator that failed has found nothing
    elif item.passed is None and item.label is not None:
        row["passed"] = verdict(item.name, item.label)
    return row


def _feedback(item: Any) -> Json:
    row: Json = {
        "name": item.kind,
        "kind": "label" if item.kind == "label" else "human",
        "explanation": item.comment,
        "evaluator": item.user,
    }
    if item.kind == "thumbs":
        up = item.value == "up"
        row |= {"label": item.value, "score": float(up), "passed": up}
    elif item.kind == "rating":
        row |= {"label": f"{item.value:g}/{item.scale:g}", "score": item.value / item.scale}
    elif item.kind == "escalation":
        row |= {"label": "yes" if item.value else "no", "passed": not item.value}
    elif item.kind == "correction":
        row["correction"] = item.value
    else:
        row |= {"label": item.value, "passed": item.passed}
    return row


def _apply(policy: FieldPolicy, row: Json) -> None:
    """Every text that the sender chose goes through the policy, here and nowhere else."""
    feedback = row["source"] == SOURCES["feedback"]
    ours = {"kind", "source", "trace_id", "span_id"}
    if feedback:
        ours |= {"name", "label"} if row["name"] in _OUR_LABELS else {"name"}
    for name, value in row.items():
        if isinstance(value, str) and name not in ours:
            kept = policy(_LIKE.get(name, name) if feedback else name, value)
            row[name] = kept or ("dropped" if name == "name" else None)


def _id(value: Any) -> str | None:
    sent = value.get("id") if isinstance(value, dict) else None
    return sent[:256] if isinstance(sent, str) else None


def _message(api: JudgementApi, error: ValidationError, value: Any) -> str:
    """Each problem as `field: what to write`, without what was sent."""
    if not isinstance(value, dict):
        return "an item is a JSON object"
    parts = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        place = [str(part) for part in problem["loc"]]
        if api == "feedback" and place and place[0] in RESERVED:
            place = place[1:]  # the form that `kind` chose, not a field
        parts.append(f"{'.'.join(place)[:64]}: {_WORDS.get(problem['type'], problem['msg'])}")
    text = "; ".join(part.removeprefix(": ") for part in parts)
    return text.replace("Value error, ", "")[:_MESSAGE_CHARACTERS]


_WORDS = {
    "extra_forbidden": "there is no such field",
    "missing": "is missing",
    "union_tag_not_found": f"kind: write one of {', '.join(RESERVED)}",
    "union_tag_invalid": f"kind: write one of {', '.join(RESERVED)}",
}
