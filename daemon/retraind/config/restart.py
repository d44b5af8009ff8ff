"""Which settings a reload cannot take up: those that settings.py marks with RESTART."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from pydantic.fields import FieldInfo

from retraind.config.settings import Config, Section

S = TypeVar("S", bound=Section)


def is_fixed(field: FieldInfo) -> bool:
    """Whether a setting, or every setting of a section, is read at start only."""
    extra = field.json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("restart"))


def restart_needed(started: Config, read: Config) -> tuple[str, ...]:
    """Paths of settings that differ from those at start and take effect after a restart only."""
    return tuple(_changes(started, read, "", fixed=False))


def taken_up(started: Config, read: Config) -> Config:
    """What `read` amounts to without a restart: its settings, and those at start where fixed."""
    return _merged(started, read)


def _merged(before: S, after: S) -> S:
    kept: dict[str, object] = {}
    for name, field in type(before).model_fields.items():
        old, new = getattr(before, name), getattr(after, name)
        if is_fixed(field):
            kept[name] = old
        elif isinstance(old, Section) and isinstance(new, Section):
            kept[name] = _merged(old, new)
    return after.model_copy(update=kept)


def _changes(before: Section, after: Section, prefix: str, *, fixed: bool) -> Iterator[str]:
    for name, field in type(before).model_fields.items():
        path = prefix + name
        old, new = getattr(before, name), getattr(after, name)
        its = fixed or is_fixed(field)
        if isinstance(old, Section) and isinstance(new, Section):
            yield from _changes(old, new, path + ".", fixed=its)
        elif its and old != new:
            yield path
