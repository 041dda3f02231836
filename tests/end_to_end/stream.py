"""A client that shows what is on the wire."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from tests.end_to_end.process import WAIT
from tests.kit.frames import Frame, FrameReader


class Transcript:
    """The frames that have come, as bytes arrive."""

    def __init__(self) -> None:
        self.messages: list[Frame] = []
        self.numbers: list[int] = []
        """`n` of each event."""
        self.last_id: str | None = None
        self.over = False
        self._decoder = FrameReader()
        self._changed = asyncio.Event()

    @property
    def frames(self) -> list[Frame]:
        """All frames so far."""
        return self._decoder.frames

    def feed(self, data: bytes) -> None:
        """Take what has come."""
        for frame in self._decoder.feed(data):
            self.last_id = frame.identifier or self.last_id
            if frame.is_message:
                self.messages.append(frame)
                self.numbers.append(frame.document.get("n", -1))
        self._changed.set()

    def cut(self) -> None:
        """The response is over, perhaps in the middle of a frame; another may follow."""
        self._decoder.cut()

    def finish(self) -> None:
        """Nothing more comes."""
        self.over = True
        self._changed.set()

    @property
    def comments(self) -> list[str]:
        """All comments."""
        return [comment for frame in self.frames for comment in frame.comments]

    def named(self, name: str) -> list[Frame]:
        """The frames of this event name."""
        return [frame for frame in self.frames if frame.event == name]

    async def until(self, condition: Callable[[], object], what: str = "", seconds: float = WAIT) -> None:
        """Wait until the condition holds of what has come."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    assert not self.over, f"the stream ended: {self._told(what)}"
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"not within {seconds:g} s: {self._told(what)}") from None

    async def events(self, count: int) -> list[int]:
        """The numbers of the first so many events."""
        await self.until(lambda: len(self.numbers) >= count, f"{count} events")
        return self.numbers[:count]

    async def heard(self, comment: str) -> None:
        """Wait for a comment."""
        await self.until(lambda: comment in self.comments, f"the comment {comment!r}")

    async def count(self, count: int) -> None:
        """Wait until just so many events have come."""
        await self.until(lambda: len(self.messages) == count, f"{count} events")

    async def number(self, number: int) -> None:
        """Wait for the event with this number as the last that came."""
        await self.until(lambda: self.numbers and self.numbers[-1] >= number, f"the event {number}")

    async def end(self) -> None:
        """Wait for the end of the response."""
        await self.until(lambda: self.over, "the end")

    def _told(self, what: str) -> str:
        return f"{what}; {len(self.numbers)} events came, the last frames are {self.frames[-3:]}"[:2000]


class EventStream(Transcript):
    """A request for a stream, on a connection of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__()
        self.status = 0
        self.headers: dict[str, str] = {}
        self.complete = False
        """Whether the response ended as it should, and was not cut."""
        self.torn = False
        """Whether a flush could not be decoded to whole frames when it arrived."""
        self._reader = reader
        self._writer = writer
        self._gunzip = zlib.decompressobj(31)
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._task: asyncio.Task[None] | None = None

    async def _head(self) -> None:
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:-2])}
        if self.status == 200:
            assert self.headers["transfer-encoding"] == "chunked"
            self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            while size := int(await self._reader.readuntil(b"\r\n"), 16):
                data = await self._reader.readexactly(size)
                assert await self._reader.readexactly(2) == b"\r\n"
                if self.headers.get("content-encoding") == "gzip":
                    data = self._gunzip.decompress(data)
                    self.torn = self.torn or (data != b"" and not data.endswith(b"\n\n"))
                self.feed(data)
                await self._may_read.wait()
            self.complete = True
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.finish()

    @property
    def whole(self) -> bool:
        """Whether the gzip member is complete, its checksum right."""
        return self._gunzip.eof and not self._gunzip.unused_data

    def pause(self) -> None:
        """Read nothing more for now."""
        self._may_read.clear()

    def go_on(self) -> None:
        """Read again."""
        self._may_read.set()

    async def close(self) -> None:
        """Cut the connection."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._writer.transport.abort()


class Client:
    """Opens streams of one server, and closes them all."""

    def __init__(self) -> None:
        self._streams: list[EventStream] = []

    async def stream(
        self, port: int, names: str, last_id: str | None = None, headers: Mapping[str, str] | None = None, **query: Any
    ) -> EventStream:
        """Subscribe; returns when the head of the response is there."""
        stream = await self.request(port, names, last_id, headers, **query)
        assert stream.status == 200, (stream.status, stream.headers)
        return stream

    async def request(
        self, port: int, names: str, last_id: str | None = None, headers: Mapping[str, str] | None = None, **query: Any
    ) -> EventStream:
        """The same with any status."""
        async with asyncio.timeout(WAIT):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            stream = EventStream(reader, writer)
            self._streams.append(stream)
            given = {"Host": f"127.0.0.1:{port}", **(headers or {})}
            if last_id is not None:
                given["Last-Event-ID"] = last_id
            target = f"/v2/stream/{names}" + (f"?{urlencode(query)}" if query else "")
            lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items()), "", ""]
            writer.write("\r\n".join(lines).encode())
            await stream._head()
        return stream

    async def close(self) -> None:
        """Cut all connections."""
        for stream in self._streams:
            await stream.close()


def check_sequence(numbers: Sequence[int], first: int, last: int) -> None:
    """Each number from `first` to `last` once and in order."""
    expected = range(first, last + 1)
    if list(numbers) == list(expected):
        return
    lost = sorted(set(expected) - set(numbers))
    repeated = len(numbers) - len(set(numbers))
    strange = sorted(set(numbers) - set(expected))
    raise AssertionError(
        f"{len(lost)} lost {lost[:5]}, {repeated} repeated, {len(strange)} beyond {strange[:5]}, "
        f"in order: {list(numbers) == sorted(numbers)}, of {first} to {last}"
    )
