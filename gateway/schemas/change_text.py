"""Says what changed between two schemas in a few words."""

from __future__ import annotations

import json
from typing import Any

from gateway.schemas.shape import is_open, types_of

SHOWN = 60
"""Characters of a value that a change shows."""
NOTHING = "nothing"


def types_text(types: frozenset[str] | None) -> str:
    """The types of a schema as text; None is any."""
    return "anything" if types is None else " or ".join(sorted(types, key=lambda kind: (kind == "null", kind)))


def summary(schema: Any) -> str:
    """A schema in a few words."""
    if schema is False:
        return "forbidden"
    form = f" ({schema['format']})" if isinstance(schema, dict) and "format" in schema else ""
    return types_text(types_of(schema)) + form


def allowed(rest: Any) -> str:
    """Which other fields a schema allows."""
    return "forbidden" if rest is False else "anything" if is_open(rest) else f"only {summary(rest)}"


def values_text(values: list[Any] | None) -> str:
    """The values that are taken; None is any."""
    return "any" if values is None else cut(", ".join(_json(value) for value in values))


def shown(value: Any) -> str:
    """The value of a keyword, cut."""
    return NOTHING if value is None or value == {} else cut(value if isinstance(value, str) else _json(value))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def cut(text: str) -> str:
    """A text on one line, cut to SHOWN."""
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"
