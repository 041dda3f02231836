"""Reads a stream's `schema_title`: one title, or a `/regular expression/` for titles.

As in Wikimedia's configuration, the expression is searched for: `^` and `$` bind it to the ends of a title.
"""

from __future__ import annotations

import re
from functools import lru_cache

import jsonschema_rs

MAXIMUM_PATTERN_BYTES = 64 * 1024
"""The compiled program of one expression."""

TITLE_FORM = "a title such as wiki/change, or a /regular expression/ of titles such as /^wiki/"
PATTERN_FORM = (
    "an expression that runs in linear time (without lookahead, lookbehind and references back), and compiles to at "
    f"most {MAXIMUM_PATTERN_BYTES} bytes"
)

_TITLE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)*", re.ASCII)


def is_title(text: str) -> bool:
    """Whether this can be the title of a schema."""
    return _TITLE.fullmatch(text) is not None


def is_expression(schema_title: str) -> bool:
    """Whether this is written as an expression; no title begins with a slash."""
    return len(schema_title) > 2 and schema_title.startswith("/") and schema_title.endswith("/")


def is_valid_expression(schema_title: str) -> bool:
    """Whether what is written as an expression can be used as one."""
    try:
        _compiled(schema_title)
    except jsonschema_rs.ValidationError:
        return False
    return True


def matches(schema_title: str, title: str) -> bool:
    """Whether a title is the one, or one of those, that a valid `schema_title` means."""
    if not schema_title.startswith("/"):
        return title == schema_title
    return _compiled(schema_title).is_valid(title)


@lru_cache(maxsize=1024)
def _compiled(schema_title: str) -> jsonschema_rs.Validator:
    """The linear-time engine that judges the patterns of schemas. Raises jsonschema_rs.ValidationError."""
    options = jsonschema_rs.RegexOptions(size_limit=MAXIMUM_PATTERN_BYTES)
    return jsonschema_rs.Draft202012Validator({"pattern": schema_title[1:-1]}, pattern_options=options)
