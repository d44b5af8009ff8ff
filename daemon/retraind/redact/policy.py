"""The content policy of a configuration: what happens to which text before anything is stored."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from retraind.config import settings
from retraind.decode.columnar import DecodedItems
from retraind.errors import ConfigError
from retraind.model import WriteBatch
from retraind.normalise import schema
from retraind.normalise.conventions import COLUMNS
from retraind.redact import decoded
from retraind.redact.decoded import Changes, KeyChange
from retraind.redact.edits import Action, Edit
from retraind.redact.find import Finder
from retraind.redact.patterns import DETECTORS, Detector, own_pattern
from retraind.redact.places import GROUPS, TOGETHER, places_of
from retraind.redact.rows import RowPolicy
from retraind.redact.values import TextChange

Items = TypeVar("Items", bound=DecodedItems)

_ATTRIBUTE = re.compile(r'(attributes|resource)\["(.+)"\]')
_STRICTNESS: tuple[Action, ...] = ("keep", "truncate", "redact", "hash", "drop")
_FIXED = frozenset((
    "trace_id", "span_id", "parent_span_id", "kind", "start_time", "duration_ns", "status",
    "operation", "convention", "fingerprint", "content_incomplete", "flags", "norm_source",
    "dropped_attributes_count",
))  # fmt: skip
FIELDS = (*(name for name in schema.SPANS.names if name not in _FIXED), "explanation")
"""Columns that a policy can name, besides groups, attributes and resource attributes."""
KEY_BYTES = 16


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy that changes something. `row_policy` is None when no column has one of its own."""

    changes: Changes | None
    row_policy: RowPolicy | None
    default: Edit
    columns: dict[str, Edit]

    def decoded(self, items: Items) -> Items:
        """Spans or log records as they may be stored, before they are normalised."""
        return items if self.changes is None else decoded.apply(items, self.changes)

    def apply(self, batch: WriteBatch) -> None:
        """Leave of the normalised rows what may be stored."""
        if self.row_policy is None:
            return
        for name in ("spans", "evaluations", "logs", "span_details"):
            rows = getattr(batch, name)
            if rows is not None and rows.num_rows:
                setattr(batch, name, self.row_policy.apply(rows))

    def rejected(self, table: pa.Table) -> pa.Table:
        """(reason, detail, item) of what was rejected. Its content belongs to no column."""
        if self.row_policy is None:
            return table
        items = [self.row_policy.item(item) for item in table.column("item").to_pylist()]
        place = table.column_names.index("item")
        return table.set_column(place, table.schema.field("item"), pa.array(items, pa.string()))

    def text(self, field: str, text: str) -> str:
        """One text that did not come by OTLP, such as a comment: by its field's policy."""
        return self.columns.get(field, self.default).text(text)


def redact_text(policy: Policy | None, text: str, field: str = "") -> str:
    """A text as it may be stored: `field` names its column, if it has one."""
    return text if policy is None else policy.text(field, text)


def from_settings(content: settings.Content) -> Policy | None:
    """The policy, or None when everything is kept. Raises ConfigError with what to write."""
    actions = _actions(content.fields)
    if content.default == "keep" and all(action == "keep" for action in actions.values()):
        return None
    key = read_key(content.key_file) if content.key_file else b""
    if not key and "hash" in actions.values():
        raise ConfigError("`hash` needs a key; add `key_file: …` to content")
    finder = Finder(_detectors(content))
    edits = {name: Edit(name, finder, key, content.truncate_bytes) for name in _STRICTNESS}
    attributes: dict[str, KeyChange] = {}
    resource: dict[str, KeyChange] = {}
    columns: dict[str, Edit] = {}
    for field, action in actions.items():
        match = _ATTRIBUTE.fullmatch(field)
        if match is not None:
            where = attributes if match[1] == "attributes" else resource
            where[match[2]] = _key_change(edits[action])
        elif action != "keep":
            columns[field] = edits[action]
    if content.default == "redact":
        _exempt(actions, attributes, resource)
    everywhere = None
    if content.default == "redact":
        everywhere = TextChange(finder.hint, finder.replace_bytes, numbers=True, keys=True)
    changes = Changes(everywhere, attributes, resource)
    return Policy(
        changes if everywhere is not None or attributes or resource else None,
        RowPolicy(columns) if columns else None,
        edits[content.default],
        {field: edits[action] for field, action in actions.items()},
    )


def problems(content: settings.Content) -> Iterable[tuple[str, str]]:
    """(setting below `content`, what is wrong with it)."""
    for field, action in content.fields.items():
        if field not in FIELDS and field not in GROUPS and not _ATTRIBUTE.fullmatch(field):
            yield (
                "fields",
                (
                    f"{field!r} is no field; write a text column of spans, explanation, one of "
                    f'{", ".join(GROUPS)}, attributes["key"] or resource["key"]'
                ),
            )
        elif action not in ("keep", "drop") and field not in GROUPS and not _is_text(field):
            yield "fields", f"{field!r} is no text: it can only be kept or dropped"
    for name, expression in content.extra_patterns.items():
        try:
            own_pattern(name, expression)
        except ValueError as error:
            yield "extra_patterns", f"{name}: {error}"
    try:
        from_settings(content)
    except (ConfigError, ValueError) as error:
        yield "fields", str(error)


def read_key(path: Path) -> bytes:
    """The key for hashes. Raises ConfigError when it cannot be read or is too short."""
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; give a readable file") from error
    if len(key) < KEY_BYTES:
        raise ConfigError(
            f"{path}: the key has {len(key)} bytes; write at least {KEY_BYTES} random ones, "
            "e.g. `openssl rand -hex 32`"
        )
    return key


def _is_text(field: str) -> bool:
    if field not in schema.SPANS.names:
        return True
    kind: Any = schema.SPANS.field(field).type
    return bool(pa.types.is_string(kind.value_type if pa.types.is_list(kind) else kind))


def _actions(fields: dict[str, Action]) -> dict[str, Action]:
    """Actions by column or attribute: a column's own before its group's, twins the stricter one."""
    actions: dict[str, Action] = {}
    for group, members in GROUPS.items():
        if group in fields:
            actions |= {
                name: fields[group]
                for name in members
                if _is_text(name) or fields[group] in ("keep", "drop")
            }
    actions |= {field: action for field, action in fields.items() if field not in GROUPS}
    for column, twin in TOGETHER.items():
        if column in actions:
            both = [actions[column], actions.get(twin, actions[column])]
            actions[column] = actions[twin] = max(both, key=_STRICTNESS.index)
    return actions


def _detectors(content: settings.Content) -> list[Detector]:
    found = [each for name in content.patterns for each in DETECTORS[name]]
    found += [own_pattern(name, text) for name, text in content.extra_patterns.items()]
    if content.presidio is not None:
        from retraind.redact.presidio import PresidioDetector  # noqa: PLC0415 - an extra

        found.append(PresidioDetector(content.presidio))
    return found


def _key_change(edit: Edit) -> KeyChange:
    if edit.action in ("keep", "drop"):
        return edit.action
    hint = edit.finder.hint if edit.action == "redact" else None
    return TextChange(hint, edit.raw, numbers=edit.action in ("redact", "hash"))


def _exempt(
    actions: dict[str, Action], attributes: dict[str, KeyChange], resource: dict[str, KeyChange]
) -> None:
    """What is kept stays, and what is hashed is hashed as it came: equal texts stay equal."""
    mapped = {column.name for column in COLUMNS}
    for field, action in actions.items():
        if action in ("keep", "hash") and field in mapped:
            places = places_of(field)
            for key in places.keys:
                attributes.setdefault(key, "keep")
            for key in places.resource:
                resource.setdefault(key, "keep")
