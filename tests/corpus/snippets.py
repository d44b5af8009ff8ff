"""The part of docs/tracers.md that shows each library: the heads of the recorded scripts.

`python -m tests.corpus.snippets` writes it; a test fails when it is stale.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

CORPUS = Path(__file__).parent
PAGE = CORPUS.parents[1] / "docs" / "tracers.md"
START = "<!-- snippets: written by `python -m tests.corpus.snippets` -->\n"
END = "<!-- end of snippets -->\n"
# What a reader looks for, and the folders that show it (without their versions), newest first.
LIBRARIES = {
    "OpenTelemetry: opentelemetry-instrumentation-openai-v2": [
        "opentelemetry-instrumentation-openai-v2-latest",
        "opentelemetry-instrumentation-openai-v2",
    ],
    "OpenInference: OpenAI": ["openinference-instrumentation-openai"],
    "OpenInference: Anthropic": ["openinference-instrumentation-anthropic"],
    "OpenInference: LangChain": ["openinference-instrumentation-langchain"],
    "OpenInference: LlamaIndex": ["openinference-instrumentation-llama-index"],
    "traceAI (Future AGI): OpenAI": ["traceai-openai"],
    "traceAI (Future AGI): LangChain": ["traceai-langchain"],
    "OpenLLMetry (Traceloop)": ["openllmetry"],
    "OpenLLMetry: Anthropic": ["opentelemetry-instrumentation-anthropic"],
    "OpenLLMetry: vector databases and rerankers": ["openllmetry-retrieval"],
    "Vercel AI SDK": ["vercel-ai"],
    "MLflow": ["mlflow"],
    "Langfuse": ["langfuse"],
    "LangSmith": ["langsmith"],
    "Pydantic AI": ["pydantic-ai"],
    "Pydantic Evals": ["pydantic-evals"],
    "Logfire": ["logfire"],
    "OpenLIT": ["openlit"],
    "LiteLLM": ["litellm", "litellm-v2"],
    "Strands Agents": ["strands-agents"],
    "Google ADK": ["google-adk"],
    "Haystack": ["haystack-ai"],
}


def page() -> str:
    """The whole page, with the snippets as they should be."""
    text = PAGE.read_text()
    before, rest = text.split(START)
    return (
        before + START + "\n" + "\n".join(map(section, LIBRARIES)) + "\n" + END + rest.split(END)[1]
    )


def section(title: str) -> str:
    """One library: the newest version first, older ones that are set up in another way after it."""
    parts = [f"### {title}\n"]
    shown: list[str] = []
    for name in LIBRARIES[title]:
        folders = sorted(CORPUS.glob(f"{name}@*"), key=version, reverse=True)
        for folder in folders:
            prose, code, language = head(folder)
            if code not in shown:
                shown.append(code)
                parts.append(f"{prose}\n\n```{language}\n{code}\n```\n")
            parts.append(f"Recorded with {packages(folder)}.\n")
    return "\n".join(parts)


def version(folder: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", folder.name.rpartition("@")[2]))


def head(folder: Path) -> tuple[str, str, str]:
    """(prose, code, language) of the script above the line that ends the snippet."""
    script = next(folder.glob("scenario.*"))
    top = re.split(r"(?m)^(?:#|//) --- (?:the )?snippet ends here", script.read_text())[0]
    if script.suffix == ".mjs":
        lines = top.splitlines()
        comments = [line for line in lines if line.startswith("//")]
        first = [line.removeprefix("//").strip() for line in lines[: _leading(lines)]]
        code = "\n".join(lines[_leading(lines) :]).strip()
        assert comments, "the script starts with what it shows"
        return " ".join(first), code, "js"
    prose = ast.get_docstring(ast.parse(top)) or ""
    code = re.sub(r'(?s)^.*?""".*?"""\n', "", top, count=1)
    return prose, code.replace("  # noqa: E402", "").strip(), "python"


def _leading(lines: list[str]) -> int:
    return next(i for i, line in enumerate(lines) if not line.startswith("//"))


def packages(folder: Path) -> str:
    """The pinned packages, as code."""
    pins = folder / "requirements.txt"
    if pins.exists():
        names = [line.split("#")[0].strip() for line in pins.read_text().splitlines()]
    else:
        found = json.loads((folder / "package.json").read_text())["dependencies"]
        names = [f"{name}@{version}" for name, version in found.items()]
    return ", ".join(f"`{name}`" for name in names if name)


if __name__ == "__main__":
    PAGE.write_text(page())
