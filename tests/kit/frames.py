"""Server-sent events, read back from the bytes of a response: what is on the wire, and nothing else."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import Any

FIELDS = frozenset({"event", "id", "data", "retry"})


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands between two empty lines. `data` is None in a frame that only moves the position."""

    event: str
    identifier: str | None
    data: str | None
    comments: tuple[str, ...] = ()

    @property
    def document(self) -> Any:
        """The data as JSON."""
        assert self.data is not None
        return json.loads(self.data)

    @property
    def is_message(self) -> bool:
        """Whether it is an event of a stream."""
        return self.event == "message" and self.data is not None


class FrameReader:
    """Bytes to frames, plain or as one gzip member; a frame counts once its blank line is there."""

    def __init__(self, gzip: bool = False) -> None:
        self._gzip = zlib.decompressobj(31) if gzip else None
        self._rest = b""
        self.frames: list[Frame] = []

    @property
    def complete(self) -> bool:
        """Whether a compressed response has come to the end of its member, checksum included."""
        return self._gzip is None or self._gzip.eof

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes; returns the frames that they complete."""
        if self._gzip is not None:
            data = self._gzip.decompress(data)
            assert not self._gzip.unused_data, "a second gzip member"
        *whole, self._rest = (self._rest + data).split(b"\n\n")
        frames = [parse_frame(text) for text in whole]
        self.frames += frames
        return frames

    def cut(self) -> None:
        """The response is over: what follows is another one, and half a frame is no frame."""
        self._rest = b""


def parse_frame(text: bytes) -> Frame:
    """A frame."""
    fields, comments = parse_fields(text)
    return Frame(fields.get("event", "message"), fields.get("id"), fields.get("data"), comments)


def parse_fields(text: bytes) -> tuple[dict[str, str], tuple[str, ...]]:
    """The fields and the comments of a frame; every line is either, and no field stands twice."""
    fields: dict[str, str] = {}
    comments = []
    for line in text.decode().split("\n"):
        name, colon, value = line.partition(": ")
        assert colon, f"a line without a colon: {line!r}"
        if name:
            assert name in FIELDS, f"an unknown field: {line!r}"
            assert name not in fields, f"a field twice in a frame: {text!r}"
            fields[name] = value
        else:
            comments.append(value)
    return fields, tuple(comments)
