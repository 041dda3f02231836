"""The bytes of a response, read back: plain or as one gzip member, as server-sent events or as lines."""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from gateway.model.record import TopicPartition


class Entry(NamedTuple):
    """One entry of an id; `offset` is None where the stream is resumed by timestamp (ms)."""

    offset: int | None
    timestamp: int
    seen: int = 0


class Frame(NamedTuple):
    """What a client reads at once. Frames are shared: nobody changes one."""

    event: str
    identifier: str
    entries: dict[TopicPartition, Entry]
    data: bytes | None
    document: Any


class Decoder:
    """Bytes to frames, as they come, cut wherever it may be."""

    def __init__(self, gzip: bool, lines: bool) -> None:
        self._gzip = zlib.decompressobj(31) if gzip else None
        self._read = read_line if lines else read_frame
        self._separator = b"\n" if lines else b"\n\n"
        self._rest = b""

    @property
    def complete(self) -> bool:
        """Whether a compressed response has come to the end of its member, checksum included."""
        return self._gzip is None or self._gzip.eof

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that these bytes complete."""
        if self._gzip is not None:
            data = self._gzip.decompress(data)
            assert not self._gzip.unused_data, "a second gzip member"
        *whole, self._rest = (self._rest + data).split(self._separator)
        return [self._read(text) for text in whole]


@lru_cache(maxsize=4096)
def read_frame(text: bytes) -> Frame:
    """A server-sent event."""
    fields: dict[bytes, bytes] = {}
    for line in text.split(b"\n"):
        name, separator, value = line.partition(b": ")
        assert separator, f"a line without a colon: {line!r}"
        assert name in (b"event", b"id", b"data", b"retry", b""), f"an unknown field: {line!r}"
        assert name not in fields, f"a field twice in a frame: {text!r}"
        fields[name] = value
    identifier = fields[b"id"].decode()
    data = fields.get(b"data")
    document = None if data is None else orjson.loads(data)
    return Frame(fields.get(b"event", b"message").decode(), identifier, read_entries(identifier), data, document)


@lru_cache(maxsize=4096)
def read_line(text: bytes) -> Frame:
    """A line of NDJSON."""
    if not text:
        return Frame("message", "", {}, None, None)
    document = orjson.loads(text)
    [name, *others] = document
    if name.startswith("$") and not others:
        return Frame(name[1:], "", {}, text, document[name])
    return Frame("message", "", {}, text, document)


@lru_cache(maxsize=4096)
def read_entries(identifier: str) -> dict[TopicPartition, Entry]:
    """The entries of an id."""
    entries = {
        TopicPartition(entry["topic"], entry["partition"]): Entry(
            entry.get("offset"), entry["timestamp"], entry.get("seen", 0)
        )
        for entry in orjson.loads(identifier)
    }
    assert entries, "an empty id"
    return entries
