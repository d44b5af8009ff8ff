"""The validator of feedback and evaluations takes any JSON, and judges each item by itself."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from retraind.model import JudgementApi
from retraind.normalise.judgements import read_items, to_table
from retraind.normalise.schema import EVALUATIONS

RECEIVED_NS = 1_790_000_000_000_000_000
LIMIT = 50
SECRET = "sk-planted-5f2c"

names = st.text(min_size=1, max_size=40)
hex_digits = "0123456789abcdefABCDEF"
trace_ids = st.text(hex_digits, min_size=32, max_size=32).filter(lambda text: text.strip("0"))
span_ids = st.text(hex_digits, min_size=16, max_size=16).filter(lambda text: text.strip("0"))
times = st.datetimes(
    datetime(1970, 1, 3), datetime(2261, 12, 30), timezones=st.just(UTC)  # noqa: DTZ001
)  # fmt: skip
numbers = st.floats(allow_nan=False, allow_infinity=False)
apis = st.sampled_from(("feedback", "evaluations"))

targets = st.one_of(
    st.fixed_dictionaries({"trace_id": trace_ids}, optional={"span_id": span_ids}),
    st.fixed_dictionaries({"response_id": names}),
    st.fixed_dictionaries({"session_id": names}),
)
said = st.fixed_dictionaries(
    {},
    optional={"id": names, "user": names, "comment": names, "time": times.map(datetime.isoformat)},
)
ratings = st.tuples(
    st.floats(0, 1), st.floats(1e-3, 1e6)
).map(lambda pair: {"kind": "rating", "value": pair[0] * pair[1], "scale": pair[1]})  # fmt: skip
kinds = st.one_of(
    st.sampled_from(("up", "down")).map(lambda value: {"kind": "thumbs", "value": value}),
    ratings,
    st.booleans().map(lambda value: {"kind": "escalation", "value": value}),
    names.map(lambda value: {"kind": "correction", "value": value}),
    (names | st.booleans() | st.integers() | numbers).map(
        lambda value: {"kind": "label", "value": value}
    ),
)
feedback = st.tuples(targets, said, kinds).map(lambda parts: parts[0] | parts[1] | parts[2])

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | st.text(max_size=80),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)
fields = ("kind", "value", "scale", "name", "score", "label", "trace_id", "session_id", "time")
near_misses = st.dictionaries(st.sampled_from(fields), anything | kinds | names)


def check(api: JudgementApi, values: list[Any]) -> tuple[list[int], list[int]]:
    """Indices of items accepted and rejected."""
    judged, errors = read_items(api, values, text_characters=LIMIT)
    table = to_table([item.row for item in judged], received_at_ns=RECEIVED_NS)
    assert table.schema == EVALUATIONS
    assert table.num_rows == len(judged)
    for column in ("time", "name", "kind", "source"):
        assert table.column(column).null_count == 0
    return [item.index for item in judged], [error.index for error in errors]


@given(apis, st.lists(anything | near_misses | feedback, max_size=8))
def test_each_item_is_accepted_or_rejected_as_if_it_were_alone(
    api: JudgementApi, values: list[Any]
) -> None:
    accepted, rejected = check(api, values)
    assert sorted(accepted + rejected) == list(range(len(values)))
    assert accepted == [i for i, value in enumerate(values) if check(api, [value])[0]]


@given(st.lists(feedback, max_size=5))
def test_what_is_well_formed_is_stored_as_it_was_said(items: list[dict[str, Any]]) -> None:
    judged, errors = read_items("feedback", items, text_characters=LIMIT)
    assert errors == []
    rows = to_table([item.row for item in judged], received_at_ns=RECEIVED_NS)
    times = rows.column("time").cast(pa.int64()).to_pylist()
    for item, row, time_ns in zip(items, rows.drop_columns("time").to_pylist(), times, strict=True):
        assert row["name"] == item["kind"]
        assert row["explanation"] == item.get("comment")
        assert row["evaluator"] == item.get("user")
        assert row["session_id"] == item.get("session_id")
        assert row["response_id"] == item.get("response_id")
        for name in ("trace_id", "span_id"):
            assert row[name] == (item[name].lower() if name in item else None)
        if item["kind"] == "thumbs":
            assert row["passed"] is (item["value"] == "up")
        if item["kind"] == "rating":
            assert math.isclose(row["score"] * item["scale"], item["value"], abs_tol=1e-9)
            assert row["passed"] is None
        if item["kind"] == "escalation":
            assert row["passed"] is not item["value"]
        if item["kind"] == "label" and isinstance(item["value"], str):
            assert row["label"] == item["value"]
        elif item["kind"] == "label":
            said = json.loads(row["label"])
            assert (said, type(said)) == (item["value"], type(item["value"]))
        if "time" in item:
            moment = datetime.fromisoformat(item["time"])
            days = (moment - datetime(1970, 1, 1, tzinfo=UTC)).days
            assert time_ns // (86_400 * 10**9) == days
            assert time_ns // 1000 % 1_000_000 == moment.microsecond
        else:
            assert time_ns == RECEIVED_NS


@given(feedback, st.sampled_from((*fields, "colour", SECRET)), anything)
def test_errors_never_quote_a_value(item: dict[str, Any], field: str, value: Any) -> None:
    """They may end in the log of the sender: names of fields, never what was in them."""
    planted = item | {field: [SECRET, value], "comment": SECRET + "x" * LIMIT}
    _, errors = read_items("feedback", [planted], text_characters=LIMIT)
    assert len(errors) == 1
    if field != SECRET:
        assert SECRET not in errors[0].error


@given(st.lists(feedback, max_size=3))
def test_every_text_of_a_sender_goes_through_the_policy(items: list[dict[str, Any]]) -> None:
    """With a policy that drops everything only ids of tracing and our own words are left."""
    judged, _ = read_items("feedback", items, text_characters=LIMIT, policy=lambda *_: "")
    for item, stored in zip(items, judged, strict=True):
        ours = {"name", "kind", "source", "trace_id", "span_id"}
        ours |= {"label"} if item["kind"] in ("thumbs", "rating", "escalation") else set()
        assert {k for k, v in stored.row.items() if isinstance(v, str)} <= ours
        assert stored.row["name"] == item["kind"]


def test_the_policy_knows_the_field() -> None:
    """A user who gives feedback is a user, as on spans, and a correction is an answer."""
    seen: list[tuple[str, str]] = []

    def policy(field: str, text: str) -> str:
        seen.append((field, text))
        return text

    thumbs = {"kind": "thumbs", "value": "up", "session_id": "s", "user": "ann", "comment": "c"}
    fixed = {"kind": "correction", "value": "v", "response_id": "r", "id": "i"}
    read_items("feedback", [thumbs, fixed], text_characters=LIMIT, policy=policy)
    assert set(seen) == {
        ("session_id", "s"), ("user_id", "ann"), ("explanation", "c"), ("output_text", "v"),
        ("response_id", "r"), ("idempotency_key", "i"),
    }  # fmt: skip
    seen.clear()
    judged = {"name": "tone", "label": "l", "evaluator": "judge", "session_id": "s"}
    read_items("evaluations", [judged], text_characters=LIMIT, policy=policy)
    assert set(seen) == {
        ("name", "tone"), ("label", "l"), ("evaluator", "judge"), ("session_id", "s"),
    }  # fmt: skip
