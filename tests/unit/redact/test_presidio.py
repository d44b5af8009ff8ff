"""Presidio by the same interface: where it is installed, and what is said where it is not."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from retraind.config.settings import Content, Presidio
from retraind.errors import ConfigError
from retraind.redact import from_settings, redact_text

MODEL = "en_core_web_sm"


@pytest.mark.skipif(find_spec("presidio_analyzer") is not None, reason="Presidio is installed")
def test_without_the_extra_it_is_said_what_to_install() -> None:
    with pytest.raises(ConfigError, match=r"retraind\[presidio\]"):
        from_settings(Content(default="redact", presidio=Presidio()))


@pytest.mark.skipif(find_spec("presidio_analyzer") is None, reason="needs retraind[presidio]")
def test_without_the_model_nothing_is_downloaded() -> None:
    with pytest.raises(ConfigError, match="is not installed"):
        from_settings(Content(default="redact", presidio=Presidio(model="en_no_such_model")))


@pytest.mark.skipif(find_spec(MODEL) is None, reason=f"needs the spaCy model {MODEL}")
def test_names_are_redacted_in_json_too() -> None:
    policy = from_settings(Content(default="redact", presidio=Presidio(model=MODEL)))
    text = '{"said": "My name is \\u0041lice Liddell and I live in Oxford."}'
    expected = '{"said": "My name is [REDACTED:person] and I live in Oxford."}'
    assert redact_text(policy, text) == expected
