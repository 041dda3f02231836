"""Splits a body into the texts of its events, strictly (RFC 8259), without touching their bytes. Pure.

A mistake in one event concerns only that event, as long as its end can be found. Otherwise it concerns the body. The
fast path is for bodies as orjson, or Python's `json`, write them, which most are. Then no member stands in it twice,
and no number is too large. The standard library's decoder reads any other body, strictly.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, NoReturn

import orjson

from gateway.errors import GatewayError
from gateway.model.event import nested_beyond

MAXIMUM_DEPTH = 250
"""How many objects and arrays may lie in each other; orjson can write no more than 254."""

CHUNK_EVENTS = 100
CHUNK_BYTES = 256 * 1024
"""Events that are handed over together, up to either bound."""
_WINDOW = 65536
"""Characters that were read are forgotten in such parts: an error of the decoder counts lines from the start."""

_SNIFFED_BYTES = 200
"""Where the first names of a body stand."""

_SPACE = re.compile(r"[ \t\n\r]*")
# As in `json_event`: a string that is not closed reaches to the end, so that a scan takes linear time on anything.
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{},]', re.DOTALL)
_HUGE = re.compile(rb"[eE]\+?[0-9]{3}|[0-9]{300}")
"""Only a number with one of these can be too large for a double."""
_MARK = b"\xef\xbb\xbf"
_OTHER_MARKS = (b"\xff\xfe", b"\xfe\xff")
"""How UTF-16 and UTF-32 begin; neither byte is in any UTF-8."""


class BadBody(GatewayError):
    """A body that cannot be split into its events."""


class TooManyEvents(GatewayError):
    """A body with more events than it may have."""


class Piece(NamedTuple):
    """The text of one event as it came, and what it says; `fault` is why it says nothing."""

    text: bytes
    event: Any
    fault: str | None = None


class Fault(Exception):
    """The fault of one value, whether JSON allows it or not."""


def read_one(text: bytes) -> Piece:
    """An event that stands alone, as on a line."""
    try:
        event = orjson.loads(text)
        if _writer(text)(event) == text and _flat(text):
            return Piece(text, event)
    except (orjson.JSONDecodeError, TypeError, RecursionError):
        pass
    if text.startswith(_MARK):
        return Piece(text, None, "not JSON: it begins with a byte order mark")
    return _alone(text.decode("utf-8", "surrogateescape"), 0)


def split_plainly(body: bytes, maximum: int) -> list[Piece] | None:
    """The events of a body that one of the usual libraries would write in the same way; None for any other. Raises
    TooManyEvents."""
    try:
        value = orjson.loads(body)
        events = value if type(value) is list else [value]
        if not events:
            return None
        if len(events) > maximum:
            raise TooManyEvents
        write = _writer(body)
        texts = [write(event) for event in events]
    except (orjson.JSONDecodeError, TypeError, RecursionError):
        return None
    comma = b"," if write is orjson.dumps else b", "
    written = texts[0] if events is not value else b"[%b]" % comma.join(texts)
    return list(map(Piece, texts, events)) if written == body and all(map(_flat, texts)) else None


def _writer(body: bytes) -> Callable[[Any], bytes]:
    """The styles of writers: most programs write no spaces, as orjson does; Python's `json` does."""
    return _python if b'": ' in body[:_SNIFFED_BYTES] else orjson.dumps


def _python(value: Any) -> bytes:
    return json.dumps(value).encode()


def _flat(text: bytes) -> bool:
    return not nested_beyond(text, MAXIMUM_DEPTH)


def split_slowly(body: bytes, maximum: int) -> Iterator[list[Piece]]:
    """The events of any body, in chunks. Raises BadBody and TooManyEvents, perhaps after some chunks."""
    if body.startswith(_MARK):
        raise BadBody("the body begins with a byte order mark, which JSON does not have")
    if body.startswith(_OTHER_MARKS):
        raise BadBody("the body is UTF-16 or UTF-32; events are UTF-8")
    # A byte that is not UTF-8 becomes a lone surrogate, and so stays where it is, for the event it stands in.
    text = body.decode("utf-8", "surrogateescape")
    position = _skip(text, 0)
    if position == len(text):
        raise BadBody("the body is empty; send an event or an array of events")
    if text[position] != "[":
        yield [_alone(text, position)]
        return
    position = _skip(text, position + 1)
    if text.startswith("]", position):
        raise BadBody("the array is empty; send at least one event")
    pieces: list[Piece] = []
    size = 0
    for _ in range(maximum):
        piece, position = _next(text, position)
        pieces.append(piece)
        size += len(piece.text)
        if len(pieces) == CHUNK_EVENTS or size >= CHUNK_BYTES:
            yield pieces
            pieces, size = [], 0
        if not text.startswith(",", position):
            break
        position = _skip(text, position + 1)
        if position > _WINDOW:
            text, position = text[position:], 0
    else:
        raise TooManyEvents
    if not text.startswith("]", position):
        raise BadBody("the body is incomplete JSON: its array does not end")
    if _skip(text, position + 1) != len(text):
        raise BadBody("the body continues after the end of its array")
    if pieces:
        yield pieces


def _alone(text: str, position: int) -> Piece:
    """A body that is one event, or none."""
    try:
        event, end = _DECODER.raw_decode(text, position)
        if _skip(text, end) != len(text):
            raise Fault("not JSON: the body continues after the event; send several events as a JSON array")
    except _FAULTS as fault:
        return _faulty(text, position, len(text), fault)
    return _judged(text[position:end], event)


def _next(text: str, position: int) -> tuple[Piece, int]:
    """The next value of the array, and where the comma or the bracket behind it stands."""
    try:
        event, end = _DECODER.raw_decode(text, position)
        after = _skip(text, end)
        if text[after : after + 1] not in (",", "]"):
            raise Fault("not JSON: neither a comma nor the end of the array follows it")
    except _FAULTS as fault:
        after = _end_of_value(text, position)
        return _faulty(text, position, after, fault), after
    return _judged(text[position:end], event), after


def _judged(text: str, event: Any) -> Piece:
    """A value that the decoder took, looked at for what it does not see."""
    try:
        value = text.encode()
    except UnicodeEncodeError as error:
        offset = len(text[: error.start].encode("utf-8", "surrogateescape"))
        return Piece(text.encode("utf-8", "surrogateescape"), None, f"not UTF-8: byte {offset} of the event")
    return Piece(value, event, _beyond(value, event))


def _beyond(value: bytes, event: Any) -> str | None:
    """Faults of a value that is JSON, but exceeds what programs can be relied upon to read (RFC 8259 sections 6 to
    9)."""
    if not _flat(value):
        return f"nested more than {MAXIMUM_DEPTH} deep"
    try:
        orjson.dumps(event)
        if _HUGE.search(value) is not None:
            orjson.loads(value)
    except orjson.JSONDecodeError:
        return "it has a number that is too large for a double"
    except TypeError as error:
        if "surrogate" in str(error):
            return "it has a lone surrogate, which is not a character"
        return "it has an integer of more than 64 bits"
    return None


def _faulty(text: str, start: int, end: int, fault: Exception) -> Piece:
    value = text[start:end].rstrip(" \t\n\r").encode("utf-8", "surrogateescape")
    if isinstance(fault, json.JSONDecodeError):
        reason = f"not JSON: {fault.msg.removesuffix(' at')} at character {max(0, fault.pos - start)}"
    elif isinstance(fault, RecursionError):
        reason = f"nested more than {MAXIMUM_DEPTH} deep"
    elif isinstance(fault, Fault):
        reason = str(fault)
    else:
        # `int` takes no more than some thousands of digits.
        reason = "it has an integer of more than 64 bits"
    return Piece(value, None, reason)


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    assert match is not None
    return match.end()


def _end_of_value(text: str, position: int) -> int:
    """Where the comma or the bracket stands that ends a value which cannot be read: the first outside its brackets."""
    depth = 0
    for token in _TOKEN.finditer(text, position):
        character = token[0]
        if character in ("[", "{"):
            depth += 1
        elif depth == 0 and character in (",", "]"):
            return token.start()
        elif character in ("]", "}"):
            depth = max(0, depth - 1)
    return len(text)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        seen: set[str] = set()
        name = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise Fault(f"the member {name[:100]!r} appears twice in one object")
    return members


def _constant(name: str) -> NoReturn:
    raise Fault(f"not JSON: {name} is not a number")


_DECODER = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_constant)
_FAULTS = (ValueError, RecursionError, Fault)
