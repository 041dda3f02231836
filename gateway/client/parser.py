"""Parses an event stream from bytes as they arrive (WHATWG HTML, section 9.2.6, "Interpreting an event stream")."""

from __future__ import annotations

from gateway.client.frame import StreamEvent

MAXIMUM_EVENT_BYTES = 16 * 1024 * 1024
"""The largest event that is read: its lines together."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_DATA = b"data:"
_BEFORE_DATA = len(_BYTE_ORDER_MARK + _DATA + b" ")
"""Bytes that may stand in a line before its data: so much more of a line is read, so that the end of it decides."""


class EventStreamParser:
    """Bytes in, events out; what one response has begun and not finished is dropped with the parser.

    `last_event_id` moves also by frames without data; `retry` (ms) is what the server asks for, or None. Of an event of
    more than `maximum_bytes` the data is passed over as it comes. It is told as soon as it has an id, so that whoever
    loses the connection within it does not meet it again.
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
        self._is_line_lost = False
        """The rest of that line is passed over."""
        self._is_over = self._is_told = False
        """The frame is larger than the bound; the caller learns of it."""
        self._gathered = 0
        """Bytes of the frame's data so far, with the ends of its lines."""
        self._at_start = True
        self._after_return = False
        self._id = last_event_id
        self._named = False
        self._event = ""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> list[StreamEvent]:
        """The events that these bytes complete."""
        events: list[StreamEvent] = []
        chunk = self._normalise(chunk)
        last = chunk.rfind(b"\n")
        if last < 0:
            self._keep(chunk, events)
            return events
        lines = b"".join([*self._pieces, chunk[:last]]).split(b"\n")
        self._pieces.clear()
        self._begun = 0
        if self._at_start:
            lines[0] = lines[0].removeprefix(_BYTE_ORDER_MARK)
            self._at_start = False
        if self._is_line_lost:
            del lines[0]
            self._is_line_lost = False
        for line in lines:
            self._take(line, events)
        self._keep(chunk[last + 1 :], events)
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

    def _keep(self, piece: bytes, events: list[StreamEvent]) -> None:
        """Keep the beginning of a line, within the bound."""
        if not piece or self._is_line_lost:
            return
        self._pieces.append(piece)
        self._begun += len(piece)
        if self._gathered + self._begun <= self._maximum + _BEFORE_DATA:
            return
        begin = b"".join(self._pieces[:_BEFORE_DATA])
        is_data = begin.removeprefix(_BYTE_ORDER_MARK if self._at_start else b"").startswith(_DATA)
        if is_data:
            self._leave_out(events)
        if is_data or self._begun > self._maximum + _BEFORE_DATA:
            self._is_line_lost, self._at_start = True, False
            self._pieces.clear()
            self._begun = 0

    def _leave_out(self, events: list[StreamEvent]) -> None:
        """The data of this frame is too much."""
        self._is_over = True
        self._data.clear()
        self._gathered = 0
        if self._named:
            self._tell_left_out(events)

    def _tell_left_out(self, events: list[StreamEvent]) -> None:
        if self._is_told:
            return
        self._is_told = True
        self.frames += 1
        self.last_event_id = self._id
        events.append(StreamEvent(self._event or "message", b"", self._id, self._named, left_out=True))

    def _take(self, line: bytes, events: list[StreamEvent]) -> None:
        if not line:
            self._dispatch(events)
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            if self._is_over:
                # As where this line is too long by itself, and so is not kept to its end.
                if self._named:
                    self._tell_left_out(events)
                return
            self._data.append(value)
            # An empty line costs memory too.
            self._gathered += len(value) + 1
            if self._gathered > self._maximum:
                self._leave_out(events)
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
        if self._is_over:
            self._tell_left_out(events)
        elif self._data:
            events.append(StreamEvent(self._event or "message", b"\n".join(self._data), self._id, self._named))
            self._data.clear()
        self._event = ""
        self._named = self._is_over = self._is_told = False
        self._gathered = 0
