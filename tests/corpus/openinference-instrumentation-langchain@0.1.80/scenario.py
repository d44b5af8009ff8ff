# ruff: noqa: E402
# scenarios: chat stream tool retrieval error context evaluation genai
"""LangChain and LangGraph, traced by OpenInference.

Set OTEL_EXPORTER_OTLP_ENDPOINT to the address of retraind (http://localhost:4318) and run these
lines before the first chain. Content is sent unless OPENINFERENCE_HIDE_INPUTS and its like are set.
"""

from openinference.instrumentation.langchain import LangChainInstrumentor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
LangChainInstrumentor().instrument(tracer_provider=provider)

# --- snippet ends here ---

import sys

from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool as as_tool
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from openinference.instrumentation import (
    TraceConfig,
    get_annotation_attributes,
    get_evaluation_attributes,
    using_metadata,
    using_prompt_template,
    using_session,
    using_tags,
    using_user,
)
from opentelemetry import trace

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
    store = InMemoryVectorStore(
        OpenAIEmbeddings(model="text-embedding-3-small", check_embedding_ctx_length=False)
    )
    store.add_documents(
        [
            Document("Paris is the capital of France.", id="doc-paris", metadata={"page": 1}),
            Document("Rome is the capital of Italy.", id="doc-rome", metadata={"page": 2}),
        ]
    )
    retriever = store.as_retriever(search_kwargs={"k": 2})
    prompt = ChatPromptTemplate.from_template("Use {context} to answer: {question}")
    question = "What is the capital of France?"
    documents = retriever.invoke(question)
    chain = prompt | ChatOpenAI(model="gpt-4o-mini") | StrOutputParser()
    chain.invoke({"context": "\n".join(d.page_content for d in documents), "question": question})


def error() -> None:
    try:
        ChatOpenAI(model="broken-model", max_retries=0).invoke(MESSAGES)
    except Exception as failure:
        print("as expected:", type(failure).__name__)


def context() -> None:
    with (
        using_session("session-1"),
        using_user("user-1"),
        using_metadata({"plan": "pro", "tenant_id": "acme"}),
        using_tags(["beta", "eu"]),
        using_prompt_template(
            template="What is the capital of {country}?",
            version="v3",
            variables={"country": "France"},
        ),
    ):
        ChatOpenAI(model="gpt-4o-mini").invoke("What is the capital of France?")


def genai() -> None:
    """Both conventions on one span, as OPENINFERENCE_ENABLE_GENAI_SEMCONV=true has it."""
    LangChainInstrumentor().uninstrument()
    both = TraceConfig(enable_genai_semconv=True)
    LangChainInstrumentor().instrument(tracer_provider=provider, config=both)
    with using_session("session-1"), using_user("user-1"):
        model = ChatOpenAI(model="gpt-4o-mini", temperature=0.2, max_tokens=64)
        model.bind_tools([get_weather]).invoke([MESSAGES[0], ("human", "How warm is it in Paris?")])


def evaluation() -> None:
    """Judgements by the SDK's own helpers: of the span, its trace and session, and by a link."""
    tracer = provider.get_tracer("corpus")
    with tracer.start_as_current_span("answer") as span:
        span.set_attribute("openinference.span.kind", "CHAIN")
        with using_session("session-1"):
            ChatOpenAI(model="gpt-4o-mini").invoke("What is the capital of France?")
        span.set_attributes(
            get_evaluation_attributes(
                evaluations=[
                    {
                        "name": "correctness",
                        "score": 1.0,
                        "label": "pass",
                        "explanation": "Paris is right.",
                        "annotator_kind": "LLM",
                        "identifier": "judge-v2",
                        "metadata": {"model": "gpt-4o-mini"},
                    },
                    {
                        "name": "conciseness",
                        "score": 0.25,
                        "label": "fail",
                        "annotator_kind": "CODE",
                    },
                ]
            )
        )
        span.set_attributes(
            get_annotation_attributes(
                annotations=[{"name": "helpful", "score": 0.8, "annotator_kind": "LLM"}],
                scope="trace",
            )
        )
        span.set_attributes(
            get_evaluation_attributes(
                evaluations=[{"name": "resolved", "label": "yes", "annotator_kind": "HUMAN"}],
                scope="session",
            )
        )
        span.set_attribute("session.id", "session-1")
    link = trace.Link(span.get_span_context())
    with tracer.start_as_current_span(
        "feedback", context=trace.set_span_in_context(trace.INVALID_SPAN), links=[link]
    ) as carrier:
        carrier.set_attributes(
            get_annotation_attributes(
                annotations=[
                    {
                        "name": "thumbs",
                        "score": 0,
                        "label": "down",
                        "explanation": "Too short.",
                        "annotator_kind": "HUMAN",
                        "identifier": "user-1",
                    }
                ]
            )
        )


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    provider.shutdown()
