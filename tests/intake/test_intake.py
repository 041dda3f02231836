"""The intake as a whole, over a log in memory: valid events come back byte for byte, others are refused, whatever
their schema; and nothing that is sent is an internal error."""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.access.grant import EVERYTHING
from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.clock import SystemClock
from gateway.definitions import Current, Definitions
from gateway.errors import Problem
from gateway.eventlog.memory.log import MemoryLog
from gateway.hub.hub import Hub
from gateway.hub.options import HubOptions
from gateway.intake.intake import Intake
from gateway.intake.options import IntakeOptions
from gateway.intake.outcome import Submission
from gateway.routes.access import Everyone
from gateway.routes.events import EventsEndpoint
from gateway.schemas.repository import SchemaRepository
from gateway.schemas.validator import compile_validator, faults
from tests.kit.intake import take
from tests.schemas.kit import SCHEMAS, events

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CONFIG = Path(__file__).parents[2] / "config" / "schemas"
SHIPPED = SchemaRepository([CONFIG])
STREAMS = (
    Stream("wiki.change", ("change",), schema_title="wiki/change"),
    Stream("gateway.errors", ("errors",), schema_title="gateway/error", public=False),
    Stream("browser.reports", ("reports",), schema_title="browser/report", public=False),
)
OPTIONS = IntakeOptions()


@asynccontextmanager
async def taking(
    streams: tuple[Stream, ...], schemas: SchemaRepository, options: IntakeOptions = OPTIONS
) -> AsyncIterator[tuple[Intake, MemoryLog]]:
    """An intake, and the log that it writes to."""
    log, clock = MemoryLog(), SystemClock()
    for stream in streams:
        log.create_topic(stream.topics[0])
    catalog = Catalog(streams)
    hub = Hub(log, dict.fromkeys(catalog.topics, False), clock, HubOptions())
    intake = Intake(
        hub, Current(Definitions(catalog, schemas, "gateway.errors", report_stream="browser.reports")), clock, options
    )
    hub.observe = intake.observe
    reading = asyncio.create_task(hub.run())
    await hub.filled.wait()
    try:
        yield intake, log
    finally:
        await intake.close()
        reading.cancel()
        await asyncio.wait([reading])


async def told(intake: Intake) -> None:
    """Return when the error streams have what was refused."""
    await intake._errors.drain()
    await intake._store.drain()


def values(log: MemoryLog, topic: str) -> list[bytes]:
    return [record.value or b"" for part in log.topic(topic).partitions for record in part.records]


Made = tuple[dict[str, Any], list[tuple[Any, bool]]]
OTHERS = (
    st.none() | st.integers(-(2**63), 2**64 - 1) | st.text("abc") | st.dictionaries(st.sampled_from("abc"), st.none())
)


@st.composite
def schemas_with_values(draw: st.DrawFn) -> Made:
    """A schema, and values with whether they are valid under it."""
    schema = draw(SCHEMAS)
    validator = compile_validator(schema, "2020-12")
    found = draw(st.lists(events(schema) | OTHERS, max_size=6))
    return schema, [(value, not faults(validator, value)) for value in found]


def indented(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode()


@settings(deadline=None)
@given(schemas_with_values(), st.sampled_from([orjson.dumps, indented]), st.booleans())
def test_valid_events_of_any_schema_come_back_and_others_do_not(
    tmp_path_factory: pytest.TempPathFactory,
    made: tuple[dict[str, Any], list[tuple[Any, bool]]],
    write: Any,
    whole: bool,
) -> None:
    schema, chosen = made
    directory = tmp_path_factory.mktemp("schemas")
    document = {
        "title": "thing",
        "$id": "/thing/1.0.0",
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {"$schema": {"type": "string"}, "meta": {"type": "object"}, "value": schema},
    }
    (directory / "thing").mkdir()
    (directory / "thing" / "1.0.0.json").write_text(json.dumps(document))
    meta = {"stream": "thing", "dt": "2026-03-01T09:26:53.589Z", "request_id": "r"}
    texts = [
        write({"$schema": "/thing/1.0.0", "meta": {**meta, "id": str(uuid.uuid4())}, "value": value})
        for value, _ in chosen
    ]
    good = [text for text, (_, valid) in zip(texts, chosen, strict=True) if valid]
    bad = [number for number, (_, valid) in enumerate(chosen) if not valid]
    bodies = ([b"[" + b",".join(texts) + b"]"] if whole else texts) if texts else []

    async def run() -> None:
        stream = Stream("thing", ("thing",), schema_title="thing")
        async with taking((stream,), SchemaRepository([directory]), IntakeOptions()) as (intake, log):
            outcomes = [await take(intake, Submission(body, "application/json")) for body in bodies]
            assert values(log, "thing") == good
            assert sum(outcome.stored for outcome in outcomes) == len(good)
            refused = [one for outcome in outcomes for one in outcome.invalid]
            assert len(refused) == len(bad)
            assert all(one.detail.startswith("/value") for one in refused)
            if whole:
                assert [one.number for one in refused] == bad

    asyncio.run(run())


EXAMPLE = SHIPPED.get("wiki/change")
assert EXAMPLE is not None
EVENT = {**EXAMPLE.examples[2], "meta": {**EXAMPLE.examples[2]["meta"], "id": str(uuid.uuid4())}}
NAMES = st.sampled_from(["$schema", "meta", "stream", "id", "dt"])
VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=6,
)
TEXTS = [b"[]", b"{}", b"NaN", b"[" * 3000, b'{"a":1,"a":2}', b'"\\ud800"', b"1e999", b"\xef\xbb\xbf", b""]
JUNK = st.binary(max_size=40) | st.sampled_from(TEXTS) | VALUES.map(lambda value: json.dumps(value).encode())
CODERS: dict[bytes, Any] = {b"gzip": gzip.compress, b"zstd": zstd.compress, b"identity": bytes, b"br": bytes}
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        b"content-type": st.sampled_from([b"application/json", b"text/plain", b"application/reports+json"])
        | st.binary(max_size=20),
        b"idempotency-key": st.binary(max_size=12),
        b"x-request-id": st.binary(max_size=12),
        b"content-length": st.sampled_from([b"0", b"99", b"-1", b"9" * 30, b"x"]),
    },
)


@pytest.mark.long
@settings(deadline=None, max_examples=300)
@given(
    st.lists(JUNK | st.just(orjson.dumps(EVENT)), max_size=4),
    st.booleans(),
    st.sampled_from(sorted(CODERS)) | st.none(),
    st.booleans(),
    HEADERS,
    st.sampled_from([b"", b"hasty=true", b"hasty=false"]) | st.binary(max_size=10),
    st.integers(1, 50),
    st.sampled_from(["POST"] * 9 + ["GET"]),
)
def test_nothing_that_is_sent_is_a_mistake_of_the_gateway(
    parts: list[bytes],
    array: bool,
    coding: bytes | None,
    honest: bool,
    headers: dict[bytes, bytes],
    query: bytes,
    size: int,
    method: str,
) -> None:
    body = b"[" + b",".join(parts) + b"]" if array else b"".join(parts)
    if coding is not None:
        headers = {**headers, b"content-encoding": coding}
        body = CODERS[coding](body) if honest else body
    chunks = [body[start : start + size] for start in range(0, len(body), size)] or [b""]

    async def run() -> list[Any]:
        async with taking(STREAMS, SHIPPED) as (intake, _):
            coming = iter(
                [{"type": "http.request", "body": part, "more_body": part is not chunks[-1]} for part in chunks]
            )
            sent: list[Any] = []

            async def receive() -> Any:
                return next(coming, {"type": "http.disconnect"})

            async def send(message: Any) -> None:
                sent.append(message)

            scope = {"type": "http", "method": method, "query_string": query, "headers": list(headers.items())}
            await EventsEndpoint(intake, Everyone(lambda: Catalog(STREAMS)))(scope, receive, send)
            assert intake.held == 0
            return sent

    start, *parts_sent = asyncio.run(run())
    assert start["status"] in (201, 202, 207, 400, 405, 413, 415)
    document = orjson.loads(b"".join(part["body"] for part in parts_sent))
    if start["status"] >= 400:
        assert document["status"] == start["status"]
        assert document["detail"]


async def test_more_than_may_be_held_is_refused() -> None:
    async with taking(STREAMS, SHIPPED, IntakeOptions(intake_queue_bytes=1000)) as (intake, _):
        intake.hold(900)
        with pytest.raises(Problem) as caught:
            intake.hold(101)
        assert (caught.value.status, caught.value.headers) == (503, {"retry-after": "1"})
        intake.hold(100)
        intake.release(1000)
        assert intake.held == 0


async def test_what_is_wrong_with_an_error_event_is_told_to_its_sender_alone() -> None:
    async with taking(STREAMS, SHIPPED) as (intake, log):
        wrong = orjson.dumps({"$schema": "/gateway/error/1.0.0", "meta": {"stream": "gateway.errors"}})
        outcome = await take(intake, Submission(wrong, "application/json", EVERYTHING))
        assert [one.number for one in outcome.invalid] == [0]
        # To a sender for whom the stream does not exist it is any other event.
        await take(intake, Submission(wrong, "application/json"))
        await told(intake)
        assert values(log, "errors") == []
    async with taking(STREAMS, SHIPPED) as (intake, log):
        await take(intake, Submission(b"{}", "application/json"))
        await told(intake)
        assert len(values(log, "errors")) == 1
