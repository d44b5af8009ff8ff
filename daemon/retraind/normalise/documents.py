"""Documents of every convention as `{"id", "score", "content", "metadata"}`.

A distance, where less is better, becomes a score by its sign.
"""

from __future__ import annotations

from typing import Any

from retraind.normalise.parts import loaded

Document = dict[str, Any]

_WRAPPERS = ("document", "node", "documents", "results", "output", "source_nodes")
_ID = ("id", "id_", "document_id", "doc_id", "node_id", "chunk_id", "db.query.result.id")
_SCORE = ("score", "relevance_score", "relevanceScore", "db.query.result.score", "similarity")
_CONTENT = (
    "content", "page_content", "text", "document_text", "db.query.result.document",
)  # fmt: skip
_METADATA = ("metadata", "meta", "extra_info", "db.query.result.metadata")
_SCALARS = (str, int, float, bool)
_SOURCES = ("source", "doc_uri", "id")
_KNOWN = frozenset((*_WRAPPERS, *_ID, *_SCORE, *_CONTENT, *_METADATA, "db.query.result.distance"))


def documents_of(value: object) -> list[Document]:
    """The documents in a decoded value; none when it holds nothing."""
    if isinstance(value, dict) and not any(name in value for name in (*_ID, *_CONTENT)):
        inner = next((value[name] for name in _WRAPPERS if name in value), None)
        return documents_of(inner) if isinstance(inner, list) else []
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        return []
    return [document for item in value if (document := _document(item))]


def _document(item: object) -> Document:
    if isinstance(item, str):
        return {"content": item} if item else {}
    if not isinstance(item, dict):
        return {}
    outer_score = _number(item)
    for name in ("document", "node"):
        inner = item.get(name)
        if isinstance(inner, dict):
            item = inner
        elif isinstance(inner, str):
            item = {**item, "content": inner}
    metadata = _metadata(item)
    identity = next((item[n] for n in _ID if isinstance(item.get(n), str | int)), None)
    if identity is None:
        identity = next((metadata[n] for n in _SOURCES if isinstance(metadata.get(n), str)), None)
    content = next((item[n] for n in _CONTENT if isinstance(item.get(n), str)), None)
    if not metadata and identity is None and content is None:  # a rank: which one, not what
        metadata = {k: v for k, v in item.items() if k not in _KNOWN and isinstance(v, _SCALARS)}
    score = next(
        (s for s in (_number(item), outer_score, _number(metadata)) if s is not None), None
    )
    found = {
        "id": None if identity is None else str(identity),
        "score": score,
        "content": content or None,
        "metadata": metadata or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _metadata(item: Document) -> Document:
    for name in _METADATA:
        value = item.get(name)
        if isinstance(value, str):
            value = loaded(value)
        if isinstance(value, dict):
            return value
    return {}


def _number(item: dict[str, Any]) -> float | None:
    for name in _SCORE:
        value = item.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    distance = item.get("db.query.result.distance")
    return -float(distance) if isinstance(distance, int | float) else None
