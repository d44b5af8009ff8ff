"""Where the content of a field lies besides its column: attributes, events, resource, logs.

The table of conventions says from which keys a column can be filled. A policy on the column holds
for all of them, whichever of them won.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from retraind.normalise.conventions import COLUMNS, EVALUATIONS
from retraind.normalise.messages import INPUT_EVENTS, OUTPUT_EVENTS
from retraind.normalise.paths import Path, parse

GROUPS: dict[str, tuple[str, ...]] = {
    "input": ("input_text", "input_messages", "input_documents", "prompt_variables", "embedding"),
    "output": ("output_text", "output_messages"),
    "system": ("system_instructions", "prompt_template_text"),
    "tools": ("tool_definitions",),
    "documents": ("documents", "input_documents"),
}
"""Names that stand for several columns in `content.fields`."""

# A policy on one of these is one on the other: both are made from the same messages.
TOGETHER = {
    "input_text": "input_messages", "input_messages": "input_text",
    "output_text": "output_messages", "output_messages": "output_text",
}  # fmt: skip
# Messages are a conversation: what was said before comes again in the input.
_ROLES = {"output_text": "assistant", "system_instructions": "system"}
_CARRIERS = {"output_text": "input_messages", "system_instructions": "input_messages"}


# Attributes that fill no column but are the content by their last name, e.g. `llm.openai.messages`.
_SAID = frozenset((
    "input", "inputs", "messages", "prompt", "prompts", "query", "question", "input_messages",
))  # fmt: skip
_ANSWERED = frozenset((
    "output", "outputs", "completion", "completions", "choices", "content", "answer", "response",
    "output_messages",
))  # fmt: skip
_ENDINGS = {
    "input_text": _SAID, "input_messages": _SAID,
    "output_text": _ANSWERED, "output_messages": _ANSWERED,
    "system_instructions": frozenset((
        "instructions", "system_instruction", "system_instructions", "system_prompt",
    )),
    "tool_definitions": frozenset(("tools", "tool_definitions", "functions")),
}  # fmt: skip
# Attributes in which senders repeat the content of a column without being a source of it.
_REPEATED: dict[str, tuple[str, ...]] = {
    "input_text": (
        "llm.invocation_parameters#/input", "llm.invocation_parameters#/messages",
        "gen_ai.request.parameters#/input", "gen_ai.request.parameters#/messages", "logfire.msg",
    ),
    "output_text": ("gen_ai.tool.args",),
    "system_instructions": (
        "model_request_parameters#/instruction_parts", "gen_ai.request.parameters#/instructions",
        "gen_ai.request.parameters#/system",
    ),
    "tool_definitions": (
        "gen_ai.request.parameters#/tools", "model_request_parameters#/output_tools",
        "gen_ai.tool.description", "gen_ai.tool.json_schema", "tool.description",
        "tool.parameters", "tool.json_schema", "haystack.tool.description",
    ),
}  # fmt: skip
# JSON columns that show attributes which may hold another column's content.
_COPIES = frozenset(("metadata", "request_parameters", "prompt_variables"))
# Whatever a holder of these has elsewhere is content as well.
_WHOLE = frozenset((
    "input_text", "input_messages", "output_text", "output_messages", "documents",
    "input_documents",
))  # fmt: skip


@dataclass(slots=True)
class Places:
    """Where the content of one column lies. Events are those whose attributes or body are it."""

    keys: set[str] = field(default_factory=set)
    lists: set[str] = field(default_factory=set)  # keys `prefix.0…`
    maps: set[str] = field(default_factory=set)  # keys that begin so
    pointers: set[tuple[str, tuple[str, ...]]] = field(default_factory=set)
    events: set[str] = field(default_factory=set)
    event_keys: set[tuple[str, str]] = field(default_factory=set)
    resource: set[str] = field(default_factory=set)
    columns: set[str] = field(default_factory=set)
    endings: frozenset[str] = frozenset()  # last names of keys whose values are texts
    roles: set[str] = field(default_factory=set)  # of messages in input_messages

    def add(self, path: Path, *, column: str, whole: bool) -> None:
        """One path of a column; `whole`: what else its holder has is content, too."""
        if path.form == "attribute" and path.pointer and not whole:
            self.pointers.add((path.holder, path.pointer))
        elif path.form == "attribute":
            self.keys.add(path.holder)
        elif path.form == "list":
            self.lists.add(path.holder)
        elif path.form == "map":
            self.maps.add(path.holder)
        elif path.form == "event":
            self.event_keys.add((path.event, path.holder))
        elif path.form == "events" and path.holder:
            self.events.add(path.holder)
        elif path.form == "events":
            self.events |= OUTPUT_EVENTS if column.startswith("output") else INPUT_EVENTS
        elif path.form == "resource":
            self.resource.add(path.holder)
        elif path.form == "span" and path.holder == "status.message":
            self.columns.add("status_message")


@cache
def places_of(column: str) -> Places:
    """The places of a column of `spans`, or of `explanation` of `evaluations`."""
    found = Places(columns={column})
    for source_column in (column, _CARRIERS.get(column, column)):
        for path in _paths(source_column):
            found.add(path, column=source_column, whole=source_column in _WHOLE)
    for key in _REPEATED.get(column, ()):
        found.add(parse(key), column=column, whole=False)
    found.endings = _ENDINGS.get(column, frozenset())
    if column in _ROLES:
        found.roles.add(_ROLES[column])
        found.events |= {f"gen_ai.{_ROLES[column]}.message"}
    return found


def _paths(column: str) -> Iterator[Path]:
    for each in (*COLUMNS, *EVALUATIONS):
        if each.name == column:
            for source in each.sources:
                yield source.path


@cache
def copies_of(holder: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """JSON columns that show an attribute or a part of it, and the pointer to that part."""
    return tuple(
        (column.name, source.path.pointer or ())
        for column in COLUMNS
        if column.name in _COPIES
        for source in column.sources
        if source.path.form == "attribute" and source.path.holder == holder
    )


@cache
def members_of(key: str) -> tuple[tuple[str, str], ...]:
    """JSON columns that gather an attribute by its prefix, and under which name."""
    return tuple(
        (column.name, key.removeprefix(source.path.holder + "."))
        for column in COLUMNS
        if column.name in _COPIES
        for source in column.sources
        if source.path.form == "map" and key.startswith(source.path.holder + ".")
    )
