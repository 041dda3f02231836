"""Knows which keywords each draft of JSONSchema heeds, as the validator does. Pure."""

from __future__ import annotations

from typing import Any

from gateway.schemas.shape import ANNOTATIONS, BY_NAME

SINCE = {
    **dict.fromkeys(("const", "contains", "propertyNames"), "06"),
    **dict.fromkeys(("if", "then", "else"), "07"),
    **dict.fromkeys(("dependentRequired", "dependentSchemas", "minContains", "maxContains"), "2019-09"),
    **dict.fromkeys(("unevaluatedProperties", "unevaluatedItems"), "2019-09"),
    **dict.fromkeys(("prefixItems", "$dynamicRef"), "2020-12"),
}
"""The first draft that heeds a keyword; others are heeded in all. (`dependencies` are, too, and a list in `items` is
refused where it means nothing.)"""

FORMATS_SINCE = {
    **dict.fromkeys(("json-pointer", "uri-reference", "uri-template"), "06"),
    **dict.fromkeys(("idn-hostname", "iri", "iri-reference", "relative-json-pointer"), "07"),
    **dict.fromkeys(("duration", "uuid"), "2019-09"),
}
"""The same of the values of `format`."""

_NAMED = frozenset({*BY_NAME, "definitions", "$defs"})
_VALUES = (ANNOTATIONS | {"enum", "const"}) - _NAMED


def heeded(schema: Any, draft: str) -> Any:
    """The schema without what its draft ignores, in all its parts: another draft may heed that."""
    if isinstance(schema, list):
        return [heeded(part, draft) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: _part(key, value, draft) for key, value in schema.items() if not _is_ignored(key, value, draft)}


def _is_ignored(keyword: str, value: Any, draft: str) -> bool:
    """Drafts sort by their names."""
    if keyword == "format" and isinstance(value, str):
        return draft < FORMATS_SINCE.get(value, "")
    return draft < SINCE.get(keyword, "")


def _part(keyword: str, value: Any, draft: str) -> Any:
    if keyword in _VALUES:
        return value
    if keyword in _NAMED and isinstance(value, dict):
        return {name: heeded(part, draft) for name, part in value.items()}
    return heeded(value, draft)
