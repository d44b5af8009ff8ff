"""Redaction over generated texts: nothing is left, nothing else changes, JSON stays JSON."""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from retraind.redact.find import Finder
from retraind.redact.patterns import DETECTORS

FINDER = Finder([each for detectors in DETECTORS.values() for each in detectors])
SECRET, MARKER = "alice.liddell@wonderland.example", "[REDACTED:email]"

# Without the characters that could make a longer address, an escape or another secret of it.
plain = st.text(
    st.characters(codec="utf-8", exclude_characters="@:+%\\", exclude_categories=("Nd",))
)
surrounded = st.builds(lambda a, b: f"{a} {SECRET} {b}", plain, plain)
trees = st.recursive(
    st.one_of(surrounded, plain, st.booleans(), st.none(), st.floats(-1, 1)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(plain, inner, max_size=3),
        inner.map(json.dumps),
        inner.map(lambda value: json.dumps(value, ensure_ascii=False)),
    ),
    max_leaves=8,
)


def without(value: Any) -> Any:
    """The tree with the secret replaced in every text, also where a text is JSON itself."""
    if isinstance(value, str):
        return value.replace(SECRET, MARKER)
    if isinstance(value, dict):
        return {without(key): without(item) for key, item in value.items()}
    return [without(item) for item in value] if isinstance(value, list) else value


@given(trees)
def test_of_json_only_the_secret_is_replaced(tree: Any) -> None:
    for ascii_ in (True, False):
        replaced = FINDER.replace(json.dumps(tree, ensure_ascii=ascii_))
        assert json.loads(replaced) == without(tree)


@given(plain, plain, st.integers(0, 2))
def test_base64_of_a_text_with_a_secret_is_opened(before: str, after: str, shift: int) -> None:
    content = "." * shift + before + f" mail {SECRET} now " + after
    replaced = FINDER.replace(base64.b64encode(content.encode()).decode())
    assert base64.b64decode(replaced).decode() == content.replace(SECRET, MARKER)


@given(plain)
def test_other_text_is_untouched(text: str) -> None:
    assert FINDER.replace(text) is text


@given(st.binary())
def test_bytes_of_any_kind_can_hold_a_secret(noise: bytes) -> None:
    replaced = FINDER.replace_bytes(noise + b" " + SECRET.encode() + b" " + noise)
    assert SECRET.encode() not in replaced


@given(st.text())
def test_twice_is_as_once(text: str) -> None:
    once = FINDER.replace(text + f" {SECRET}")
    assert FINDER.replace(once) == once
