"""Keys of views: as they are in events, in paths, and in the store. Pure.

In the store a key is bytes that sort by the texts of its members, the first member first. Behind the texts stands the
kind of each member, so that the text "42" and the number are two keys. A path names texts alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import orjson

from gateway.json_text import LARGEST_INTEGER, SMALLEST_INTEGER

KeyValue = str | int | bool
Key = tuple[KeyValue, ...]

LONGEST = 1024
"""Bytes of all members of a key together, as UTF-8."""
_END = b"\x00\x01"
_KINDS = {str: b"s", int: b"i", bool: b"b"}


class KeyTooLong(ValueError):
    """A key has more bytes than are kept."""


def key_of(event: dict[str, Any], paths: Sequence[tuple[str, ...]]) -> Key | None:
    """The key of an event; None where a member is not there, or is no text, boolean or whole number of 64 bits: a
    larger one is a double already, or would be one day."""
    found: list[Any] = []
    for path in paths:
        part: Any = event
        for name in path:
            if part.__class__ is not dict or name not in part:
                return None
            part = part[name]
        if not is_member(part):
            return None
        found.append(part)
    return tuple(found)


def is_member(value: object) -> bool:
    """Whether this may be a member of a key."""
    if isinstance(value, int):
        return SMALLEST_INTEGER <= value <= LARGEST_INTEGER
    return isinstance(value, str)


def stored(key: Key) -> bytes:
    """The key as the store has it. Raises KeyTooLong, and UnicodeEncodeError for half a character."""
    texts = [_text(value).encode() for value in key]
    if sum(map(len, texts)) > LONGEST:
        raise KeyTooLong(f"it has {sum(map(len, texts))} bytes, and {LONGEST} are allowed")
    return b"".join([beginning(text) for text in texts]) + b"".join([_KINDS[value.__class__] for value in key])


def beginning(text: bytes, whole: bool = True) -> bytes:
    """What the stored keys begin with whose member is this text, or, where it is not the whole one, begins with it."""
    return text.replace(b"\x00", b"\x00\xff") + (_END if whole else b"")


def of_texts(texts: Sequence[str]) -> bytes:
    """What the stored keys begin with whose members are these texts. Raises as `stored`."""
    encoded = [text.encode() for text in texts]
    if sum(map(len, encoded)) > LONGEST:
        raise KeyTooLong(f"it has {sum(map(len, encoded))} bytes, and {LONGEST} are allowed")
    return b"".join(map(beginning, encoded))


def read(data: bytes, members: int) -> Key:
    """A stored key, which has so many members."""
    texts, kinds = data[:-members].split(_END)[:-1], data[-members:]
    return tuple(
        _value(text.replace(b"\x00\xff", b"\x00").decode(), kind) for text, kind in zip(texts, kinds, strict=True)
    )


def after(start: bytes) -> bytes:
    """What comes behind all stored keys that begin so: in UTF-8 there is no byte 0xFF."""
    return start + b"\xff"


def shown(key: Key, names: Sequence[str]) -> dict[str, KeyValue]:
    """A key in an answer."""
    return dict(zip(names, key, strict=True))


def listed(key: Key) -> bytes:
    """A key as a JSON array in ASCII, as it stands in an id, which may come back as a header."""
    written = orjson.dumps(key)
    return written if written.isascii() else json.dumps(list(key), separators=(",", ":")).encode()


def _text(value: KeyValue) -> str:
    if value.__class__ is str:
        return str(value)
    return str(value).lower()


def _value(text: str, kind: int) -> KeyValue:
    if kind == ord("s"):
        return text
    return int(text) if kind == ord("i") else text == "true"
