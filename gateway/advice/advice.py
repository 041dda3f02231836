"""Advice about a request: it refuses nothing, since events may be wider than their schema. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from gateway.filters.lexer import LONGEST_QUOTE, shorten
from gateway.schemas.reading import Reading

MOST_ADVICE = 8
"""Mistakes of one request that are told."""
LONGEST_ADVICE = 400
"""Characters of one."""
_MOST_PATHS = 300
"""Members of a schema among which a name is looked for."""
_DEEPEST = 4
_MOST_TEXTS = 5
"""Texts that a member may be, which are named."""


class Advice(NamedTuple):
    """What stands at a place of a parameter and cannot be right; line and column count from 1."""

    parameter: str
    line: int
    column: int
    detail: str

    def __str__(self) -> str:
        return f"{self.parameter}: line {self.line}, column {self.column}: {self.detail}"

    @property
    def header(self) -> bytes:
        """The same in ASCII: what is none stands as JSON's escape (`\\u00e4`), and so does a backslash."""
        return ascii_text(str(self)[:LONGEST_ADVICE]).encode("ascii")


def ascii_text(text: str) -> str:
    """A text in printable ASCII, with JSON's escapes of four digits for all else."""
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text
    units = text.encode("utf-16-be", "surrogatepass")
    codes = [units[at] << 8 | units[at + 1] for at in range(0, len(units), 2)]
    return "".join(chr(code) if 0x20 <= code < 0x7F and code != 0x5C else f"\\u{code:04x}" for code in codes)


def unknown_member(name: str, holder: Reading, where: str, root: Reading) -> str:
    """That no schema has a member of this name; `where` is what should have it, such as `event.meta`."""
    close = difflib.get_close_matches(name[:LONGEST_QUOTE], list(holder.fields)[:_MOST_PATHS], 2, 0.6)
    meant = [_joined(where, one) for one in close] or _elsewhere(name, root)
    hint = f"; did you mean {' or '.join(map(shorten, meant))}?" if meant else ""
    return f"no schema of these streams has {shorten(_joined(where, name))}{hint}"


def never(where: str, shown: str, text: str, texts: frozenset[str]) -> str:
    """That a member has one of some texts, and never this one."""
    close = difflib.get_close_matches(text[:LONGEST_QUOTE], sorted(texts)[:_MOST_PATHS], 2, 0.6)
    named = close or sorted(texts)[:_MOST_TEXTS]
    words = " or ".join(f'"{shorten(one)}"' for one in named)
    more = "" if close or len(texts) <= _MOST_TEXTS else " or others"
    return f"{shorten(where)} is never {shown}; {f'did you mean {words}?' if close else f'it is {words}{more}'}"


def _joined(where: str, name: str) -> str:
    if name.isidentifier():
        return f"{where}.{name}" if where else name
    return f'{where}["{name}"]' if where.startswith("event") else f"{where}.{name}" if where else name


def _elsewhere(name: str, root: Reading) -> list[str]:
    """Members of that name at other places."""
    found = [path for path in _paths(root, "event", _DEEPEST) if path.rpartition(".")[2] == name]
    return found[:2]


def _paths(reading: Reading, above: str, depth: int) -> Iterator[str]:
    """The paths of members, at most so deep and so many."""
    waiting: list[tuple[Mapping[str, Reading], str, int]] = [(reading.fields, above, depth)]
    left = _MOST_PATHS
    while waiting:
        fields, above, depth = waiting.pop(0)
        for name, part in fields.items():
            left -= 1
            if left < 0:
                return
            yield f"{above}.{name}"
            if depth > 1 and part.fields:
                waiting.append((part.fields, f"{above}.{name}", depth - 1))


def kinds_of(reading: Reading) -> str:
    """The types of a value, for people."""
    words = {"string": "a text", "integer": "a whole number", "number": "a number", "boolean": "true or false",
             "array": "a list", "object": "an object", "null": "null", "timestamp": "a time",
             "duration": "a span of time"}  # fmt: skip
    return " or ".join(words[kind] for kind in sorted(reading.kinds or ()) if kind in words) or "anything"
