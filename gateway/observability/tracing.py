"""The port of traces: the spans of a request, and the headers by which the readers of a record continue its trace.

Spans hold only what the configuration bounds: names of streams, counts, outcomes. They never hold what a client sent.
`NO_TRACER` makes no spans, and costs a call or two a request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Protocol

Attributes = Mapping[str, str | int | bool]
"""The attributes of a span. Names are those of OpenTelemetry's semantic conventions where they exist."""

Headers = tuple[tuple[str, bytes], ...]
"""Headers of a record."""

TRACEPARENT = "traceparent"
"""The header that names a span to the continuation of its trace (W3C Trace Context)."""


class Span(Protocol):
    """A part of the work for a request. As a context manager it ends with the block, with an error where one leaves
    it; otherwise `end` is called once."""

    @property
    def headers(self) -> Headers:
        """For the records that this span stores."""
        ...

    def child(self, name: str, attributes: Attributes) -> Span:
        """A part of this one."""
        ...

    def sending(self, name: str, attributes: Attributes) -> Span:
        """A part in which records are handed to the log."""
        ...

    def note(self, attributes: Attributes) -> None:
        """Tell more of it."""
        ...

    def end(self, error: str | None = None) -> None:
        """It is over; `error` is a kind of error, of few."""
        ...

    def __enter__(self) -> Span: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


class Tracer(Protocol):
    """Makes spans and sends them away. Nothing here raises or waits where nobody takes them, but `close`."""

    def request(self, name: str, headers: Sequence[tuple[bytes, bytes]], attributes: Attributes) -> Span:
        """The span of a request. It continues the trace that the headers of the request name, if they are valid, and
        begins a new one otherwise."""
        ...

    async def close(self) -> None:
        """Send what is there; bounded in time, and never raises."""
        ...


class _NoSpan:
    headers: Headers = ()

    def child(self, name: str, attributes: Attributes) -> Span:
        return self

    def sending(self, name: str, attributes: Attributes) -> Span:
        return self

    def note(self, attributes: Attributes) -> None: ...

    def end(self, error: str | None = None) -> None: ...

    def __enter__(self) -> Span:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


class _NoTracer:
    def request(self, name: str, headers: Sequence[tuple[bytes, bytes]], attributes: Attributes) -> Span:
        return NO_SPAN

    async def close(self) -> None: ...


NO_SPAN: Span = _NoSpan()
NO_TRACER: Tracer = _NoTracer()
