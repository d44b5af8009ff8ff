"""The settings as data: path, type, default and help of each, read off the models of settings.py.

Error messages (known keys, did-you-mean) and docs/configuration.md come from here.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from retraind.config.restart import is_fixed
from retraind.config.settings import Config, parse_duration, parse_size

ITEM = "[]"  # an element of a list, in a path
NAMED = "<name>"  # an entry of a mapping with free names, in a path


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: `path` is dotted, e.g. `monitors[].match.environment`, `kind` its type in words.

    `default` is as written in YAML, or None when the setting is required (`required`) or unset.
    `restart`: a reload does not take it up.
    """

    path: str
    kind: str
    default: str | None
    required: bool
    description: str
    section: type[BaseModel] | None = None
    restart: bool = False


def settings() -> tuple[Setting, ...]:
    """Every setting in the order of the models, each section before what is in it."""
    return tuple(_walk(Config, ""))


def known_keys(path: tuple[str | int, ...]) -> dict[str, Setting]:
    """The settings that a mapping at `path` may contain, by key; empty where names are free."""
    prefix = generic(path)
    found = {}
    for setting in settings():
        parent, _, key = setting.path.rpartition(".")
        if parent == prefix:
            found[key.removesuffix(ITEM)] = setting
    return found


def generic(path: tuple[str | int, ...]) -> str:
    """The path in `settings()` of a concrete one, e.g. `monitors[].evals.<name>.threshold`."""
    text = ""
    free_names = {
        each.path.removesuffix("." + NAMED) for each in settings() if each.path.endswith(NAMED)
    }
    for part in path:
        if isinstance(part, int):
            text += ITEM
        elif text in free_names:
            text += "." + NAMED
        else:
            text += f".{part}" if text else part
    return text


def format_duration(seconds: float) -> str:
    """The shortest Prometheus duration that says the same: 604800 -> 7d, 0.5 -> 500ms."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if seconds >= size and seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    return f"{round(seconds * 1000)}ms"


def format_size(size: int) -> str:
    """The shortest size that says the same: 1048576 -> 1MiB."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= factor and size % factor == 0:
            return f"{size // factor}{unit}"
    return f"{size}B"


def in_units(value: float, kind: str) -> str:
    """A bound as one would write it for a setting of this kind: 64MiB, 0s, 1."""
    if kind == "size":
        return format_size(int(value))
    if kind == "duration":
        return format_duration(value) if value else "0s"
    return f"{value:g}"


def _walk(model: type[BaseModel], prefix: str, *, fixed: bool = False) -> Iterator[Setting]:
    for name, info in model.model_fields.items():
        path = f"{prefix}.{info.alias or name}" if prefix else info.alias or name
        section, suffix = _section(info.annotation)
        yield Setting(
            path=path,
            kind=_kind(info.annotation, info.metadata),
            default=_default_text(info, section),
            required=info.is_required(),
            description=info.description or "",
            section=section,
            restart=fixed or is_fixed(info),
        )
        if suffix == "." + NAMED:
            yield Setting(path + suffix, "section", None, False, "One entry a name.", section)
        if section is not None:
            yield from _walk(section, path + suffix, fixed=fixed or is_fixed(info))


def _section(annotation: Any) -> tuple[type[BaseModel] | None, str]:
    """The model inside an annotation, and what a path gains on the way to it."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, ""
    suffix = {tuple: ITEM, dict: "." + NAMED}.get(get_origin(annotation), "")
    for argument in get_args(annotation):
        found, inner = _section(argument)
        if found is not None:
            return found, suffix + inner
    return None, ""


def _kind(annotation: Any, metadata: list[Any] | tuple[Any, ...] = ()) -> str:  # noqa: PLR0911 - a case each
    functions = [item.func for item in metadata if isinstance(item, BeforeValidator)]
    if parse_duration in functions:
        return "duration"
    if parse_size in functions:
        return "size"
    origin = get_origin(annotation)
    if origin is Annotated:
        base, *extra = get_args(annotation)
        return _kind(base, extra)
    if origin is Literal:
        return " | ".join(get_args(annotation))
    if origin in (Union, types.UnionType):
        members = [item for item in get_args(annotation) if item is not type(None)]
        return " or ".join(_kind(item) for item in members)
    if origin is tuple:
        return f"list of {_kind(get_args(annotation)[0])}"
    if origin is dict:
        value = _kind(get_args(annotation)[1])
        return "sections by name" if value == "section" else f"{value} by name"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    return {str: "text", int: "whole number", float: "number", bool: "true | false", Path: "path"}[
        annotation
    ]


def _default_text(info: FieldInfo, section: type[BaseModel] | None) -> str | None:
    if info.is_required():
        return None
    value = info.get_default(call_default_factory=True)
    kind = _kind(info.annotation, info.metadata)
    if value is None or section is not None:
        return None
    if kind == "duration":
        return format_duration(value)
    if kind == "size":
        return format_size(value)
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
