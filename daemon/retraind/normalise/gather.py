"""Attributes that spread one list or object over many keys, gathered into JSON texts.

`llm.input_messages.0.message.role`, `llm.input_messages.0.message.content`, … become
`[{"message":{"role":…,"content":…}}]`. The text between two neighbouring values depends only on
their two keys, so it is built once for each pair of keys that occurs, not for each value.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from retraind.decode.columnar import Indices
from retraind.normalise import text
from retraind.normalise.attributes import STRING, Attributes, Mask

# Deeper keys are not split further, so that no text nests deeper than a JSON parser goes.
MAX_DEPTH = 12

Step = int | str
Steps = tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Gathered:
    """One JSON text for each owner that has such keys.

    `holes` marks those in which the list, or one inside of it, lacks an index.
    """

    owners: Indices
    texts: pa.StringArray
    holes: Mask


def gather(attributes: Attributes, prefix: str, *, indexed: bool) -> Gathered | None:
    """The attributes below `prefix`: one list when `indexed`, else one object; None without any.

    Keys that do not go on with a number are no part of a list.
    """
    steps = _members(attributes, prefix, indexed)
    if not steps:
        return None
    if indexed and _disagree(set(steps.values())):
        return _one_by_one(attributes, steps)
    order = sorted(steps, key=lambda code: [(isinstance(s, str), s) for s in steps[code]])
    rank = np.full(len(attributes.keys), -1, dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    places = _places(attributes, order)
    ranks = rank[attributes.code[places]]
    places = places[np.lexsort((ranks, attributes.owner[places]))]
    owner, ranks = attributes.owner[places], rank[attributes.code[places]]
    first = np.append(True, np.diff(owner) != 0)
    starts = np.flatnonzero(first).astype(np.int32)
    offsets = np.append(starts, len(places)).astype(np.int32)
    writer = _Writer([steps[code] for code in order], indexed=indexed)
    texts, holes = _texts(attributes, places, ranks, offsets, writer)
    return Gathered(owner[starts], texts, holes)


def _members(attributes: Attributes, prefix: str, indexed: bool) -> dict[int, Steps]:
    """The codes of the keys below the prefix, with the steps that lead from it to the value."""
    start = prefix + "."
    found: dict[int, Steps] = {}
    for key, code in attributes.below(start):
        if not indexed:
            found[code] = (key[len(start) :],)
            continue
        names = key[len(start) :].split(".", MAX_DEPTH)
        if _is_index(names[0]):
            found[code] = tuple(int(name) if _is_index(name) else name for name in names)
    return found


def _places(attributes: Attributes, codes: Iterable[int]) -> Indices:
    """The attributes with these keys, without those that a later one of the same key replaces."""
    places = np.concatenate([attributes.places(code) for code in codes])
    return places if attributes.kept is None else places[attributes.kept[places]]


def _is_index(name: str) -> bool:
    return name == "0" or (name.isascii() and name.isdigit() and name[0] != "0" and len(name) < 7)


def _disagree(leaves: set[Steps]) -> bool:
    """Whether one place holds both a value and more, or both indices and names."""
    inner = {steps[:depth] for steps in leaves for depth in range(1, len(steps))}
    kinds = {(steps[:d], isinstance(steps[d], int)) for steps in leaves for d in range(len(steps))}
    return bool(inner & leaves) or len({node for node, _ in kinds}) < len(kinds)


def _one_by_one(attributes: Attributes, steps: dict[int, Steps]) -> Gathered | None:
    """The same owner by owner, where keys of different owners would shape each other's list.

    Longer keys win over a value at their start; a place with indices and names is an object.
    """
    places = np.sort(_places(attributes, steps))
    strings = attributes.kind[places] == STRING
    values = attributes.json_values(places).to_pylist()
    trees: dict[int, dict[Step, Any]] = {}
    for place, quoted, value in zip(places.tolist(), strings.tolist(), values, strict=True):
        path = steps[int(attributes.code[place])]
        node = trees.setdefault(int(attributes.owner[place]), {})
        for step in path[:-1]:
            inner = node.get(step)
            if not isinstance(inner, dict):
                inner = node[step] = {}
            node = inner
        if not isinstance(node.get(path[-1]), dict):
            node[path[-1]] = f'"{value}"' if quoted else value
    owners = sorted(trees)
    texts = pa.array([_tree_json(trees[owner]) for owner in owners], pa.string())
    holes = np.array([_has_hole(trees[owner]) for owner in owners])
    return Gathered(np.array(owners, dtype=np.int32), texts, holes)


def _tree_json(node: Any) -> str:
    if not isinstance(node, dict):
        return str(node)
    if all(isinstance(step, int) for step in node):
        return "[" + ",".join(_tree_json(node[step]) for step in sorted(node)) + "]"
    members = (f"{text.json_string(str(step))}:{_tree_json(value)}" for step, value in node.items())
    return "{" + ",".join(members) + "}"


def _has_hole(node: Any) -> bool:
    """Whether a list in the tree lacks an index."""
    if not isinstance(node, dict):
        return False
    indexed = all(isinstance(step, int) for step in node)
    if indexed and max(node) >= len(node):
        return True
    return any(_has_hole(inner) for inner in node.values())


class _Writer:
    """The JSON between values. Steps at one place are indices of a list when all are numbers."""

    def __init__(self, leaves: list[Steps], *, indexed: bool) -> None:
        self.leaves = leaves
        below: dict[Steps, list[Step]] = {}
        for steps in leaves:
            for depth in range(len(steps)):
                below.setdefault(steps[:depth], []).append(steps[depth])
        self.lists = {
            node for node, names in below.items() if all(isinstance(name, int) for name in names)
        }
        if not indexed:
            self.lists = set()

    def opening(self, steps: Steps, depth: int) -> str:
        """From the inside of the container at `depth` to the value."""
        parts = [self._name(steps, depth)]
        for level in range(depth + 1, len(steps)):
            parts.append("[" if steps[:level] in self.lists else "{")
            parts.append(self._name(steps, level))
        return "".join(parts)

    def closing(self, steps: Steps, depth: int) -> str:
        """From the value to the inside of the container at `depth`."""
        levels = range(len(steps) - 1, depth, -1)
        return "".join("]" if steps[:level] in self.lists else "}" for level in levels)

    def between(self, one: Steps, other: Steps) -> str:
        """From one value to the next of the same owner."""
        shared = next(i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
        return self.closing(one, shared) + "," + self.opening(other, shared)

    def first(self, steps: Steps) -> str:
        """Before the first value of an owner."""
        return ("[" if () in self.lists else "{") + self.opening(steps, 0)

    def last(self, steps: Steps) -> str:
        """After the last value of an owner."""
        return self.closing(steps, 0) + ("]" if () in self.lists else "}")

    def skips(self, one: Steps | None, other: Steps) -> bool:
        """Whether an index is missing between one value (None: the start) and the next."""
        shared = -1
        if one is not None:
            shared = next(i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
            if other[:shared] in self.lists and other[shared] != int(one[shared]) + 1:
                return True
        entered = range(shared + 1, len(other))
        return any(other[depth] != 0 for depth in entered if other[:depth] in self.lists)

    def _name(self, steps: Steps, depth: int) -> str:
        return "" if steps[:depth] in self.lists else f"{text.json_string(str(steps[depth]))}:"


def _texts(
    attributes: Attributes, places: Indices, ranks: Indices, offsets: Indices, writer: _Writer
) -> tuple[pa.StringArray, Mask]:
    """The text of each owner, and whether its lists have holes."""
    leaves = writer.leaves
    width = len(leaves) + 1
    before = np.append(0, ranks[:-1] + 1)
    before[offsets[:-1]] = 0
    after = np.full(len(ranks), 0, dtype=np.int32)
    after[offsets[1:] - 1] = ranks[offsets[1:] - 1] + 1
    is_string = attributes.kind[places] == STRING
    encoded = pa.array((before * width + ranks) * 2 + is_string).dictionary_encode()
    heads, skips = [], []
    for code in encoded.dictionary.to_pylist():
        (previous, this), quoted = divmod(code // 2, width), code % 2
        one = leaves[previous - 1] if previous else None
        lead = writer.first(leaves[this]) if one is None else writer.between(one, leaves[this])
        heads.append(lead + '"' * quoted)
        skips.append(writer.skips(one, leaves[this]))
    tails = [
        '"' * quoted + (writer.last(leaves[last - 1]) if last else "")
        for last in range(width)
        for quoted in (0, 1)
    ]
    head = pa.array(heads, pa.string()).take(encoded.indices)
    tail = pa.array(tails, pa.string()).take(pa.array(after * 2 + is_string))
    texts = text.concatenate_rows([head, *attributes.json_pieces(places), tail], offsets)
    holes: Mask = np.logical_or.reduceat(np.array(skips)[encoded.indices], offsets[:-1])
    return texts, holes
