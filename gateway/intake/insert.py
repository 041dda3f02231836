"""Inserts what is missing into the text of an event, and leaves every other byte as it is. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

import orjson

_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)
_COLON = re.compile(rb"[ \t\n\r]*:")
_END = re.compile(rb"[ \t\n\r]*\}")


def insert_meta(text: bytes, meta: Mapping[str, object]) -> bytes:
    """The text of an object, with these members in its `meta`, which it may lack.

    The text is valid JSON, no member of it is there twice, and `meta` has none of these.
    """
    if not meta:
        return text
    inside = _start_of_meta(text)
    if inside is None:
        return insert_members(text, {"meta": meta})
    return _inserted(text, inside, meta)


def insert_members(text: bytes, members: Mapping[str, object]) -> bytes:
    """The text of an object, with these members that it does not have."""
    return _inserted(text, text.index(b"{") + 1, members)


def _inserted(text: bytes, position: int, members: Mapping[str, object]) -> bytes:
    """The text with members at the start of the object that begins before this position."""
    empty = _END.match(text, position) is not None
    return b"%b%b%b%b" % (text[:position], orjson.dumps(members)[1:-1], b"" if empty else b",", text[position:])


def _start_of_meta(text: bytes) -> int | None:
    """Where the inside of the event's own `meta` begins."""
    depth = 0
    named = False
    for token in _TOKEN.finditer(text):
        first = text[token.start()]
        if first == 34:
            # At depth 1 a string is a name where a colon follows; the value of `meta` is no string.
            named = depth == 1 and _is_meta(token[0]) and _COLON.match(text, token.end()) is not None
        elif first in b"{[":
            if named:
                return token.end()
            depth += 1
        else:
            depth -= 1
    return None


def _is_meta(string: bytes) -> bool:
    return string == b'"meta"' or (b"\\" in string and orjson.loads(string) == "meta")
