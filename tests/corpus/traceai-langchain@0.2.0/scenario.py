# ruff: noqa: E402
# scenarios: chat stream tool retrieval error context otel_genai openinference openllmetry
"""LangChain and LangGraph, traced by traceAI (Future AGI).

Set OTEL_EXPORTER_OTLP_ENDPOINT to the address of retraind (http://localhost:4318) and run these
lines before the first chain. Without span_exporter, register() sends to the vendor's own address.
Content is sent unless FI_HIDE_INPUTS and its like are set.
"""

from fi_instrumentation import register
from fi_instrumentation.fi_types import ProjectType
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from traceai_langchain import LangChainInstrumentor

provider = register(
    project_name="support-bot",
    project_type=ProjectType.OBSERVE,
    span_exporter=OTLPSpanExporter(),
)
LangChainInstrumentor().instrument(tracer_provider=provider)

# --- snippet ends here ---

import sys
from typing import Any

from fi_instrumentation import SemanticConvention, using_attributes
from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool as as_tool
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from opentelemetry.sdk.trace import TracerProvider

MESSAGES = [
    ("system", "You are a geography teacher."),
    ("human", "What is the capital of France?"),
]


@as_tool
def get_weather(city: str) -> str:
    """Weather of a city."""
    return f"21 degrees in {city}"


def chat() -> None:
    model = ChatOpenAI(model="gpt-4o-mini", temperature=0.2, top_p=0.9, max_tokens=64)
    model.invoke(MESSAGES)


def stream() -> None:
    for _ in ChatOpenAI(model="gpt-4o-mini", stream_usage=True).stream(MESSAGES):
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
    embedder = OpenAIEmbeddings(model="text-embedding-3-small", check_embedding_ctx_length=False)
    store = InMemoryVectorStore(embedder)
    store.add_documents(
        [
            Document("Paris is the capital of France.", id="doc-paris", metadata={"page": 1}),
            Document("Rome is the capital of Italy.", id="doc-rome", metadata={"page": 2}),
        ]
    )
    question = "What is the capital of France?"
    documents = store.as_retriever(search_kwargs={"k": 2}).invoke(question)
    prompt = ChatPromptTemplate.from_template("Use {context} to answer: {question}")
    chain = prompt | ChatOpenAI(model="gpt-4o-mini") | StrOutputParser()
    chain.invoke({"context": "\n".join(d.page_content for d in documents), "question": question})


def error() -> None:
    try:
        ChatOpenAI(model="broken-model", max_retries=0).invoke(MESSAGES)
    except Exception as failure:
        print("as expected:", type(failure).__name__)


def registered_anew(**options: Any) -> TracerProvider:
    """Traces by a provider of its own from here on."""
    other = register(project_name="support-bot", span_exporter=OTLPSpanExporter(), **options)
    LangChainInstrumentor().uninstrument()
    LangChainInstrumentor().instrument(tracer_provider=other)
    return other


def context() -> None:
    """What the application says of the call, in a run that is an experiment with a version."""
    experiment = registered_anew(
        project_type=ProjectType.EXPERIMENT, project_version_name="2026-11"
    )
    with using_attributes(
        session_id="session-1",
        user_id="user-1",
        metadata={"plan": "pro", "tenant_id": "acme"},
        tags=["beta", "eu"],
        prompt_template="What is the capital of {country}?",
        prompt_template_label="production",
        prompt_template_version="v3",
        prompt_template_variables={"country": "France"},
    ):
        ChatOpenAI(model="gpt-4o-mini").invoke("What is the capital of France?")
    experiment.shutdown()


def chat_as(convention: SemanticConvention) -> None:
    """The same call by a provider that was registered for another convention."""
    other = registered_anew(project_type=ProjectType.OBSERVE, semantic_convention=convention)
    ChatOpenAI(model="gpt-4o-mini").invoke(MESSAGES)
    other.shutdown()


def otel_genai() -> None:
    chat_as(SemanticConvention.OTEL_GENAI)


def openinference() -> None:
    chat_as(SemanticConvention.OPENINFERENCE)


def openllmetry() -> None:
    chat_as(SemanticConvention.OPENLLMETRY)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    provider.shutdown()
