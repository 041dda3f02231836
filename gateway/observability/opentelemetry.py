"""Traces by OpenTelemetry, sent as OTLP over HTTP. No other module knows it; the extra `tracing` installs it."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Sequence
from importlib.metadata import version
from multiprocessing import current_process
from types import TracebackType

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span as LibrarySpan
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace import Tracer as LibraryTracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway.observability.throttle import Seldom
from gateway.observability.tracing import TRACEPARENT, Attributes, Headers, Span

QUEUE_SPANS = 4096
"""Spans that wait to be sent, some 2 KB each; of more the oldest are dropped."""
BATCH_SPANS = 512
DELAY_SECONDS = 2.0
"""Spans are sent in batches of this many, or after this many seconds."""
EXPORT_SECONDS = 5.0
"""A collector that has not taken them by then does not get them."""
CLOSE_SECONDS = 2.0
"""Seconds for the remaining spans at the end."""
WARN_SECONDS = 60.0
"""Seconds within which a complaint of the library is logged once."""
REASON_CHARACTERS = 300
CLOSING = "close-traces"
"""The name of the thread that ends them."""
TRACES_PATH = "/v1/traces"
"""Where a collector takes traces, below its URL (OTLP/HTTP)."""

logger = logging.getLogger("gateway")

_PROPAGATOR = TraceContextTextMapPropagator()


def exporter(url: str) -> SpanExporter:
    """Sends spans to the collector at this URL."""
    return OTLPSpanExporter(endpoint=url.rstrip("/") + TRACES_PATH, timeout=EXPORT_SECONDS)


class OpenTelemetryTracer:
    """A Tracer. If others decided whether to record a trace, that holds for the spans here. Of the traces that begin
    here, the share `ratio` is recorded. A thread of the library sends the spans."""

    def __init__(self, exporter: SpanExporter, ratio: float) -> None:
        resource = Resource.create(
            {
                "service.name": "event-gateway",
                "service.version": version("event-gateway"),
                "service.instance.id": current_process().name,
            }
        )
        # It is closed in order, not when the interpreter ends.
        self._provider = TracerProvider(ParentBased(TraceIdRatioBased(ratio)), resource, shutdown_on_exit=False)
        self._provider.add_span_processor(
            BatchSpanProcessor(exporter, QUEUE_SPANS, DELAY_SECONDS * 1000, BATCH_SPANS, EXPORT_SECONDS * 1000)
        )
        self._tracer = self._provider.get_tracer("gateway")
        _tell_seldom(logging.getLogger("opentelemetry"))

    def request(self, name: str, headers: Sequence[tuple[bytes, bytes]], attributes: Attributes) -> Span:
        """See Tracer. Of the sender's own `tracestate` nothing is kept: it would be stored with each event."""
        named = [value for header, value in headers if header == TRACEPARENT.encode()]
        # Several are none (W3C Trace Context section 3.2.1: a request has one).
        carrier = {TRACEPARENT: named[0].decode("latin-1")} if len(named) == 1 else {}
        context = _PROPAGATOR.extract(carrier, Context())
        started = self._tracer.start_span(name, context, SpanKind.SERVER, dict(attributes))
        return _Span(self._tracer, started)

    async def close(self) -> None:
        """See Tracer."""
        # The library would wait for half a minute; a thread of the loop's would be waited for at its end.
        closing = threading.Thread(target=self._provider.shutdown, name=CLOSING, daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, CLOSE_SECONDS)
        if closing.is_alive():
            logger.warning("traces: the collector has not taken the last ones within %g s", CLOSE_SECONDS)


class _Span:
    """A Span, over one of the library's."""

    __slots__ = ("_span", "_tracer")

    def __init__(self, tracer: LibraryTracer, span: LibrarySpan) -> None:
        self._tracer = tracer
        self._span = span

    @property
    def headers(self) -> Headers:
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, set_span_in_context(self._span, Context()))
        return tuple((name, value.encode()) for name, value in carrier.items())

    def child(self, name: str, attributes: Attributes) -> Span:
        return self._begin(name, SpanKind.INTERNAL, attributes)

    def sending(self, name: str, attributes: Attributes) -> Span:
        return self._begin(name, SpanKind.PRODUCER, attributes)

    def note(self, attributes: Attributes) -> None:
        self._span.set_attributes(dict(attributes))

    def end(self, error: str | None = None) -> None:
        if error is not None:
            self._span.set_attribute("error.type", error)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()

    def __enter__(self) -> Span:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end(None if kind is None else kind.__name__)

    def _begin(self, name: str, kind: SpanKind, attributes: Attributes) -> Span:
        context = set_span_in_context(self._span, Context())
        return _Span(self._tracer, self._tracer.start_span(name, context, kind, dict(attributes)))


class _Complaints(logging.Handler):
    """Tells what the library complains of as a warning of the gateway's, now and then."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._complaints = Seldom(WARN_SECONDS)

    def emit(self, record: logging.LogRecord) -> None:
        if self._complaints.is_due(time.monotonic()):
            logger.warning("traces: %s", record.getMessage()[:REASON_CHARACTERS])


def _tell_seldom(library: logging.Logger) -> None:
    """An absent collector fails every few seconds, each time with a traceback or two."""
    library.propagate = False
    library.handlers = [_Complaints()]
