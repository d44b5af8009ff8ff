# ruff: noqa: E402
# scenarios: chat stream tool embeddings retrieval rerank error context
"""LlamaIndex, traced by OpenInference.

Set OTEL_EXPORTER_OTLP_ENDPOINT to the address of retraind (http://localhost:4318) and run these
lines before the first query. Content is sent unless OPENINFERENCE_HIDE_INPUTS and its like are set.
"""

from openinference.instrumentation.llama_index import LlamaIndexInstrumentor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
LlamaIndexInstrumentor().instrument(tracer_provider=provider)

# --- snippet ends here ---

import asyncio
import os
import sys

from llama_index.core import VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.schema import QueryBundle, TextNode
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.openai import OpenAI
from llama_index.llms.openai_like import OpenAILike
from llama_index.postprocessor.jinaai_rerank import JinaRerank
from openinference.instrumentation import using_attributes

# LlamaIndex reads an older name of this variable.
os.environ["OPENAI_API_BASE"] = os.environ["OPENAI_BASE_URL"]
MESSAGES = [
    ChatMessage(role="system", content="You are a geography teacher."),
    ChatMessage(role="user", content="What is the capital of France?"),
]
NODES = [
    TextNode(text="Paris is the capital of France.", id_="doc-paris", metadata={"page": 1}),
    TextNode(text="Rome is the capital of Italy.", id_="doc-rome", metadata={"page": 2}),
]
QUESTION = "What is the capital of France?"


def get_weather(city: str) -> str:
    """Weather of a city."""
    return f"21 degrees in {city}"


def chat() -> None:
    OpenAI(model="gpt-4o-mini", temperature=0.2, max_tokens=64).chat(MESSAGES, top_p=0.9)


def stream() -> None:
    model = OpenAI(model="gpt-4o-mini")
    for _ in model.stream_chat(MESSAGES, stream_options={"include_usage": True}):
        pass


def tool() -> None:
    agent = FunctionAgent(
        name="weather_agent",
        tools=[get_weather],
        llm=OpenAI(model="gpt-4o-mini"),
        system_prompt="You answer questions about the weather.",
        streaming=False,
    )

    async def run() -> None:
        await agent.run("How warm is it in Paris?")

    asyncio.run(run())


def embeddings() -> None:
    OpenAIEmbedding(model="text-embedding-3-small").get_text_embedding("Paris in spring")


def retrieval() -> None:
    index = VectorStoreIndex(NODES, embed_model=OpenAIEmbedding(model="text-embedding-3-small"))
    index.as_query_engine(llm=OpenAI(model="gpt-4o-mini"), similarity_top_k=2).query(QUESTION)


def rerank() -> None:
    endpoint = os.environ["OPENAI_BASE_URL"]
    model = JinaRerank(model="jina-reranker-v2", base_url=endpoint, api_key="corpus", top_n=1)
    index = VectorStoreIndex(NODES, embed_model=OpenAIEmbedding(model="text-embedding-3-small"))
    found = index.as_retriever(similarity_top_k=2).retrieve(QUESTION)
    model.postprocess_nodes(found, QueryBundle(QUESTION))


def error() -> None:
    try:
        OpenAILike(model="broken-model", is_chat_model=True, max_retries=0).chat(MESSAGES)
    except Exception as failure:
        print("as expected:", type(failure).__name__)


def context() -> None:
    with using_attributes(
        session_id="session-1",
        user_id="user-1",
        metadata={"plan": "pro", "tenant_id": "acme"},
        tags=["beta", "eu"],
        prompt_template="What is the capital of {country}?",
        prompt_template_version="v3",
        prompt_template_variables={"country": "France"},
    ):
        OpenAI(model="gpt-4o-mini").chat([ChatMessage(role="user", content=QUESTION)])


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    provider.shutdown()
