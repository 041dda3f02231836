"""Opens the tracer that the settings ask for. OpenTelemetry is imported only where they ask for one."""

from __future__ import annotations

from urllib.parse import urlsplit

from gateway.observability.tracing import NO_TRACER, Tracer


def check_collector(url: str) -> None:
    """Raises ValueError where traces cannot be sent to this URL, or not by what is installed."""
    right = "it takes the URL of a collector (OTLP over HTTP), such as http://collector:4318"
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        secret = parts.username or parts.password
    except ValueError:
        fits, secret, parts = False, None, urlsplit("")
    if secret:
        raise ValueError("tracing has a user or a password in it; OTEL_EXPORTER_OTLP_HEADERS takes headers instead")
    if not fits or parts.query or parts.fragment:
        raise ValueError(f'tracing is "{url[:200]}"; {right}')
    try:
        import gateway.observability.opentelemetry  # noqa: F401
    except ImportError as error:
        install = "pip install 'event-gateway[tracing]'"
        raise ValueError(f"tracing needs what the extra of that name installs ({error.name}): {install}") from error


def open_tracer(url: str | None, ratio: float) -> Tracer:
    """A tracer that sends to the collector at this URL, which `check_collector` has seen; None: there are no traces.
    Of the traces that begin here this share is recorded (1: all)."""
    if url is None:
        return NO_TRACER
    from gateway.observability.opentelemetry import OpenTelemetryTracer, exporter

    return OpenTelemetryTracer(exporter(url), ratio)
