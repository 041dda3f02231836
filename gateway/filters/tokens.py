"""The tokens of an expression's text (cel-spec, doc/langdef.md, "Syntax"), as far as two things need them: how deep
brackets lie in each other before the parser sees the text, and the canonical text under which equal filters share."""

from __future__ import annotations

import re
from typing import NamedTuple

# Triple quotes come first: the longest token wins. A raw string has no escapes. What fits nothing is one character.
_TOKEN = re.compile(
    r'''
    (?P<space>  [ \t\n\r\f]+ | //[^\n]* )
  | (?P<string>
        [bB]?[rR](?: """.*?""" | \'\'\'.*?\'\'\' | "[^"\n\r]*" | '[^'\n\r]*' )
      | [bB]?(?: """(?:[^\\]|\\.)*?""" | \'\'\'(?:[^\\]|\\.)*?\'\'\'
               | "(?:[^"\\\n\r]|\\.)*" | '(?:[^'\\\n\r]|\\.)*' ) )
  | (?P<number> 0x[0-9a-fA-F]+[uU]? | [0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?[uU]? | \.[0-9]+(?:[eE][+-]?[0-9]+)? )
  | (?P<name>   [A-Za-z_][A-Za-z0-9_]* | `[^`\n\r]*` )
  | (?P<sign>   && | \|\| | [=!<>]= | . )
    ''',
    re.VERBOSE | re.DOTALL,
)


class Token(NamedTuple):
    kind: str
    text: str
    position: int
    """In characters, from 0."""


def tokens(text: str) -> list[Token]:
    """Without spaces and comments. Takes linear time but for unclosed triple quotes, and the length is bounded."""
    return [
        Token(match.lastgroup or "sign", match.group(), match.start())
        for match in _TOKEN.finditer(text)
        if match.lastgroup != "space"
    ]


def too_deep(found: list[Token], bound: int) -> Token | None:
    """The first bracket that lies in more than `bound` others (itself counted)."""
    depth = 0
    for token in found:
        if token.kind == "sign":
            if token.text in "([{":
                depth += 1
                if depth > bound:
                    return token
            elif token.text in ")]}":
                depth -= 1
    return None


def canonical_text(found: list[Token]) -> str:
    """The same tokens with spaces in fixed places. Two valid texts with the same tokens have the same meaning; two with
    the same meaning may still differ (`a && b`, `b && a`), which costs a shared evaluation and nothing else."""
    parts: list[str] = []
    before: Token | None = None
    for token in found:
        if before is not None and not _tight(before, token):
            parts.append(" ")
        parts.append(token.text)
        before = token
    return "".join(parts)


def _tight(left: Token, right: Token) -> bool:
    """Whether the two read the same without a space between them. Never beside a number: `1 .a` is not `1.a`."""
    if "number" in {left.kind, right.kind}:
        return left.text in {"(", "["} or right.text in {")", "]", ","}
    if left.text in {"(", "[", "."} or right.text in {")", "]", ",", "."}:
        return True
    if left.text == "!":
        return right.kind == "name"
    return right.text in {"(", "["} and (left.text in {")", "]"} or (left.kind == "name" and left.text != "in"))
