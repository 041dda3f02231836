"""Traces of the intake: what spans there are, what they tell, and whose trace they go on with."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from gateway.app import parts
from gateway.catalog.stream import Stream
from gateway.errors import ConfigurationError, LogError
from gateway.eventlog.memory.log import MemoryLog
from gateway.observability import opentelemetry as adapter
from gateway.observability.opentelemetry import OpenTelemetryTracer, exporter
from gateway.observability.tracing import NO_SPAN
from gateway.settings.configuration import load_settings
from tests.kit.waiting import PATIENCE
from tests.observability.collector import collecting
from tests.routes.intake import Log, change, intake, text
from tests.routes.kit import running
from tests.services.kafka import free_port

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
GIVEN = f"00-{TRACE}-{PARENT}-01"
UNSAMPLED = f"00-{TRACE}-{PARENT}-00"
WRONG = {
    "too short": GIVEN[:-1],
    "capitals": GIVEN.upper(),
    "zeros": f"00-{'0' * 32}-{PARENT}-01",
    "no parent": f"00-{TRACE}-{'0' * 16}-01",
    "forbidden version": f"ff{GIVEN[2:]}",
    "more than there may be": GIVEN + "-01",
    "another thing": "Grüße\u00a0".encode().decode("latin-1"),
    "long": GIVEN + "-" + "1" * 5000,
}
BOUNDED = {
    "http.request.method", "http.route", "http.response.status_code", "error.type",
    "messaging.operation.type", "messaging.destination.name", "messaging.batch.message_count",
    "gateway.stream", "gateway.hasty", "gateway.events", "gateway.events.stored", "gateway.events.repeated",
    "gateway.events.invalid", "gateway.events.failed",
}  # fmt: skip


class Traced:
    """A gateway whose spans stay in memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, ratio: float = 1.0) -> None:
        self._exporter = InMemorySpanExporter()
        monkeypatch.setattr(parts, "open_tracer", lambda *_: OpenTelemetryTracer(self._exporter, ratio))

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        """By name, once the gateway has ended."""
        return {span.name: span for span in self._exporter.get_finished_spans()}


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Traced:
    return Traced(monkeypatch)


@pytest.fixture(autouse=True)
def library_log() -> Iterator[None]:
    """What the adapter does to the library's log ends with the test."""
    library = logging.getLogger("opentelemetry")
    before = library.propagate, library.handlers
    yield
    library.propagate, library.handlers = before


class Complaints(logging.Handler):
    """How many there are."""

    count = 0

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler."""
        self.count += 1


def told(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def span_id(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.span_id:016x}"


def trace_id(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.trace_id:032x}"


def parent_id(span: ReadableSpan) -> str | None:
    return None if span.parent is None else f"{span.parent.span_id:016x}"


def headers(log: MemoryLog, topic: str) -> list[tuple[tuple[str, bytes], ...]]:
    return [record.headers for part in log.topic(topic).partitions for record in part.records]


async def test_a_request_its_validation_and_each_append_go_on_with_the_trace_that_came(traced: Traced) -> None:
    events = [change(1), change(2), change(3, "wiki.other"), {"no": "event"}]
    async with intake() as site:
        answer = await site.post(events, traceparent=GIVEN, tracestate="secret=of-the-sender")
        assert answer.status_code == 207
        stored = site.log
    spans = traced.spans
    assert set(spans) == {"POST /v1/events", "validate", "append wiki.change", "append wiki.other"}
    assert {trace_id(span) for span in spans.values()} == {TRACE}
    request = spans["POST /v1/events"]
    assert parent_id(request) == PARENT
    assert {parent_id(spans[name]) for name in spans if name != request.name} == {span_id(request)}
    assert told(request) == {
        "http.request.method": "POST", "http.route": "/v1/events", "http.response.status_code": 207,
        "gateway.hasty": False, "gateway.events.stored": 3, "gateway.events.repeated": 0,
        "gateway.events.invalid": 1, "gateway.events.failed": 0,
    }  # fmt: skip
    assert told(spans["validate"]) == {"gateway.events": 4, "gateway.events.invalid": 1}
    append = spans["append wiki.change"]
    assert told(append) == {
        "messaging.operation.type": "send", "messaging.destination.name": "later", "messaging.batch.message_count": 2,
        "gateway.stream": "wiki.change", "gateway.events.failed": 0,
    }  # fmt: skip
    carried = (("traceparent", f"00-{TRACE}-{span_id(append)}-01".encode()),)
    assert headers(stored, "later") == [carried, carried]
    assert stored.values("later") == [text(events[0]), text(events[1])], "the bytes are those that came"
    assert headers(stored, "errors") == [()], "an event of the gateway's own belongs to no trace"


class Claiming(Log):
    """Keeps claims, as SQLite."""

    keeps_claims = True


@pytest.mark.parametrize("kind", [Log, Claiming])
async def test_the_trace_joins_the_headers_that_a_cloudevent_is_stored_with(
    traced: Traced, kind: type[Log], tmp_path: Path
) -> None:
    (tmp_path / "cloud").mkdir()
    (tmp_path / "cloud" / "1.0.0.json").write_text('{"type": "object"}')
    stream, log = Stream("cloud", ("cloud",), form="cloudevents", schema_title="cloud"), kind()
    event = {"specversion": "1.0", "id": "a", "source": "/a", "type": "t"}
    sent = {"content-type": "application/cloudevents+json", "traceparent": GIVEN}
    async with running(log, [stream], schema_repositories=(str(tmp_path),)) as site:
        answer = await site.client.post("/v1/events?stream=cloud", json=event, headers=sent)
        assert answer.status_code == 201
    ((name, value), (trace, _)) = headers(log, "cloud")[0]
    assert (name, value, trace) == ("content-type", b"application/cloudevents+json", "traceparent")


@pytest.mark.long
@pytest.mark.parametrize("header", WRONG.values(), ids=WRONG)
async def test_what_names_no_trace_is_ignored(traced: Traced, header: str) -> None:
    async with intake() as site:
        raw = [(b"content-type", b"application/json"), (b"traceparent", header.encode("latin-1"))]
        answer = await site.site.client.post("/v1/events", content=text(change()), headers=raw)
        assert answer.status_code == 201
        stored = site.log
    request = traced.spans["POST /v1/events"]
    assert request.parent is None
    assert trace_id(request) != TRACE
    ((name, value),) = headers(stored, "later")[0]
    assert (name, value[3:35].decode()) == ("traceparent", trace_id(request))


async def test_two_of_them_are_none(traced: Traced) -> None:
    async with intake() as site:
        raw = [("content-type", "application/json"), ("traceparent", GIVEN), ("traceparent", GIVEN)]
        answer = await site.site.client.post("/v1/events", content=text(change()), headers=raw)
        assert answer.status_code == 201
    assert traced.spans["POST /v1/events"].parent is None


async def test_a_trace_that_is_not_recorded_is_carried_on_all_the_same(traced: Traced) -> None:
    async with intake() as site:
        assert (await site.post(change(), traceparent=UNSAMPLED)).status_code == 201
        stored = site.log
    assert traced.spans == {}
    ((name, value),) = headers(stored, "later")[0]
    assert (name, value[:36], value[-3:]) == ("traceparent", f"00-{TRACE}-".encode(), b"-00")


async def test_the_ratio_decides_for_traces_that_begin_here(monkeypatch: pytest.MonkeyPatch) -> None:
    traced = Traced(monkeypatch, 0.0)
    async with intake() as site:
        assert (await site.post(change())).status_code == 201
        assert traced.spans == {}
        assert (await site.post(change(), traceparent=GIVEN)).status_code == 201
    assert trace_id(traced.spans["POST /v1/events"]) == TRACE


async def test_what_fails_says_so_and_nothing_tells_of_the_sender(traced: Traced) -> None:
    log = Log()
    log.away = {"later"}
    log.refused = {b'"wiki.other"': LogError("full")}
    async with intake(log) as site:
        query = {"x-request-id": "name-of-request", "authorization": "Bearer secret-of-a-sender"}
        answer = await site.post([change(1), change(2, "wiki.other")], **query)
        assert answer.status_code in (207, 503)
        assert (await site.site.client.request("PATCH", "/v1/events")).status_code == 405
    spans = traced.spans
    assert told(spans["append wiki.change"])["error.type"] == "LogUnavailable"
    assert told(spans["append wiki.other"])["error.type"] == "LogError"
    request = spans["POST /v1/events"]
    assert (request.status.status_code, told(request)["error.type"]) == (StatusCode.ERROR, "503")
    assert told(spans["_OTHER /v1/events"])["http.response.status_code"] == 405
    assert spans["_OTHER /v1/events"].status.status_code is StatusCode.UNSET, "that is the client's mistake"
    for span in spans.values():
        assert set(told(span)) <= BOUNDED
        assert not any(part in span.to_json() for part in ("name-of-request", "secret-of-a-sender", "127.0.0.1", "Ada"))


async def test_a_request_that_was_taken_and_not_waited_for_tells_of_its_append(traced: Traced) -> None:
    async with intake() as site:
        assert (await site.post(change(), "?hasty=true")).status_code == 202
    assert told(traced.spans["append wiki.change"])["gateway.events.failed"] == 0
    assert told(traced.spans["POST /v1/events"])["gateway.hasty"] is True


async def test_a_client_that_goes_away_ends_its_span(traced: Traced) -> None:
    async with intake() as site:
        _, writer = await asyncio.open_connection("127.0.0.1", site.site.port)
        head = b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n"
        writer.write(head + b"{")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        assert (await site.post(change())).status_code == 201
    gone = [span for span in traced._exporter.get_finished_spans() if told(span).get("error.type") == "gone"]
    assert [span.name for span in gone] == ["POST /v1/events"]


async def test_traces_come_to_a_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    # However long the collector's thread waits for a core.
    for name in ("EXPORT_SECONDS", "CLOSE_SECONDS"):
        monkeypatch.setattr(adapter, name, PATIENCE)
    with collecting() as collector:
        async with intake(tracing=collector.url) as site:
            assert (await site.post(change(), traceparent=GIVEN)).status_code == 201
        assert set(collector.paths) == {"/v1/traces"}
        assert set(collector.spans) == {"POST /v1/events", "validate", "append wiki.change"}
        assert {span.trace_id.hex() for span in collector.spans.values()} == {TRACE}
        resource = {
            one.key: one.value.string_value for one in collector.requests[0].resource_spans[0].resource.attributes
        }
        assert resource["service.name"] == "event-gateway"


async def test_a_collector_that_answers_nothing_does_not_keep_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(adapter, "CLOSE_SECONDS", 0.1)
    with collecting() as collector:
        collector.may_answer.clear()
        async with intake(tracing=collector.url) as site:
            assert (await site.post(change())).status_code == 201
        assert not collector.requests
        assert "has not taken the last ones" in caplog.text
        (closing,) = [thread for thread in threading.enumerate() if thread.name == adapter.CLOSING]
        collector.may_answer.set()
        await asyncio.to_thread(closing.join)


@pytest.mark.long
async def test_an_absent_collector_costs_one_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(adapter, "EXPORT_SECONDS", 0.5)
    # All are tried before it ends, and none after that.
    monkeypatch.setattr(adapter, "CLOSE_SECONDS", PATIENCE)
    tracer = OpenTelemetryTracer(exporter(f"http://127.0.0.1:{free_port()}"), 1.0)
    complaints = Complaints()
    logging.getLogger("opentelemetry").addHandler(complaints)
    for _ in range(2 * adapter.QUEUE_SPANS):
        tracer.request("one", [], {}).end()
    await tracer.close()
    told = [record.getMessage() for record in caplog.records if record.name == "gateway"]
    assert len([line for line in told if "has not taken" not in line]) == 1, told
    assert complaints.count > 3


@pytest.mark.long
def test_without_the_setting_nothing_of_the_library_is_loaded() -> None:
    program = (
        "import sys\n"
        "LIBRARY = ('opentelemetry.sdk.trace', 'opentelemetry.exporter', 'gateway.observability.opentelemetry')\n"
        "from gateway.app.gateway import Gateway\n"
        "from gateway.catalog.catalog import Catalog\n"
        "from gateway.schemas.repository import SchemaRepository\n"
        "from gateway.definitions import Definitions\n"
        "from gateway.eventlog.memory.log import MemoryLog\n"
        "from gateway.settings.configuration import load_settings\n"
        "settings = load_settings({}, {}, {})\n"
        "Gateway(settings, Definitions(Catalog(()), SchemaRepository([]), None), MemoryLog()).public()\n"
        # The client for Redis loads some of it by itself, where it is installed.
        "print([name for name in sys.modules if name.startswith(LIBRARY)])\n"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
    assert NO_SPAN.child("one", {}) is NO_SPAN


def test_a_setting_without_the_extra_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    monkeypatch.delitem(sys.modules, "gateway.observability.opentelemetry")
    with pytest.raises(ConfigurationError) as caught:
        load_settings({}, {}, {"tracing": ("http://collector:4318", "my.yaml:3")})
    (mistake,) = caught.value.mistakes
    assert mistake.startswith("my.yaml:3: tracing needs ")
    assert mistake.endswith("pip install 'event-gateway[tracing]'")


@pytest.mark.parametrize(
    "url",
    ["collector:4318", "grpc://collector:4317", "http://", "http://collector:port", "http://[", "http://c?key=1",
     "http://user:secret@collector:4318"],
)  # fmt: skip
def test_what_is_no_collector_is_a_mistake(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings({"tracing": url}, {}, {})
    (mistake,) = caught.value.mistakes
    assert mistake.startswith("--tracing: tracing ")
    assert "secret" not in mistake
