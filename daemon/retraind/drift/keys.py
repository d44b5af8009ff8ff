"""Attribute keys of one kind of span: how many sessions have each, and with which type.

One kind of span is a service, a span name and an instrumentation scope. Leave out the scope's
version: an upgrade that renames keys would else look like one thing ending and another beginning.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

MOST_KEYS = 2000

_ID = re.compile(
    r"""(?<![0-9A-Za-z])(?:
        [0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}   # UUID
      | (?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{8,}  # hexadecimal
      | (?=[0-9a-z]*[0-9][0-9a-z]*[0-9])(?=[0-9a-z]*[a-z])[0-9a-z]{16,}  # ULID, KSUID, base 36
      | [0-9]{4,}                                     # a number too long to be part of a name
    )(?![0-9A-Za-z])""",
    re.VERBOSE | re.IGNORECASE,
)
_INDEX = re.compile(r"(?:(?<=[./:\[])|^)[0-9]+(?=[./:\]]|$)")


@dataclass(frozen=True, slots=True)
class KeyCounts:
    """Additive counts: `types` maps key -> type -> sessions, out of `sessions` in all.

    A session counts once for a key. `dropped` is how many keys the cap has left out so far, 0 if
    all are there.
    """

    sessions: int = 0
    types: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    dropped: int = 0

    def presence(self, key: str) -> int:
        """Sessions with the key; no more than there are, should one count twice."""
        return min(self.sessions, sum(self.types.get(key, {}).values()))


def key_pattern(key: str) -> str:
    """The key with ids as `{id}` and list positions as `{n}`, as it is to be counted.

    `llm.input_messages.0.message.role` -> `llm.input_messages.{n}.message.role`. It looks at the
    key alone, so that all panes and both sides of a comparison agree.
    """
    return _INDEX.sub("{n}", _ID.sub("{id}", key))


def collapse(counts: KeyCounts) -> KeyCounts:
    """Keys with the same pattern as one. A session with several of them counts several times."""
    types: dict[str, Counter[str]] = {}
    for key, by_type in counts.types.items():
        types.setdefault(key_pattern(key), Counter()).update(by_type)
    return KeyCounts(counts.sessions, _plain(types), counts.dropped)


def combine(parts: Iterable[KeyCounts]) -> KeyCounts:
    """The sum, in whatever order the parts come."""
    types: dict[str, Counter[str]] = {}
    sessions = dropped = 0
    for part in parts:
        sessions, dropped = sessions + part.sessions, dropped + part.dropped
        for key, by_type in part.types.items():
            types.setdefault(key, Counter()).update(by_type)
    return KeyCounts(sessions, _plain(types), dropped)


def cap(counts: KeyCounts, limit: int = MOST_KEYS) -> KeyCounts:
    """The `limit` most frequent keys, ties by name; `dropped` grows by the others."""
    ranked = sorted(counts.types, key=lambda key: (-counts.presence(key), key))
    kept = {key: counts.types[key] for key in sorted(ranked[:limit])}
    return KeyCounts(counts.sessions, kept, counts.dropped + len(ranked) - len(kept))


def _plain(types: Mapping[str, Counter[str]]) -> dict[str, dict[str, int]]:
    """Sorted, so that equal counts are written as equal bytes."""
    return {key: dict(sorted(types[key].items())) for key in sorted(types)}
