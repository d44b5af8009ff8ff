"""What the fake endpoint answers, before a provider's wire format is put around it."""

from __future__ import annotations

import re
from dataclasses import dataclass

ANSWERED_MODELS = {
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-4o": "gpt-4o-2024-08-06",
    "claude-sonnet-4-5": "claude-sonnet-4-5-20250929",
}


@dataclass(frozen=True)
class Answer:
    """Either a text or the call of a tool. Token counts are those of the OpenAI formats."""

    text: str | None
    tool: str | None
    arguments: str
    input_tokens: int
    output_tokens: int

    @property
    def finish_reason(self) -> str:
        return "tool_calls" if self.tool else "stop"


def answer_to(tools: list[str], *, has_tool_result: bool, wants_json: bool = False) -> Answer:
    """A tool is called once; its result gets another text; JSON is given where it is asked for."""
    if has_tool_result:
        return Answer("It is 21 degrees in Paris.", None, "", 45, 8)
    if tools:
        tool = "get_weather" if "get_weather" in tools else tools[0]
        return Answer(None, tool, '{"city":"Paris"}', 33, 7)
    text = '{"city":"Paris"}' if wants_json else "Paris is the capital of France."
    return Answer(text, None, "", 21, 9)


def pieces(text: str) -> list[str]:
    """The text in parts of at most two words, as a stream gives it."""
    return re.findall(r"\s*\S+(?:\s+\S+)?", text)
