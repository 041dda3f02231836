"""Reads a stored value as an event: one JSON object in UTF-8 (RFC 8259).

orjson is the fast path. It refuses some texts that RFC 8259 allows: a lone surrogate escape (section 8.2), a number
beyond a double (section 6), long runs of brackets. The standard library reads these again, strictly.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from itertools import accumulate
from typing import Any, NoReturn

from gateway.errors import BadRecord
from gateway.json_text import integer, loads

MAXIMUM_DEPTH = 256
"""How many objects and arrays may lie in each other; the event itself is the first. RFC 8259 section 9 allows a bound.
Far below the recursion limits of the interpreter and of the C++ code that evaluates filters."""

# The pattern never fails once a quote has been met (a string that is not closed reaches to the end), so that a scan
# takes linear time on any bytes.
_STRING = re.compile(rb'"[^"]*"?')
_AS_BRACES = bytes.maketrans(b"[]", b"{}")
_NOT_BRACKETS = bytes(sorted(set(range(256)) - set(b'{}[]"')))
_STEP = [0] * 256
_STEP[ord("{")], _STEP[ord("}")] = 1, -1
_PART = 65_536
"""Brackets that are looked at in one step: between two of them another thread may run."""
_PEELED = 8
"""Levels that are counted by taking away all that is empty: most events have no more."""
_OBJECT, _ARRAY, _MEMBER, _VALUE = 184, 64, 100, 60
"""Bytes of CPython's objects: a dict with its first members, a list, another member, and a string or number with its
reference."""
_WIDEST = 4
"""Bytes of each character of a string of which one is beyond the Basic Multilingual Plane."""
_LINE_BREAKS = bytes.maketrans(b"\r\n", b"  ")


def nesting(value: bytes) -> int:
    """How deep the objects and arrays of a JSON text lie in each other: 0 for a scalar, 1 for `{}`."""
    if b"\\" in value:
        value = value.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Strings without brackets are empty now, and most are. Where one ends beside the next, both become one.
    brackets = value.translate(_AS_BRACES, _NOT_BRACKETS).replace(b'""', b"")
    brackets = _STRING.sub(b"", brackets)
    peeled = 0
    while brackets and peeled < _PEELED:
        brackets = brackets.replace(b"{}", b"")
        peeled += 1
    deepest = depth = 0
    for start in range(0, len(brackets), _PART):
        depths = list(accumulate(map(_STEP.__getitem__, brackets[start : start + _PART]), initial=depth))
        deepest, depth = max(deepest, *depths), depths[-1]
    return peeled + deepest


def nested_beyond(value: bytes, depth: int) -> bool:
    """Whether the objects and arrays of a JSON text lie deeper in each other than this."""
    # Opening brackets are counted first: enough for nearly every event. `replace` finds them with memchr, and takes a
    # quarter of the time of `count`.
    openings = 2 * len(value) - len(value.replace(b"{", b"")) - len(value.replace(b"[", b""))
    return openings > depth and nesting(value) > depth


def parse_event(value: bytes | None) -> dict[str, Any]:
    """The event that a stored value holds, or `BadRecord` with the reason.

    A number without fraction or exponent is an int, at least when it lies within signed 64 bits; beyond, it may be a
    float already. Any other is a float (infinite where it is too large). Strings may hold lone surrogates. Of a name
    that occurs twice in an object, the last counts.
    """
    value = bounded(value)
    try:
        event = loads(value)
    except ValueError:
        event = _STRICT.parse(value)
    if type(event) is not dict:
        raise BadRecord(f"not a JSON object but {_kind(event)}")
    return event


def parse_again(value: bytes | None) -> dict[str, Any]:
    """`parse_event` of a value that was found to be an event before: its nesting is not looked at once more."""
    if value is not None:
        with suppress(ValueError):
            event: dict[str, Any] = loads(value)
            return event
    return parse_event(value)


def parsed_size(value: bytes) -> int:
    """The most bytes, roughly, that the event of a stored value takes once it is parsed: up to 25 times the value.
    Counts the signs of objects, arrays, members and values, even in strings; 1 ms for a megabyte."""
    text = len(value) if value.isascii() else _WIDEST * len(value)
    objects, arrays, members = value.count(b"{"), value.count(b"["), value.count(b":")
    values = value.count(b",") + objects + arrays
    return text + _OBJECT * objects + _ARRAY * arrays + _MEMBER * members + _VALUE * values


def bounded(value: bytes | None) -> bytes:
    """The value. Raises `BadRecord` where there is none, or it is nested too deep."""
    if value is None:
        raise BadRecord("a tombstone: the record has no value")
    if nested_beyond(value, MAXIMUM_DEPTH):
        raise BadRecord(f"nested more than {MAXIMUM_DEPTH} deep")
    return value


def is_canary(event: dict[str, Any]) -> bool:
    """Whether the event is there only to show that its stream is alive: `meta.domain` is `canary`."""
    meta = event.get("meta")
    return isinstance(meta, dict) and meta.get("domain") == "canary"


def one_line(value: bytes) -> bytes:
    """A JSON text on one line. In valid JSON, raw CR and LF stand only between tokens (RFC 8259 section 7). So
    spaces in their place change nothing, and the length stays the same."""
    if 10 in value or 13 in value:  # Looking for a number is four times as fast as looking for bytes.
        return value.translate(_LINE_BREAKS)
    return value


class StrictDecoder:
    """The standard library's decoder held to RFC 8259, with its own way to read numbers."""

    def __init__(self, integer: Any, fraction: Any) -> None:
        self._decoder = json.JSONDecoder(parse_int=integer, parse_float=fraction, parse_constant=_refuse_constant)

    def parse(self, value: bytes) -> Any:
        """The caller has bounded the nesting: the decoder recurses."""
        try:
            # `decode`, not `json.loads`: that would guess UTF-16 and UTF-32.
            return self._decoder.decode(value.decode())
        except UnicodeDecodeError as error:
            raise BadRecord(f"not UTF-8: {error.reason} at byte {error.start}") from None
        except json.JSONDecodeError as error:
            if value.startswith(b"\xef\xbb\xbf"):
                raise BadRecord("not JSON: it begins with a byte order mark") from None
            raise BadRecord(f"not JSON: {error.msg} at character {error.pos}") from None
        except RecursionError:
            raise BadRecord("nested too deep") from None


def _refuse_constant(name: str) -> NoReturn:
    raise BadRecord(f"not JSON: {name} is not a number")


def _kind(value: object) -> str:
    if isinstance(value, list):
        return "an array"
    if isinstance(value, str):
        return "a string"
    if value is None:
        return "null"
    return "a boolean" if isinstance(value, bool) else "a number"


_STRICT = StrictDecoder(integer, float)
