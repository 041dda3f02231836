"""Finds events that are not one a line: the elements of JSON arrays, and objects that take several lines. Pure.

Only brackets, texts and what separates values are looked at, so that an event is found as soon as it ends, and nothing
but this event is held. Whether it is JSON is for who reads it.
"""

from __future__ import annotations

import re

from gateway.produce.entry import MAXIMUM_BYTES, Entry, Holder

_SPACE = re.compile(rb"[ \t\r\n]*")
_BRACKET = re.compile(rb'["\[\]{}]')
_TEXT = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
"""The rest of a text, up to its closing quote or a backslash at the very end."""
_BARE = re.compile(rb'[^ \t\r\n,"\[\]{}]*')
"""The rest of a number, or of a word."""


def are_lines(beginning: bytes) -> bool | None:
    """Whether an input that begins like this has one event a line; None where that cannot be told yet: it is told by
    its first line that is not empty. An array is not lines, and neither is an object that the line does not end."""
    text = beginning.lstrip()
    if not text.startswith(b"{"):
        return not text.startswith(b"[") if text else None
    line, end, _ = text.partition(b"\n")
    return not line.rstrip().endswith((b"{", b",", b"[")) if end else None


class ValueSplitter:
    """Bytes in, events out: values that follow each other, and the elements of arrays. Their number counts from 1, over
    all of the input."""

    fault: str | None = None
    """Why the input cannot be read on."""

    def __init__(self, maximum: int = MAXIMUM_BYTES) -> None:
        self._held = Holder(maximum)
        self._number = 0
        self._line = 1
        self._begun_at = 1
        self._in_array = False
        self._separated = True
        """Whether a value may begin here; in an array a comma comes before."""
        self._trailing = False
        """Whether a comma came last."""
        self._depth = 0
        self._kind = b""
        """What is under way: `"` a text, `{` an object or an array, `0` anything else."""
        self._quoted = False
        """Within a text."""
        self._escaped = False

    def feed(self, chunk: bytes) -> list[Entry]:
        """The values that these bytes end."""
        found: list[Entry] = []
        position = counted = 0
        while position < len(chunk) and self.fault is None:
            begin = position
            if not self._kind:
                begin = position = self._skip(chunk, position)
                self._line += chunk.count(b"\n", counted, begin)
                counted = begin
                if position == len(chunk):
                    break
                if not self._begin(chunk[position : position + 1]):
                    position += 1
                    continue
                self._begun_at = self._line
            position, ended = self._go_on(chunk, position)
            self._held.keep(chunk[begin:position])
            if ended:
                found.append(self._entry())
        self._line += chunk.count(b"\n", counted)
        return found

    def finish(self) -> list[Entry]:
        """The last value, where nothing but the end of the input ends it."""
        found = [self._entry()] if self._kind == b"0" else []
        if self.fault is None and self._kind:
            self.fault = f"line {self._begun_at}: the event that begins here does not end"
        elif self.fault is None and self._in_array:
            self.fault = f"line {self._line}: the array does not end"
        return found

    def _skip(self, chunk: bytes, position: int) -> int:
        match = _SPACE.match(chunk, position)
        assert match is not None
        return match.end()

    def _begin(self, sign: bytes) -> bool:
        """Take the first byte behind a value, or behind what separates values; whether a value begins with it."""
        if self._in_array and sign in b",]":
            if sign == b"," and not self._separated:
                self._separated = self._trailing = True
            elif sign == b"]" and not self._trailing:
                self._in_array, self._separated = False, True
            else:
                self.fault = f"line {self._line}: an event is missing before {sign.decode()!r}"
            return False
        if not self._separated:
            self.fault = f"line {self._line}: neither a comma nor the end of the array follows the event"
        elif sign == b"[" and not self._in_array:
            self._in_array = True
        elif sign in b"]},":
            self.fault = f"line {self._line}: no event begins with {sign.decode()!r}"
        else:
            self._separated, self._trailing = not self._in_array, False
            self._kind = b"{" if sign in b"{[" else sign if sign == b'"' else b"0"
            return True
        return False

    def _go_on(self, chunk: bytes, position: int) -> tuple[int, bool]:
        """Pass over the value that is under way; where that ends, and whether the value does."""
        if self._kind == b"0":
            match = _BARE.match(chunk, position)
            assert match is not None
            return match.end(), match.end() < len(chunk)
        while position < len(chunk):
            if self._quoted:
                position = self._behind_text(chunk, position)
            else:
                match = _BRACKET.search(chunk, position)
                if match is None:
                    return len(chunk), False
                position = match.end()
                if match[0] == b'"':
                    self._quoted = True
                    continue
                self._depth += 1 if match[0] in b"{[" else -1
            if self._depth == 0 and not self._quoted:
                return position, True
        return position, False

    def _behind_text(self, chunk: bytes, position: int) -> int:
        """Pass over the rest of a text, as far as it is there."""
        if self._escaped:
            self._escaped = False
            position += 1
        match = _TEXT.match(chunk, position)
        assert match is not None
        end = match.end()
        if end == len(chunk):
            return end
        self._escaped = chunk[end : end + 1] == b"\\"
        self._quoted = self._escaped
        return end + 1

    def _entry(self) -> Entry:
        self._number += 1
        self._kind = b""
        data, length = self._held.take()
        return Entry(self._number, data, length, self._begun_at)
