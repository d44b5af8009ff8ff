"""Haystack 2, traced by its own OpenTelemetry tracer. Content is only sent with the variable below.

Set OTEL_EXPORTER_OTLP_ENDPOINT to the address of retraind (http://localhost:4318) and run these
lines before the first pipeline run; the first import of haystack must come after the variable.
"""

import os

os.environ["HAYSTACK_CONTENT_TRACING_ENABLED"] = "true"

from haystack import tracing
from haystack.tracing import OpenTelemetryTracer
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
tracing.enable_tracing(OpenTelemetryTracer(provider.get_tracer("haystack")))

# --- snippet ends here ---
# scenarios: chat retrieval embeddings

import sys  # noqa: E402

from haystack import Document, Pipeline  # noqa: E402
from haystack.components.builders import ChatPromptBuilder  # noqa: E402
from haystack.components.embedders import OpenAITextEmbedder  # noqa: E402
from haystack.components.generators.chat import OpenAIChatGenerator  # noqa: E402
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever  # noqa: E402
from haystack.dataclasses import ChatMessage  # noqa: E402
from haystack.document_stores.in_memory import InMemoryDocumentStore  # noqa: E402

QUESTION = "What is the capital of France?"
TEMPLATE = [
    ChatMessage.from_system("You are a geography teacher."),
    ChatMessage.from_user(
        "{% for document in documents %}{{ document.content }} {% endfor %}{{ question }}"
    ),
]


def pipeline_of(**components: object) -> Pipeline:
    pipeline = Pipeline()
    for name, component in components.items():
        pipeline.add_component(name, component)
    return pipeline


def teacher(model: str = "gpt-4o-mini") -> OpenAIChatGenerator:
    return OpenAIChatGenerator(
        model=model, generation_kwargs={"temperature": 0.2, "max_tokens": 64}, max_retries=0
    )


def chat() -> None:
    messages = [
        ChatMessage.from_system("You are a geography teacher."),
        ChatMessage.from_user(QUESTION),
    ]
    pipeline = pipeline_of(llm=teacher())
    pipeline.metadata["session_id"] = "session-1"
    pipeline.run({"llm": {"messages": messages}})


def retrieval() -> None:
    store = InMemoryDocumentStore()
    store.write_documents(
        [
            Document(id="doc-1", content="Paris is the capital of France.", meta={"page": 7}),
            Document(id="doc-2", content="Berlin is the capital of Germany."),
        ]
    )
    pipeline = pipeline_of(
        retriever=InMemoryBM25Retriever(document_store=store, top_k=2),
        prompt=ChatPromptBuilder(template=TEMPLATE, required_variables="*"),
        llm=teacher(),
    )
    pipeline.connect("retriever.documents", "prompt.documents")
    pipeline.connect("prompt.prompt", "llm.messages")
    pipeline.run({"retriever": {"query": QUESTION}, "prompt": {"question": QUESTION}})


def embeddings() -> None:
    pipeline = pipeline_of(embedder=OpenAITextEmbedder(model="text-embedding-3-small"))
    pipeline.run({"embedder": {"text": "capital of France"}})


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    provider.shutdown()
