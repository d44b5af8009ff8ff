"""The loader on arbitrary input. PyYAML's own safe loader is the oracle for structure."""

from __future__ import annotations

from pathlib import Path

import yaml
from hypothesis import given
from hypothesis import strategies as st

from retraind.config.describe import format_duration, format_size
from retraind.config.document import expand, parse
from retraind.config.settings import parse_duration, parse_size

HERE = Path()
plain_text = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=40)
# YAML 1.1 (the oracle) and 1.2 (ours) disagree on some texts that begin like numbers; keys are
# not expanded, and values of `*_file` are made absolute.
values = plain_text.filter(lambda text: not text.lstrip("+-.")[:1].isdigit())
keys = values.filter(lambda text: "$" not in text and not text.endswith("_file"))
documents = st.recursive(
    values | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


@given(
    text=st.text(
        alphabet=st.sampled_from("ab:-[]{},'\"&*!|>#%@`$\n \t?~1.\\\x00\ufeff"), max_size=40
    )
)
def test_any_text_is_a_document_or_a_list_of_problems(text: str) -> None:
    document = parse(text, "f.yaml", HERE, {})
    lines = text.count("\n") + 1
    for problem in document.problems:
        assert 1 <= problem.mark.line <= lines + 1
        assert problem.mark.column >= 1
        assert "\n" not in problem.text


@given(document=documents)
def test_what_was_dumped_is_read_back_with_a_mark_for_every_value(document: object) -> None:
    escaped = yaml.safe_dump(document, allow_unicode=True).replace("$", "$$")
    read = parse(escaped, "f.yaml", HERE, {})
    assert read.problems == []
    assert read.value == yaml.safe_load(escaped.replace("$$", "$"))


@given(value=st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_a_variable_is_one_scalar_whatever_it_contains(value: str) -> None:
    read = parse("a: '${V}'\nb: [\"x${V}y\"]\nc: |\n  ${V}\n", "f.yaml", HERE, {"V": value})
    assert read.value == {"a": value, "b": [f"x{value}y"], "c": f"{value}\n"}


@given(value=st.text(max_size=40))
def test_doubled_dollars_are_the_text_itself(value: str) -> None:
    assert expand(value.replace("$", "$$"), {}) == value


@given(seconds=st.integers(1, 10**8))
def test_durations_read_back(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@given(size=st.integers(0, 2**50))
def test_sizes_read_back(size: int) -> None:
    assert parse_size(format_size(size)) == size
