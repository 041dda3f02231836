"""An event stream, read from bytes as they come (WHATWG HTML, section 9.2.6, "Interpreting an event stream")."""

from __future__ import annotations

from typing import NamedTuple

from gateway.client.errors import EventTooLarge

MAXIMUM_EVENT_BYTES = 16 * 1024 * 1024
"""The largest event that is read: its lines together."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class StreamEvent(NamedTuple):
    """An event as it came. `data` is its bytes, lines joined by LF; `id` is the position once it has been read, empty
    where the server has named none. `named`: the id stood in this very frame."""

    event: str
    data: bytes
    id: str
    named: bool = True


class EventStreamParser:
    """Bytes in, events out; what one response has begun and not finished is dropped with the parser.

    `last_event_id` moves also by frames without data; `retry` (ms) is what the server asks for, or None.
    """

    def __init__(self, last_event_id: str = "", maximum_bytes: int = MAXIMUM_EVENT_BYTES) -> None:
        self.last_event_id = last_event_id
        self.retry: int | None = None
        self.frames = 0
        """Frames that were finished by a blank line, with and without data."""
        self._maximum = maximum_bytes
        self._pieces: list[bytes] = []
        self._begun = 0
        """Bytes of the line that has begun."""
        self._gathered = 0
        """Bytes of the frame's data so far, with the ends of its lines."""
        self._at_start = True
        self._after_return = False
        self._id = last_event_id
        self._named = False
        self._event = ""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> list[StreamEvent]:
        """The events that these bytes complete. Raises EventTooLarge, after which the parser is of no more use."""
        chunk = self._normalise(chunk)
        last = chunk.rfind(b"\n")
        if last < 0:
            self._keep(chunk)
            return []
        lines = b"".join([*self._pieces, chunk[:last]]).split(b"\n")
        self._pieces.clear()
        self._begun = 0
        if self._at_start:
            lines[0] = lines[0].removeprefix(_BYTE_ORDER_MARK)
            self._at_start = False
        events: list[StreamEvent] = []
        for line in lines:
            self._take(line, events)
        self._keep(chunk[last + 1 :])
        return events

    def _normalise(self, chunk: bytes) -> bytes:
        """Every end of a line as LF; a CR at the end of one chunk and the LF that begins the next are one end."""
        if self._after_return and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_return = False
        if b"\r" not in chunk:
            return chunk
        self._after_return = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _keep(self, piece: bytes) -> None:
        if piece:
            self._pieces.append(piece)
            self._begun += len(piece)
        self._check_size()

    def _check_size(self) -> None:
        if self._gathered + self._begun > self._maximum:
            raise EventTooLarge(self._maximum)

    def _take(self, line: bytes, events: list[StreamEvent]) -> None:
        if not line:
            self._dispatch(events)
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            # An empty line costs memory too.
            self._gathered += len(value) + 1
            self._check_size()
        elif name == b"id":
            if b"\0" not in value:
                self._id = value.decode(errors="replace")
                self._named = True
        elif name == b"event":
            self._event = value.decode(errors="replace")
        elif name == b"retry" and value.isdigit() and len(value) < 10:
            self.retry = int(value)

    def _dispatch(self, events: list[StreamEvent]) -> None:
        self.frames += 1
        self.last_event_id = self._id
        if self._data:
            events.append(StreamEvent(self._event or "message", b"\n".join(self._data), self._id, self._named))
            self._data.clear()
        self._event = ""
        self._named = False
        self._gathered = 0
