"""Which references may be chosen."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from retraind.config.settings import ReferenceSettings


@pytest.mark.parametrize("kinds", [[], ["seasonal"], ["pinned", "pinned"], ["pinned", "weekly"]])
def test_the_pinned_one_is_always_there_and_none_is_named_twice(kinds: list[str]) -> None:
    with pytest.raises(ValidationError):
        ReferenceSettings.model_validate({"kinds": kinds})


def test_trailing_has_to_be_asked_for() -> None:
    assert set(ReferenceSettings().kinds) == {"pinned", "seasonal", "deploy"}
