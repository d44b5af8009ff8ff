"""Feedback and evaluations as the API takes them: the forms of an item. OpenAPI shows these."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationInfo,
    model_validator,
)  # fmt: skip

RESERVED = ("thumbs", "rating", "escalation", "correction", "label")
"""Names of evaluations that feedback has for itself; each is the kind of its item."""

_EARLIEST = datetime(1970, 1, 2, tzinfo=UTC)
_LATEST = datetime(2262, 1, 1, tzinfo=UTC)


def _within_limit(text: str, info: ValidationInfo) -> str:
    limit = info.context["text_characters"] if info.context else len(text)
    if len(text) > limit:
        raise ValueError(
            f"longer than {limit} characters; shorten it or raise feedback.text_characters"
        )
    return text


def _time(value: Any) -> datetime:
    """A number could be seconds, milliseconds or nanoseconds: only text is taken."""
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is not None and _EARLIEST <= moment < _LATEST:
                return moment
        except (ValueError, OverflowError):
            pass
    raise ValueError("write a time with its zone, such as 2026-11-21T19:00:00Z")


def _spelled(value: Any) -> Any:
    """A number, true or false as JSON spells it."""
    if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return json.dumps(value)
    if isinstance(value, str):
        return value
    raise ValueError("write a text, a number, true or false")


def _not_zero(text: str) -> str:
    if not text.strip("0"):
        raise ValueError("all zeros is not an id")
    return text.lower()


Text: TypeAlias = Annotated[str, Field(min_length=1), AfterValidator(_within_limit)]
AnyLabel: TypeAlias = Annotated[
    Text,
    BeforeValidator(
        _spelled, json_schema_input_type=Annotated[str, Field(min_length=1)] | float | bool
    ),
]
Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=256)]
TraceId: TypeAlias = Annotated[
    str, Field(pattern=r"^[0-9a-fA-F]{32}$"), AfterValidator(_not_zero)
]  # fmt: skip
SpanId: TypeAlias = Annotated[
    str, Field(pattern=r"^[0-9a-fA-F]{16}$"), AfterValidator(_not_zero)
]  # fmt: skip
Time: TypeAlias = Annotated[AwareDatetime, BeforeValidator(_time)]
Number: TypeAlias = Annotated[float, Field(allow_inf_nan=False)]


class Item(BaseModel):
    """What is judged, and since when the sender knows."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    needs_target: ClassVar[bool] = True

    id: Name | None = Field(None, description="Stored once: a repeated id is a retry.")
    trace_id: TraceId | None = Field(None, description="Trace of the judged call.")
    span_id: SpanId | None = Field(None, description="The judged call; needs trace_id.")
    response_id: Name | None = Field(None, description="Id of the judged completion.")
    session_id: Name | None = Field(None, description="The judged session.")
    time: Time | None = Field(None, description="When it was judged; default: now.")

    @model_validator(mode="after")
    def _target(self) -> Item:
        if self.span_id is not None and self.trace_id is None:
            raise ValueError("span_id needs trace_id: a span id is unique only within its trace")
        named = (self.trace_id, self.response_id, self.session_id)
        if self.needs_target and not any(named):
            raise ValueError(
                "say what is judged: trace_id with span_id, trace_id, response_id or session_id"
            )
        return self


class FeedbackItem(Item):
    """What a person says."""

    comment: Text | None = Field(None, description="In the person's own words.")
    user: Name | None = Field(None, description="Who says so; kept in the column evaluator.")


class Thumbs(FeedbackItem):
    kind: Literal["thumbs"]
    value: Literal["up", "down"] = Field(description="up passes, down is a failure.")


class Rating(FeedbackItem):
    kind: Literal["rating"]
    value: Number = Field(ge=0, description="From 0 to scale; it passes by the threshold only.")
    scale: Number = Field(5.0, gt=0, description="The best rating; the score is value / scale.")

    @model_validator(mode="after")
    def _on_scale(self) -> Rating:
        if self.value > self.scale:
            raise ValueError(f"value is above its scale of {self.scale:g}")
        return self


class Escalation(FeedbackItem):
    kind: Literal["escalation"]
    value: bool = Field(True, description="Whether a human had to take over: a failure.")


class Correction(FeedbackItem):
    kind: Literal["correction"]
    value: Text = Field(description="What the answer should have been.")


class Label(FeedbackItem):
    kind: Literal["label"]
    value: AnyLabel = Field(
        description="Ground truth of the judged prediction; kept as JSON spells it, without quotes."
    )
    passed: bool | None = Field(None, description="Whether the prediction was right, if known.")


class EvaluationItem(Item):
    """What an evaluator found. Columns of the table `evaluations`."""

    name: Annotated[str, Field(min_length=1, max_length=128)]
    score: Number | None = None
    label: AnyLabel | None = None
    passed: bool | None = Field(
        None, description="Else the label decides (pass, fail), else the configured threshold."
    )
    explanation: Text | None = None
    evaluator: Name | None = None
    evaluator_version: Name | None = None
    error_type: Name | None = Field(None, description="The evaluator failed: neither pass nor fail")
    kind: Literal["automated", "human", "label"] = "automated"
    dataset: Name | None = None
    item_id: Name | None = None
    run_id: Name | None = Field(None, description="Offline run: never in production rates.")
    variant: Name | None = None
    needs_target: ClassVar[bool] = False

    @model_validator(mode="after")
    def _complete(self) -> EvaluationItem:
        if self.name in RESERVED:
            raise ValueError(f"the name {self.name} is kept for feedback: POST /api/v1/feedback")
        found = (self.score, self.label, self.passed, self.explanation, self.error_type)
        if all(each is None for each in found):
            raise ValueError("give a score, label, passed, explanation or error_type")
        if not any((self.trace_id, self.response_id, self.session_id, self.run_id, self.dataset)):
            raise ValueError(
                "say what is judged: trace_id with span_id, trace_id, response_id or session_id "
                "(or run_id or dataset for an offline run)"
            )
        return self


Feedback: TypeAlias = Annotated[
    Thumbs | Rating | Escalation | Correction | Label, Field(discriminator="kind")
]
FEEDBACK: TypeAdapter[Any] = TypeAdapter(Feedback)
EVALUATION: TypeAdapter[Any] = TypeAdapter(EvaluationItem)
