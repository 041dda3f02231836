"""What the C++ library says about an expression, in one sentence for the person who wrote it."""

from __future__ import annotations

import re
from difflib import get_close_matches

VARIABLES = ("event", "topic", "partition", "offset", "timestamp", "key")

_ERROR = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*?)(?=\n \||\nERROR:| \[[A-Z_]+\]\s*$|\Z)", re.DOTALL)
_OPERATORS = re.compile(r"^[@_]*([^\w@]+|in)_?(?:\]|_)?$")
_TRAILING_CODE = re.compile(r"\s*\[[A-Z_]+\]\s*$")
_STATUS = re.compile(r"^(?:[A-Z_]+: )+")
_LONGEST_QUOTE = 60
_LONGEST_MESSAGE = 20_000
_UNKNOWN = re.compile(r"undeclared reference to '([^'.]*)(.*?)'", re.DOTALL)


def complaint(message: str, text: str) -> tuple[str, int, int]:
    """The sentence, the line and the column (both from 1)."""
    # The library quotes the whole line for each of its errors; the first ones are enough.
    for found in _ERROR.finditer(message[:_LONGEST_MESSAGE]):
        line, column = int(found[1]), int(found[2])
        if line >= 1:
            column = _start_of_name(found[3], text, line, max(1, column))
            return _sentence(found[3], text, line, column), line, column
    rest = _TRAILING_CODE.sub("", _STATUS.sub("", message.split("\n", 1)[0])).strip()
    return rest or "the expression cannot be read", 1, 1


def is_about_depth(message: str) -> bool:
    return "recursion limit exceeded" in message or "max recursion depth" in message


def place(text: str, position: int) -> tuple[int, int]:
    """Line and column, from 1, of a position in characters from 0. Lines end at LF, as in the library."""
    before = text[: max(0, position)]
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def shorten(quoted: str) -> str:
    return quoted if len(quoted) <= _LONGEST_QUOTE else quoted[: _LONGEST_QUOTE - 1] + "…"


def _sentence(said: str, text: str, line: int, column: int) -> str:
    said = said.strip()
    if said.startswith("Syntax error: "):
        return _syntax(said.removeprefix("Syntax error: "))
    if found := _UNKNOWN.match(said):
        return _unknown(found[1] or found[2], text, line, column)
    if found := re.match(r"found no matching overload for '(.*?)' applied to '(.*)'", said, re.DOTALL):
        return _overload(found[1], found[2])
    return shorten(" ".join(said.split()).replace("(in container '')", "").strip())


def _start_of_name(said: str, text: str, line: int, column: int) -> int:
    """The library places an unknown `a.b` at its dot; the reader looks for it at the `a`."""
    found = _UNKNOWN.match(said.strip())
    here = text.split("\n")[line - 1][:column]
    if found and found[2] and here.endswith("."):
        start = here.rfind(found[1], 0, column - 1)
        return column if start < 0 else start + 1
    return column


def _syntax(said: str) -> str:
    if found := re.search(r"token recognition error at: '(.*)'$", said, re.DOTALL):
        if found[1].lstrip("bBrR")[:1] in {'"', "'"}:
            return "a string is not closed, or holds an invalid escape"
        unknown = found[1].strip(" \t\r\n")
        if not unknown.isprintable():
            return f"the character U+{ord(unknown[0]):04X} is not understood here"
        return f"'{shorten(unknown)}' is not understood here"
    found = re.search(r"(?:input|missing .* at) '(.*?)'(?: expecting|$)", said, re.DOTALL)
    if found is None:
        return "the syntax is not understood here"
    if found[1] == "<EOF>":
        return "the expression ends too early"
    return f"'{shorten(found[1])}' is not expected here"


def _unknown(name: str, text: str, line: int, column: int) -> str:
    lines = text.split("\n")
    here = lines[line - 1][column - 1 :] if line <= len(lines) else ""
    quoted = shorten(name)
    if here.startswith("("):
        return f"there is no function '{quoted}' for these arguments"
    close = get_close_matches(name[:_LONGEST_QUOTE], VARIABLES, 1)
    hint = f"did you mean '{close[0]}'?" if close else f"an expression sees {', '.join(VARIABLES)}"
    return f"there is no variable '{quoted}': {hint}"


def _overload(function: str, arguments: str) -> str:
    operands = arguments.strip("()").split(", ")
    receiver = re.match(r"(.*?)\.?\((.*)\)$", arguments)
    if function == "_?_:_":
        return f"the condition of '? :' and its two values do not fit: {shorten(arguments)}"
    if function == "_[_]":
        return f"[ ] cannot be applied to {shorten(' and '.join(operands))}"
    if found := _OPERATORS.match(function):
        return f"'{found[1]}' cannot be applied to {shorten(' and '.join(operands))}"
    shown = arguments if receiver is None else f"{receiver[1]}({receiver[2]})".lstrip(".")
    return f"{function}() cannot be applied to {shorten(shown)}"
