"""YAML to plain values, with the position of every key and value.

Values follow the YAML 1.2 core schema: only true/false, null and numbers are not text, so that
`on` and `12:30` stay what was written. `${VAR}`, `${VAR:-default}` and `$$` are expanded in scalars
after parsing: what a variable contains can become text or a number, never structure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

Loc = tuple[str | int, ...]

_VARIABLE = re.compile(r"\$\$|\$\{([^}]*)\}|\$\{")
_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
_INT = re.compile(r"[-+]?\d+")
_FLOAT = re.compile(r"[-+]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][-+]?\d+)?")
_TAGS = {"null", "bool", "int", "float", "str", "timestamp", "map", "seq", "merge", "value"}
_WORDS = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mark:
    """Where something was written: a file's line and column (from 1), or a command-line option."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True, slots=True)
class Problem:
    """One error: where, which setting, what is wrong and what to write instead."""

    mark: Mark
    loc: Loc
    text: str

    def __str__(self) -> str:
        path = dotted(self.loc)
        return f"{self.mark}: {path}: {self.text}" if path else f"{self.mark}: {self.text}"


@dataclass(slots=True)
class Document:
    """Plain values with the marks of keys and values by path, and what was wrong on the way."""

    value: Any = None
    keys: dict[Loc, Mark] = field(default_factory=dict)
    values: dict[Loc, Mark] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def dotted(loc: Loc) -> str:
    """`('monitors', 0, 'name')` as `monitors[0].name`."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def expand(text: str, environ: Mapping[str, str]) -> str:
    """`text` with its variables replaced. Raises ValueError with what to write instead."""

    def replace(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        if match[1] is None:
            raise ValueError("'${' without '}'; close it, or write $${ for the text itself")
        name = _NAME.fullmatch(match[1])
        if name is None:
            raise ValueError(f"{match[0]!r} is no variable; write ${{NAME}} or ${{NAME:-default}}")
        value = environ.get(name[1])
        if not value and name[2] is not None:
            return name[2]
        if value is None:
            raise ValueError(
                f"the variable {name[1]} is not set; set it, or write ${{{name[1]}:-default}}"
            )
        return value

    return _VARIABLE.sub(replace, text)


def plain_value(text: str) -> Any:
    """The value of an unquoted scalar."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def parse(text: str, source: str, folder: Path, environ: Mapping[str, str]) -> Document:
    """The document in `text`. Relative `*_file` values are taken from `folder`."""
    document = Document()
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark or error.context_mark
        mark = Mark(source, at.line + 1, at.column + 1) if at else Mark(source, 1, 1)
        document.problems.append(
            Problem(mark, (), f"not valid YAML: {error.problem or error.context}")
        )
        return document
    except yaml.reader.ReaderError as error:
        at_line = text.count("\n", 0, error.position) + 1
        document.problems.append(
            Problem(Mark(source, at_line, 1), (), f"not valid YAML: {error.reason}")
        )
        return document
    if node is not None:
        document.value = _Reader(document, source, folder, environ).read(node, ())
    return document


class _Reader:
    """Turns nodes into values, noting marks and problems in the document."""

    def __init__(
        self, document: Document, source: str, folder: Path, environ: Mapping[str, str]
    ) -> None:
        self._document = document
        self._source = source
        self._folder = folder
        self._environ = environ
        self._open: set[int] = set()

    def read(self, node: yaml.Node, loc: Loc) -> Any:
        mark = self._mark(node)
        self._document.values[loc] = mark
        if node.tag.removeprefix("tag:yaml.org,2002:") not in _TAGS:
            self._problem(mark, loc, f"the tag {node.tag} is not known; remove it")
            return None
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, loc, mark)
        if id(node) in self._open:
            self._problem(mark, loc, "refers to itself; write the value out")
            return None
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, loc)
            return [self.read(item, (*loc, i)) for i, item in enumerate(node.value)]
        finally:
            self._open.discard(id(node))

    def _scalar(self, node: yaml.ScalarNode, loc: Loc, mark: Mark) -> Any:
        try:
            text = expand(node.value, self._environ)
        except ValueError as error:
            self._problem(mark, loc, str(error))
            return None
        value = plain_value(text) if node.style is None else text
        if value and isinstance(value, str) and loc and str(loc[-1]).endswith("_file"):
            return str(self._folder / value)
        return value

    def _mapping(self, node: yaml.MappingNode, loc: Loc) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            mark = self._mark(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                self._problem(mark, loc, "a key must be plain text")
                continue
            key = key_node.value
            child = (*loc, key)
            if key in result:
                first = self._document.keys[child]
                self._problem(
                    mark, child, f"is written twice, first in line {first.line}; keep one"
                )
                continue
            self._document.keys[child] = mark
            result[key] = self.read(value_node, child)
        return result

    def _mark(self, node: yaml.Node) -> Mark:
        return Mark(self._source, node.start_mark.line + 1, node.start_mark.column + 1)

    def _problem(self, mark: Mark, loc: Loc, text: str) -> None:
        self._document.problems.append(Problem(mark, loc, text))
