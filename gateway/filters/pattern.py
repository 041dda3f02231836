"""What a regular expression costs, from its text alone (RE2 syntax: github.com/google/re2/wiki/Syntax).

RE2 runs in time linear in the text, but linear also in the compiled pattern, and the pattern is compiled again at each
evaluation. `[a-z]{1000}` is short to write and long to run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

UNICODE_CLASS_COST = 10_000.0
r"""Compiling `\pL` takes about a millisecond: hundreds of ranges in UTF-8."""
COMPILE_COST = 25.0
INSTRUCTION_COST = 2.0
STATE_COST = 0.3
"""For each character of the text and each position of the pattern where both are at their worst."""
NOMINAL_TEXT = 1_000.0
_LITERAL_SHARE = 0.3
"""Plain characters mostly exclude each other: few of their positions are alive at once."""
_LARGE = 1e12

_REPEAT = re.compile(r"\{(\d+)(?:,(\d*))?\}")
_ESCAPE = re.compile(r"\\(?:[pP](?:\{[^}]*\}|.)|x\{[^}]*\}|x..|Q.*?(?:\\E|$)|[0-7]{1,3}|.)", re.DOTALL)
_CLASS = re.compile(r"\[\^?\]?(?:\[:[^\]]*:\]|\\[pP]\{[^}]*\}|\\.|[^\]\\])*\]?", re.DOTALL)
_GROUP_OPENING = re.compile(r"\((?:\?(?:P?<[^>]*>|[a-zA-Z-]*[:)])?)?")
_UNICODE_CLASS = re.compile(r"\\[pP]")


@dataclass(slots=True)
class _Size:
    """`compile` in units of cost; `positions` weighed; `instructions` in the compiled program."""

    compile: float = 0.0
    positions: float = 0.0
    instructions: float = 0.0

    def add(self, other: _Size) -> None:
        self.compile += other.compile
        self.positions += other.positions
        self.instructions += other.instructions

    def times(self, count: int) -> None:
        self.compile = min(_LARGE, self.compile * count)
        self.instructions = min(_LARGE, self.instructions * count)
        # Repeated, plain characters no longer exclude each other.
        self.positions = min(_LARGE, max(self.positions, self.instructions / count) * count)


def pattern_cost(pattern: str) -> float:
    """The worst cost of one match against a text of nominal length, in the units of cost.py. An invalid pattern gets
    some cost too: RE2 is the judge of that."""
    total = _size(pattern)
    run = STATE_COST * total.positions * min(NOMINAL_TEXT, total.positions)
    return COMPILE_COST + total.compile + INSTRUCTION_COST * total.instructions + run


def _size(pattern: str) -> _Size:
    groups = [_Size()]
    last = _Size()
    at = 0
    while at < len(pattern):
        character = pattern[at]
        repeat = _REPEAT.match(pattern, at) if character == "{" else None
        if repeat is not None:
            _subtract(groups[-1], last)
            last.times(max(1, int(repeat[1][:6]), int((repeat[2] or "0")[:6])))
            groups[-1].add(last)
            at = repeat.end()
            continue
        if character == ")" and len(groups) > 1:
            last = groups.pop()
            groups[-1].add(last)
            at += 1
            continue
        if character == "(":
            opening = _GROUP_OPENING.match(pattern, at)
            at = opening.end() if opening else at + 1
            if not pattern[:at].endswith(")"):
                groups.append(_Size())
            last = _Size()
            continue
        last, at = _atom(pattern, at)
        groups[-1].add(last)
    while len(groups) > 1:
        left_open = groups.pop()
        groups[-1].add(left_open)
    return groups[0]


def _subtract(group: _Size, atom: _Size) -> None:
    group.add(_Size(-atom.compile, -atom.positions, -atom.instructions))


def _atom(pattern: str, at: int) -> tuple[_Size, int]:
    character = pattern[at]
    if character == "\\":
        escape = _ESCAPE.match(pattern, at)
        text = escape.group() if escape else character
        if text[1:2] in {"p", "P"}:
            return _Size(UNICODE_CLASS_COST, 1.0, 10.0), at + len(text)
        if text[1:2] == "Q":
            return _Size(0.0, len(text) * _LITERAL_SHARE, float(len(text))), at + len(text)
        return _Size(0.0, 1.0, 1.0), at + len(text)
    if character == "[":
        found = _CLASS.match(pattern, at)
        text = found.group() if found else character
        wide = text.startswith("[^") or not text.isascii()
        unicode_classes = len(_UNICODE_CLASS.findall(text))
        return _Size(unicode_classes * UNICODE_CLASS_COST, 1.0, len(text) + (10.0 if wide else 1.0)), at + len(text)
    if character == ".":
        return _Size(0.0, 1.0, 10.0), at + 1
    if character in "*+?|^$":
        return _Size(0.0, 0.1, 1.0), at + 1
    return _Size(0.0, _LITERAL_SHARE, 1.0 if character.isascii() else 4.0), at + 1
