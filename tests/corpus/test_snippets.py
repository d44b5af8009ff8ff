"""The page on tracers shows the scripts that were recorded, as they are."""

from __future__ import annotations

from corpus import snippets


def test_the_page_is_up_to_date() -> None:
    """Else run `python -m tests.corpus.snippets`."""
    assert snippets.PAGE.read_text() == snippets.page()


def test_every_recorded_library_is_shown() -> None:
    recorded = {folder.name.rpartition("@")[0] for folder in snippets.CORPUS.glob("*@*")}
    assert recorded == {name for names in snippets.LIBRARIES.values() for name in names}


def test_snippets_hold_code_and_say_what_they_are() -> None:
    for folder in snippets.CORPUS.glob("*@*"):
        prose, code, _ = snippets.head(folder)
        assert prose, folder.name
        assert "scenario" not in code, folder.name
