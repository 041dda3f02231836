"""The id of a derived event, which is the same wherever it is derived, so that duplicates are recognized. Pure.

Hashes are MD5, written as a UUID: an engine of SQL can make the same, and nobody gains by another event of one's own
with the same id. The texts are simple for the same reason: values with their lengths, between bars.
"""

from __future__ import annotations

from hashlib import md5
from typing import Any

import orjson

from gateway.model.record import Record

KeyValue = str | int | bool
Key = tuple[KeyValue, ...]
"""The values of `by`, `latest` or a lookup's key."""


class KeyWithTruth(tuple[KeyValue, ...]):
    """A key with a boolean in it: to Python true is 1, and to JSON and CEL it is not."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return tuple.__eq__(self, other) is True and list(map(type, self)) == list(map(type, other))  # type: ignore[call-overload]

    def __hash__(self) -> int:
        return hash((KeyWithTruth, *self))


class Identity:
    """The ids of one stream and version."""

    __slots__ = ("_prefix",)

    def __init__(self, stream: str, version: int) -> None:
        self._prefix = f"{stream}|{version}|"

    def of_record(self, topic: str, partition: int, offset: int) -> str:
        """Of what is made of one record."""
        return _uuid(f"{self._prefix}{topic}|{partition}|{offset}")

    def of_window(self, key: Key, start: int, end: int) -> str:
        """Of what is made of a key's events in a window (ms)."""
        return _uuid(f"{self._prefix}{key_text(key)}|{start}|{end}")

    def of_canary(self, time: int) -> str:
        """Of what only tells the time (ms)."""
        return _uuid(f"{self._prefix}canary|{time}")

    def of_refusal(self, kind: str, record: Record | None, value: bytes) -> str:
        """Of what was refused: of a record by its place, else by what it is."""
        if record is not None:
            return _uuid(f"{self._prefix}{kind}|{record.topic}|{record.partition}|{record.offset}")
        return _uuid(f"{self._prefix}{kind}|{md5(value, usedforsecurity=False).hexdigest()}")


def key_size(key: Key) -> int:
    """Characters of the texts in it."""
    return sum(len(value) for value in key if value.__class__ is str)


def key_text(key: Key) -> str:
    """A key as a text that no other key has: of each value its length in characters, and the value; a colon between
    them tells a text from what looks like one."""
    return "".join(map(_with_length, key))


def record_key(key: Key) -> bytes:
    """The key of a record, as the intake makes it: one text as it is, any other as JSON, several as a JSON array."""
    if len(key) == 1:
        return key[0].encode(errors="replace") if isinstance(key[0], str) else orjson.dumps(key[0])
    return orjson.dumps(list(key))


def is_key(value: Any) -> bool:
    """Whether a value can be part of a key: a text, a whole number or a boolean."""
    return value.__class__ in (str, int, bool)


def _with_length(value: KeyValue) -> str:
    if value.__class__ is str:
        return f"{len(value)}:{value}"
    text = str(value).lower()
    return f"{len(text)}={text}"


def _uuid(text: str) -> str:
    digits = md5(text.encode(errors="surrogatepass"), usedforsecurity=False).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
