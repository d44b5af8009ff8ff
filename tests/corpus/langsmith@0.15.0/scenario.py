"""LangSmith's tracing of LangChain, sent as OpenTelemetry spans and not to LangSmith.

Set OTEL_EXPORTER_OTLP_ENDPOINT to the address of retraind (http://localhost:4318) and set these
variables before the first chain runs. Content is captured. Cached and reasoning tokens are read
where they are JSON, in the run's metadata or outputs; gen_ai.usage.input_token_details and
output_token_details are the repr of a Python dict and stay attributes.
"""

import os

os.environ["LANGSMITH_TRACING"] = "true"
os.environ["LANGSMITH_OTEL_ENABLED"] = "true"
os.environ["LANGSMITH_OTEL_ONLY"] = "true"

# --- snippet ends here ---
# scenarios: chat stream tool retrieval embeddings error traceable_openai

import contextlib
import sys

import openai
from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import tool as as_tool
from langchain_openai import ChatOpenAI
from langsmith import traceable
from langsmith.run_trees import get_cached_client
from langsmith.wrappers import wrap_openai
from opentelemetry import trace

ABOUT = {
    "tags": ["geography", "beta"],
    "metadata": {"session_id": "session-1", "user_id": "user-1", "tenant_id": "acme"},
}


@as_tool
def get_weather(city: str) -> str:
    """Weather of a city."""
    return f"21 degrees in {city}"


class Library(BaseRetriever):
    def _get_relevant_documents(self, query: str, **_: object) -> list[Document]:  # noqa: ARG002
        return [
            Document(id="doc-1", page_content="Paris is the capital of France."),
            Document(id="doc-2", page_content="Lyon lies on the Rhône.", metadata={"page": 7}),
        ]


def chat() -> None:
    prompt = ChatPromptTemplate(
        [("system", "You are a {subject} teacher."), ("human", "What is the capital of France?")]
    )
    model = ChatOpenAI(model="gpt-4o-mini", temperature=0.2, top_p=0.9, max_tokens=64)
    (prompt | model).invoke({"subject": "geography"}, config=ABOUT)


def stream() -> None:
    for _ in ChatOpenAI(model="gpt-4o-mini", stream_usage=True).stream("Capital of France?"):
        pass


def tool() -> None:
    agent = create_agent(
        ChatOpenAI(model="gpt-4o-mini"),
        tools=[get_weather],
        system_prompt="You answer questions about the weather.",
        name="weather_agent",
    )
    question = {"role": "user", "content": "How warm is it in Paris?"}
    agent.invoke({"messages": [question]}, config={"configurable": {"thread_id": "thread-1"}})


def retrieval() -> None:
    Library().invoke("capital of France")


def embeddings() -> None:
    """LangChain gives no callbacks for embeddings: only a function of one's own is traced."""

    @traceable(run_type="embedding", metadata={"ls_provider": "openai"})
    def embed(text: str) -> list[float]:
        answer = openai.OpenAI().embeddings.create(model="text-embedding-3-small", input=text)
        return answer.data[0].embedding

    embed("capital of France")


def error() -> None:
    with contextlib.suppress(openai.OpenAIError):
        ChatOpenAI(model="broken-model", max_retries=0).invoke("Capital of France?")


def traceable_openai() -> None:
    """Without LangChain: a decorated function and a wrapped OpenAI client."""
    client = wrap_openai(openai.OpenAI())

    @traceable(name="answer", metadata={"thread_id": "thread-2"})
    def answer(question: str) -> str:
        answered = client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[
                {"role": "system", "content": "You are a geography teacher."},
                {"role": "user", "content": question},
            ],
            temperature=0.2,
        )
        return answered.choices[0].message.content

    answer("What is the capital of France?")


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    get_cached_client().flush()
    trace.get_tracer_provider().shutdown()
