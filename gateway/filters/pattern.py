"""Regular expressions, by RE2 (google-re2): linear in the text, in bounded memory, compiled once.

RE2 takes time for some patterns before it refuses them. The bounds here look at the pattern's text alone and come
first. Python's own `re` never sees a user's pattern: without RE2 there are no patterns.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from types import ModuleType
from typing import Any, NamedTuple

try:
    import re2 as _module
except ImportError:
    re2: ModuleType | None = None
else:
    re2 = _module

MOST_PATTERNS = 16
"""Constant ones in one filter: each holds `memory`."""


class PatternBounds(NamedTuple):
    """Bounds of a pattern. `length` is in characters. `classes` counts classes of Unicode, each of which takes RE2
    60 µs to read, wherever it stands. `repeats` is the sum of all repetitions (`{0,100}`), which RE2 writes out
    before it finds that there are too many. `instructions` are those of the program. `memory` is in bytes for one
    pattern: RE2 gives two thirds to its program, and the rest to the automata that it builds while it matches."""

    length: int
    classes: int
    repeats: int
    instructions: int
    memory: int


CONSTANT = PatternBounds(1_000, 40, 1_000, 2_000, 1 << 18)
"""Of a pattern that stands in the expression: compiled once, before the stream begins."""
DYNAMIC = PatternBounds(100, 2, 100, 2_000, 1 << 16)
"""Of a pattern that an event supplies: compiled in the time of the event."""
DYNAMIC_STEPS = 1_500
"""The cost of compiling such a pattern, whether it is known already or not: matches must not depend on that."""
_BYTES_A_STEP = 50
"""The cost of RE2's slowest engine, which it uses if an automaton does not fit into the memory. It looks at each
instruction for each byte: 2 ns at worst."""
_START_STEPS = 5

_CLASS = re.compile(r"\\[pP]|\[:")
_REPEAT = re.compile(r"\{([0-9]+)(?:,([0-9]*))?\}")
_TIED = re.compile(r"(?:\(\?i\))?\^(?:[^|*+{()\\]|\\[^pPQEC])*")
"""Tied to the beginning, and of no more characters than its program has instructions."""


class UnsuitablePattern(Exception):
    """It is no regular expression of RE2, or over a bound."""


class Pattern:
    """A compiled regular expression."""

    __slots__ = ("_instructions", "_match", "_reach", "text")

    def __init__(self, text: str, match: Callable[..., Any], instructions: int) -> None:
        self.text = text
        self._match = match
        self._instructions = instructions
        self._reach = instructions + 1 if _TIED.fullmatch(text) else 0
        """Characters from the beginning beyond which nothing counts; 0: all count."""

    def steps(self, text: str) -> int:
        """The cost of a search in the text, at worst. A character has four bytes at most."""
        length = min(len(text), self._reach) if self._reach else len(text)
        return _START_STEPS + (length if text.isascii() else 3 * length) * self._instructions // _BYTES_A_STEP

    def search(self, text: str) -> bool:
        """Whether it is found anywhere in the text."""
        encoded = encode(text[: self._reach] if self._reach else text)
        return bool(self._match(_anywhere(), encoded, 0, len(encoded))[0] != _NOWHERE)


_NOWHERE = (-1, -1)


@lru_cache(maxsize=1)
def _anywhere() -> Any:
    assert re2 is not None
    return re2._re2.RE2.Anchor.UNANCHORED


def encode(text: str) -> bytes:
    """In UTF-8; what is half of a character (a lone surrogate) becomes U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def compile_pattern(text: str, bounds: PatternBounds = CONSTANT) -> Pattern:
    """The pattern. Raises UnsuitablePattern with the reason, for the person who wrote it."""
    if re2 is None:
        raise UnsuitablePattern("this gateway has no regular expressions, since google-re2 is not installed")
    _check(text, bounds)
    options = re2.Options()
    options.max_mem = bounds.memory
    options.log_errors = False
    options.never_capture = True
    try:
        # Not by `re2.compile`, which keeps what it has compiled without a bound of ours.
        compiled = re2._Regexp(encode(text), options)
    except re2.error as error:
        said = error.args[0] if error.args else ""
        reason = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        raise UnsuitablePattern(f"the regular expression is invalid: {reason[:80]}") from None
    if compiled.programsize > bounds.instructions:
        raise UnsuitablePattern("the regular expression is too large once it is compiled")
    return Pattern(text, compiled._regexp.Match, max(1, compiled.programsize))


def _check(text: str, bounds: PatternBounds) -> None:
    if len(text) > bounds.length:
        raise UnsuitablePattern(f"the regular expression has more than {bounds.length:,} characters")
    if len(_CLASS.findall(text)) > bounds.classes:
        raise UnsuitablePattern(f"the regular expression has more than {bounds.classes} classes of characters")
    repeats = sum(int((found[2] or found[1])[:6]) for found in _REPEAT.finditer(text))
    if repeats > bounds.repeats:
        raise UnsuitablePattern(f"the regular expression repeats more than {bounds.repeats:,} times")


def dynamic_pattern(text: str) -> Pattern | None:
    """The pattern that an event supplies; None where it is none, or over a bound."""
    # By its length first: the cache would keep what it refuses, and an event may have megabytes of text.
    return _short_pattern(text) if len(text) <= DYNAMIC.length else None


@lru_cache(maxsize=256)
def _short_pattern(text: str) -> Pattern | None:
    try:
        return compile_pattern(text, DYNAMIC)
    except UnsuitablePattern:
        return None
