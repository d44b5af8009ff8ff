"""OpenLLMetry's instrumentations of a vector database and a reranker, without its SDK.

Contents are captured unless TRACELOOP_TRACE_CONTENT=false is set. Set OTEL_EXPORTER_OTLP_ENDPOINT
to the address of retraind (http://localhost:4318).
"""

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.chromadb import ChromaInstrumentor
from opentelemetry.instrumentation.cohere import CohereInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
ChromaInstrumentor().instrument()
CohereInstrumentor().instrument()

# --- snippet ends here ---
# scenarios: retrieval rerank

import os  # noqa: E402
import sys  # noqa: E402

import chromadb  # noqa: E402
import cohere  # noqa: E402

DOCUMENTS = ["Paris is the capital of France.", "Rome is the capital of Italy."]


def retrieval() -> None:
    client = chromadb.EphemeralClient(chromadb.Settings(anonymized_telemetry=False))
    capitals = client.create_collection("capitals")
    capitals.add(
        ids=["doc-paris", "doc-rome"],
        documents=DOCUMENTS,
        embeddings=[[1.0, 0.0], [0.0, 1.0]],
        metadatas=[{"page": 1}, {"page": 2}],
    )
    capitals.query(query_embeddings=[[1.0, 0.5]], n_results=2)


def rerank() -> None:
    client = cohere.ClientV2(base_url=os.environ["COHERE_BASE_URL"])
    client.rerank(
        model="rerank-v3.5", query="What is the capital of France?", documents=DOCUMENTS, top_n=2
    )


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    provider.shutdown()
