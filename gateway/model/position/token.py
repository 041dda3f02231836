"""The compact form of a position: a token that needs no escaping in a URL or a header.

    p1.  LLLL  head  slots  CCCCCCCC

Everything after `p1.` is digits of base64url. `LLLL` is the length of the head in groups of four. The head says which
partitions there are and how wide the slot of each is (`layout.py`). The slots follow in the same order.

The last eight digits are a checksum. The rest, with a 1 before it, is read as one number in base 64 and divided by a
prime: the remainder is the checksum. No change of one letter, and none within five neighbours, leaves the remainder the
same, because the difference is not a multiple of the prime. Other changes go unnoticed once in 2^48. The share of each
slot in the remainder is known by itself. So an id costs a copy, and as much work as has changed in it.
"""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Mapping, Sequence

from gateway.errors import InvalidPosition
from gateway.model.position.entry import Entry, RequestedPosition
from gateway.model.position.layout import (
    DIGIT_BITS,
    WIDE_DIGITS,
    Parts,
    Shape,
    fit,
    longest_head,
    parts_of,
    read_head,
    shape_for,
    write_head,
)
from gateway.model.record import TopicPartition

PREFIX = b"p1."
PRIME = 2**48 - 59
CHECK_DIGITS = 8
LENGTH_DIGITS = 4
WIDE_SHARE = 8
"""If more than one in this many partitions has got a wide slot since, the layout is made again."""

_TOKEN = re.compile(rb"p(\d{1,9})\.(.*)", re.DOTALL)
_DIGITS = re.compile(rb"[A-Za-z0-9_-]*")
_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_", b"+/")
_CHANGED = "it is a compact position that was cut or changed; send back the `id:` of the last event unchanged"


def is_token(text: bytes) -> bool:
    """Whether it is a compact position, or was meant to be one."""
    return _TOKEN.fullmatch(text) is not None


def parse_token(text: bytes) -> dict[TopicPartition, RequestedPosition]:
    """The entries, as those of the same position in JSON. Raises InvalidPosition."""
    found = _TOKEN.fullmatch(text)
    if found is None or not text.startswith(PREFIX):
        version = text[:20].split(b".")[0].decode(errors="replace")
        raise InvalidPosition(
            f"it is a compact position of the version {version}; this server knows p1. Begin with `since`"
        )
    digits = found[2]
    if not _DIGITS.fullmatch(digits) or len(digits) < LENGTH_DIGITS + CHECK_DIGITS:
        raise InvalidPosition(_CHANGED)
    body, check = digits[:-CHECK_DIGITS], digits[-CHECK_DIGITS:]
    if _rest(body) != _number(check):
        raise InvalidPosition(_CHANGED)
    start = LENGTH_DIGITS + 4 * _number(body[:LENGTH_DIGITS])
    if start > len(body):
        raise InvalidPosition(_CHANGED)
    partitions, shapes = read_head(a2b_base64(body[LENGTH_DIGITS:start].translate(_FROM_URL)))
    if not partitions or start + sum([shape.digits for shape in shapes]) != len(body):
        raise InvalidPosition(_CHANGED)
    position = {}
    for partition, shape in zip(partitions, shapes, strict=True):
        end = start + shape.digits
        position[partition] = shape.unpack(_number(body[start:end]))
        start = end
    return position


class _Layout:
    """Where each slot stands. The same for many ids; never changed."""

    __slots__ = ("ends", "head", "shapes", "starts", "weights")

    def __init__(self, partitions: Sequence[TopicPartition], shapes: list[Shape]) -> None:
        head = b2a_base64(write_head(partitions, shapes), newline=False).translate(_TO_URL)
        self.head = _written(len(head) // 4, LENGTH_DIGITS) + head
        self.shapes = shapes
        self.starts: list[int] = []
        self.ends: list[int] = []
        """In the digits behind the prefix."""
        end = len(self.head)
        for shape in shapes:
            self.starts.append(end)
            end += shape.digits
            self.ends.append(end)
        self.weights: list[int] = []
        """The factor of a slot's value in the rest."""
        weight = 1
        for shape in reversed(shapes):
            self.weights.append(weight)
            weight = (weight << DIGIT_BITS * shape.digits) % PRIME
        self.weights.reverse()


class TokenForm:
    """Writes positions over a fixed set of partitions as tokens."""

    def __init__(self, by_timestamp: Mapping[TopicPartition, bool]) -> None:
        self._partitions = list(by_timestamp)
        self.layout: _Layout | None = None
        """That of the position written last: the next has it too, as a rule."""
        self.longest = (
            len(PREFIX) + LENGTH_DIGITS + CHECK_DIGITS + WIDE_DIGITS * len(self._partitions)
            + 4 * -(-longest_head(self._partitions) // 3)
        )  # fmt: skip
        """Bytes of the longest id that there may be."""

    def pen(self, positions: Iterable[Entry]) -> TokenPen:
        """Begins with this position: one for each partition, in their order."""
        return TokenPen(self, [*map(parts_of, positions)])

    def layout_for(self, entries: list[Parts], before: _Layout | None) -> _Layout:
        """One in which all of them have a slot: the one before with some slots more that are wide, or a new one."""
        shapes = None if before is None else [*map(shape_for, entries, before.shapes)]
        if shapes is None or sum([shape.digits >= WIDE_DIGITS for shape in shapes]) * WIDE_SHARE > len(shapes):
            shapes = fit(entries)
        self.layout = _Layout(self._partitions, shapes)
        return self.layout


class TokenPen:
    """A position as a token; when it changes, only the changed slot is rewritten."""

    __slots__ = ("_body", "_entries", "_form", "_layout", "_rest", "_values")

    def __init__(self, form: TokenForm, entries: list[Parts]) -> None:
        self._form = form
        self._entries = entries
        self._arrange(form.layout)

    def _arrange(self, layout: _Layout | None) -> None:
        """Write all slots, in this layout where that takes all of them."""
        values = [None] if layout is None else _packed(layout, self._entries)
        if layout is None or None in values:
            layout = self._form.layout_for(self._entries, layout)
            values = _packed(layout, self._entries)
        self._layout = layout
        self._values = [value or 0 for value in values]
        slots = [_written(value, shape.digits) for value, shape in zip(self._values, layout.shapes, strict=True)]
        self._body = bytearray(b"".join([layout.head, *slots]))
        self._rest = _rest(bytes(self._body))

    def put(self, index: int, position: Entry) -> None:
        """The partition at this index is there now."""
        layout = self._layout
        entry = self._entries[index] = parts_of(position)
        shape = layout.shapes[index]
        value = shape.pack(entry)
        if value is None:
            self._arrange(layout)
            return
        self._body[layout.starts[index] : layout.ends[index]] = _written(value, shape.digits)
        self._rest = (self._rest + (value - self._values[index]) * layout.weights[index]) % PRIME
        self._values[index] = value

    def text(self) -> bytes:
        """The id."""
        return b"".join((PREFIX, self._body, _written(self._rest, CHECK_DIGITS)))

    def follow(self, index: int, positions: Sequence[Entry]) -> list[bytes]:
        """The ids as one partition moves on."""
        texts = []
        for position in positions:
            self.put(index, position)
            texts.append(self.text())
        return texts


def _packed(layout: _Layout, entries: Sequence[Parts]) -> list[int | None]:
    return [shape.pack(entry) for shape, entry in zip(layout.shapes, entries, strict=True)]


def _written(value: int, digits: int) -> bytes:
    groups = -(-digits // 4)
    text = b2a_base64(value.to_bytes(3 * groups, "big"), newline=False)
    return text[4 * groups - digits :].translate(_TO_URL)


def _number(digits: bytes) -> int:
    padded = b"A" * (-len(digits) % 4) + digits.translate(_FROM_URL)
    return int.from_bytes(a2b_base64(padded), "big")


def _rest(body: bytes) -> int:
    return ((1 << DIGIT_BITS * len(body)) + _number(body)) % PRIME
