"""Splits the text of an expression into tokens (cel-spec, doc/langdef.md, "Syntax"), in linear time on any text."""

from __future__ import annotations

import re
from typing import NamedTuple

from gateway.errors import InvalidExpression

MOST_TOKENS = 8_192
"""The most tokens. No text within the usual bound has this many; a longer one needs longer words."""
LONGEST_QUOTE = 60
"""Characters of the text that a complaint repeats."""


class Token(NamedTuple):
    """`position` in characters, from 0. `kind`: string, double, uint, int, name, quoted, sign or end."""

    kind: str
    text: str
    position: int


# Each character has one way to match, so that a string that is not closed is found out in one pass and back. Where a
# class repeats, what has matched is not given back (`*+`); with groups Python 3.11.2 would match wrongly then.
_TOKEN = re.compile(
    r'''
    (?P<space>  [ \t\n\r\f]++ | //[^\n]*+ )
  | (?P<string> (?: [bB]?[rR]? ) (?: """ | \'\'\' | " | \' ) )
  | (?P<double> [0-9]++\.[0-9]++(?:[eE][+-]?[0-9]++)? | [0-9]++[eE][+-]?[0-9]++ | \.[0-9]++(?:[eE][+-]?[0-9]++)? )
  | (?P<uint>   (?:0x[0-9a-fA-F]++|[0-9]++)[uU] )
  | (?P<int>    0x[0-9a-fA-F]++|[0-9]++ )
  | (?P<name>   [A-Za-z_][A-Za-z0-9_]*+ )
  | (?P<quoted> `[A-Za-z0-9_.\-/\ ]++` )
  | (?P<sign>   && | \|\| | [=!<>]= | [-+*/%!<>?:.,()\[\]{}] )
    ''',
    re.VERBOSE,
)
_REST = {
    ('"""', False): re.compile(r'(?:[^\\"]|\\.|"(?!""))*"""', re.DOTALL),
    ("'''", False): re.compile(r"(?:[^\\']|\\.|'(?!''))*'''", re.DOTALL),
    ('"', False): re.compile(r'(?:[^\\"\n\r]|\\[^\n\r])*"'),
    ("'", False): re.compile(r"(?:[^\\'\n\r]|\\[^\n\r])*'"),
    ('"""', True): re.compile(r'(?:[^"]|"(?!""))*"""', re.DOTALL),
    ("'''", True): re.compile(r"(?:[^']|'(?!''))*'''", re.DOTALL),
    ('"', True): re.compile(r'[^"\n\r]*+"'),
    ("'", True): re.compile(r"[^'\n\r]*+'"),
}
"""The continuation after the opening of a string, by the opening and whether it is raw."""
_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\?\"'`])|[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7][0-7])|())", re.DOTALL
)
_SIMPLE = dict(zip("abfnrtv", "\a\b\f\n\r\t\v", strict=True))
_MEANT = {
    "=": "'=='",
    "&": "'&&'",
    "|": "'||'",
    ";": "'&&'",
    "~": "'.matches(…)'",
    **dict.fromkeys("“”„‘’«»", "a straight quote"),
}
"""What people write for something else, and that."""


def place(text: str, position: int) -> tuple[int, int]:
    """Line and column, from 1. Lines end at LF."""
    before = text[:position]
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def refusal(text: str, position: int, reason: str) -> InvalidExpression:
    """Why the text is no filter, with the place."""
    return InvalidExpression(reason, *place(text, position))


def shorten(quoted: str) -> str:
    """As much of it as a complaint repeats."""
    return quoted if len(quoted) <= LONGEST_QUOTE else quoted[: LONGEST_QUOTE - 1] + "…"


def tokens(text: str) -> list[Token]:
    """Without spaces and comments; the last is the end. Raises InvalidExpression."""
    found: list[Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise refusal(text, position, _not_understood(text[position : position + 2]))
        kind, end = match.lastgroup or "", match.end()
        if kind == "string":
            opening = match.group().lstrip("bBrR")
            rest = _REST[opening, "r" in match.group().lower()].match(text, end)
            if rest is None:
                raise refusal(text, position, "a string is not closed")
            end = rest.end()
        if kind != "space":
            found.append(Token(kind, text[position:end], position))
            if len(found) > MOST_TOKENS:
                raise refusal(text, position, f"the expression has more than {MOST_TOKENS:,} words and signs")
        position = end
    found.append(Token("end", "", len(text)))
    return found


def _not_understood(characters: str) -> str:
    character = characters[0]
    if not character.isprintable() or character.isspace():
        return f"the character U+{ord(character):04X} is not understood here"
    meant = _MEANT["~"] if characters == "=~" else _MEANT.get(character)
    hint = f"; did you mean {meant}?" if meant else ""
    return f"'{character}' is not understood here{hint}"


def string_value(text: str, token: Token) -> str | bytes:
    """The value of the literal. Raises InvalidExpression for an unknown escape."""
    body = token.text.lstrip("bBrR")
    prefix = token.text[: len(token.text) - len(body)].lower()
    quote = 3 if body[:3] in {'"""', "'''"} and len(body) >= 6 else 1
    body = body[quote:-quote]
    as_bytes = "b" in prefix
    if "r" in prefix or "\\" not in body:
        return body.encode() if as_bytes else body
    pieces: list[str | bytes] = []
    end = 0
    for match in _ESCAPE.finditer(body):
        piece = _escape(match, as_bytes)
        if piece is None:
            raise refusal(text, token.position, "a string holds an invalid escape")
        pieces += [body[end : match.start()], piece]
        end = match.end()
    pieces.append(body[end:])
    if as_bytes:
        return b"".join(piece.encode() if isinstance(piece, str) else piece for piece in pieces)
    return "".join(map(str, pieces))


def _escape(match: re.Match[str], as_bytes: bool) -> str | bytes | None:
    simple, octet, short, long, octal, wrong = match.groups()
    if wrong is not None:
        return None
    if simple:
        return _SIMPLE.get(simple, simple)
    code = int(octal, 8) if octal else int(octet or short or long, 16)
    if (short or long) and (as_bytes or code > 0x10FFFF or 0xD800 <= code <= 0xDFFF):
        return None
    return bytes([code]) if as_bytes else chr(code)


def canonical_text(found: list[Token]) -> str:
    """The same tokens with spaces in fixed places. Two valid texts with the same tokens have the same meaning. Two
    with the same meaning may still differ (`a && b`, `b && a`), which only costs a shared evaluation."""
    parts: list[str] = []
    before: Token | None = None
    for token in found:
        if before is not None and token.kind != "end" and not _tight(before, token):
            parts.append(" ")
        parts.append(token.text)
        before = token
    return "".join(parts)


_NUMBERS = frozenset({"int", "uint", "double"})


def _tight(left: Token, right: Token) -> bool:
    """Whether the two read the same without a space between them. Never beside a number: `1 .a` is not `1.a`."""
    if left.kind in _NUMBERS or right.kind in _NUMBERS:
        return left.text in {"(", "["} or right.text in {")", "]", ","}
    if left.text in {"(", "[", "."} or right.text in {")", "]", ",", "."}:
        return True
    if left.text == "!":
        return right.kind == "name"
    return right.text in {"(", "["} and (left.text in {")", "]"} or (left.kind == "name" and left.text != "in"))
