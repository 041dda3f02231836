"""The errors that a client cannot fix by trying again.

    ClientError
    ├── Refused             the server answered with an error
    ├── NotAnEventStream    the server answered with something else than an event stream
    ├── StreamFailed        the server ended the stream with `event: error`
    ├── InvalidQuery        the query is invalid: a time, a limit, a filter, a token
    ├── EventsMissing       the server reports a gap: events are gone; the stream can continue
    │   └── EventTooLarge   an event is larger than the client reads; the stream can continue
    ├── EventUnreadable     the data of an event is not a JSON object
    ├── PositionStoreError  a position cannot be loaded or stored; the stream can continue
    ├── EventInvalid        an event that was sent is not valid, and is not stored
    ├── EventFailed         an event that was sent is valid, but the log of the server does not take it
    ├── GaveUp              an event was sent again and again; whether it is stored is not known
    └── ProducerClosed      the producer takes no more events

All of them derive from ClientError.
"""

from __future__ import annotations

from gateway.client.gap import Gap
from gateway.errors import GatewayError


class ClientError(GatewayError):
    """The root of them; the message says what came, and from where."""


class Refused(ClientError):
    """An error status that a further try would meet again. `detail` is what was said."""

    def __init__(self, url: str, status: int, detail: str) -> None:
        super().__init__(f"{url} answered {status}: {detail}")
        self.status = status
        self.detail = detail


class NotAnEventStream(ClientError):
    """An answer of another type; `excerpt` is how it begins."""

    def __init__(self, url: str, content_type: str, excerpt: str) -> None:
        named = content_type or "an answer without a content type"
        begins = f", which begins {excerpt!r}" if excerpt else ""
        super().__init__(f"{url} is not an event stream (text/event-stream) but {named}{begins}")
        self.content_type = content_type
        self.excerpt = excerpt


class StreamFailed(ClientError):
    """The server cannot continue; `document` is its message, usually a problem document (RFC 9457)."""

    def __init__(self, url: str, document: str) -> None:
        super().__init__(f"{url} ended the stream with an error: {document}")
        self.document = document


class InvalidQuery(ClientError):
    """A mistake in what is asked for; the message says which."""


class EventsMissing(ClientError):
    """Between a position and the next event that exists some are gone; `gap` says where."""

    def __init__(self, gap: Gap) -> None:
        super().__init__(f"events are missing: {gap}")
        self.gap = gap


class EventTooLarge(EventsMissing):
    """An event has more bytes than the client reads, and is left out; `gap` says where."""


class EventUnreadable(ClientError):
    """The data of an event is no JSON object; `id` is its position."""

    def __init__(self, detail: str, identifier: str) -> None:
        super().__init__(f"the event at {identifier or 'an unknown position'} is no JSON object: {detail}")
        self.id = identifier


class PositionStoreError(ClientError):
    """A place that does not hold a position, or cannot keep one."""


class EventInvalid(ClientError):
    """An event that its server will never take, as it is; `detail` says what is wrong with it."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"the event is not valid: {detail}")
        self.detail = detail


class EventFailed(ClientError):
    """A valid event that the server's log does not take, such as one that is too large for it."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"the event is not stored: {detail}")
        self.detail = detail


class GaveUp(ClientError):
    """No answer that settles what became of the event, for all the time that there was; it may be stored or not."""

    def __init__(self, url: str, seconds: float, reason: str) -> None:
        super().__init__(f"{url}: given up after {seconds:.0f} s: {reason}")
        self.reason = reason


class ProducerClosed(ClientError):
    """The producer was closed before the event was sent."""

    def __init__(self) -> None:
        super().__init__("the producer is closed")
