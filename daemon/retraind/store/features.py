"""The macros behind the features that are more than a column: SQL from schema/features.sql."""

from __future__ import annotations

from retraind.store.engine import Cursor, run
from retraind.store.queries import script_blocks

EXPRESSIONS = {
    "tool_choice": "memory.main.tool_choice(called_tools, tool_definitions)",
    "refusal": "memory.main.refusal(operation, finish_reasons, output_text)",
    "output_json": "memory.main.output_json(operation, output_text, attributes)",
    "retrieved": "memory.main.retrieved(operation, document_ids, document_scores, documents)",
    "retrieval": "memory.main.retrieval(operation, document_ids, document_scores, documents)",
    "top_document": "CASE WHEN operation = 'retrieval' THEN document_ids[1] END",
    "top_score": "CASE WHEN operation = 'retrieval' THEN list_max(document_scores) END",
}


def create_feature_macros(cursor: Cursor) -> None:
    """Create the macros that EXPRESSIONS name."""
    run(cursor, script_blocks("features")["feature_macros"])
