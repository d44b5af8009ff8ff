"""SQL of what monitors read from a span: a column, a key of a JSON column, a tag, a length."""

from __future__ import annotations

from retraind.normalise.conventions import COLUMNS
from retraind.store.engine import quoted
from retraind.store.features import EXPRESSIONS

_JSON = {
    "attribute": "attributes", "resource": "resource", "metadata": "metadata",
    "prompt_variable": "prompt_variables", "request_parameter": "request_parameters",
}  # fmt: skip
_USAGE = {
    "input_total": "memory.main.input_total(convention, scope_name, provider, norm_source, "
    "input_tokens, output_tokens, total_tokens, "
    "coalesce(cache_read_tokens, 0) + coalesce(cache_write_tokens, 0), reasoning_tokens)",
    # Codes that fit a signed integer; which ones does not matter, only which are equal.
    "response": "CASE WHEN response_id IS NOT NULL THEN (hash(response_id) >> 1)::BIGINT END",
    "emitter": "(hash(scope_name, name) >> 1)::BIGINT",
}
_MACROS = {"usage": _USAGE, "feature": EXPRESSIONS}


def expression(kind: str, key: str) -> str:
    """SQL of a source (see window/plan.py).

    Keys come from the operator's configuration and are quoted as literals, never as SQL.
    """
    if kind == "column":
        return identifier(key)
    if kind in _JSON:
        value = f"json_extract_string({_JSON[kind]}, {quoted(_pointer(key))})"
        return _with_columns(value, key) if kind == "attribute" else value
    if kind == "tag":
        return f"CASE WHEN list_contains(tags, {quoted(key)}) THEN {quoted(key)} END"
    if kind == "length":
        filled = ", ".join(identifier(column) for column in key.split(","))
        return f"length(coalesce({filled}))"
    if kind == "first":
        return f"{identifier(key)}[1]"
    if kind in _MACROS:
        return _MACROS[kind][key]
    raise ValueError(f"unknown kind of source {kind!r}")


def identifier(name: str) -> str:
    """A quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _pointer(key: str) -> str:
    return "/" + key.replace("~", "~0").replace("/", "~1")


def _with_columns(value: str, key: str) -> str:
    """An attribute that became a column is not among `attributes`; norm_source says which did."""
    cases = [value]
    for column in COLUMNS:
        if any(source.path.plain and source.path.holder == key for source in column.sources):
            name = identifier(column.name)
            shown = f"to_json({name})" if column.type in ("texts", "numbers") else name
            member = f'"{column.name}":"{key}"'
            cases.append(
                f"CASE WHEN contains(norm_source, {quoted(member)}) THEN {shown}::VARCHAR END"
            )
    return value if len(cases) == 1 else f"coalesce({', '.join(cases)})"
