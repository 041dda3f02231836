"""What the tests of the routes share: a gateway that runs, and readers for responses that never end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import httpx
from httpx_sse import ServerSentEvent
from httpx_sse._decoders import SSEDecoder

from gateway.access.trust import Trust
from gateway.app.composition import open_schemas, token_terms
from gateway.app.gateway import Gateway
from gateway.app.operations import Reload, nothing_to_reload
from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.definitions import Definitions
from gateway.eventlog.memory.log import MemoryLog
from gateway.limits.memory import MemoryLimiter
from gateway.model.record import NewRecord
from gateway.schemas.repository import SchemaRepository
from gateway.settings.table import Settings
from tests.kit.clock import HandClock
from tests.kit.frames import parse_fields
from tests.kit.waiting import becomes
from tests.plain_http import http_client
from tests.services.kafka import free_port

PATIENCE = 60.0
"""Seconds after which something that should have come is missing."""
SHORT_HEARTBEAT = 0.2
START = 1_700_000_000_000
"""The time of the first stored event, in milliseconds."""
MARGIN = 100
"""Milliseconds from one stored event to the next."""

SPARE = 80
"""Streams of one topic each, for tests that want one to themselves."""

STREAMS = (
    Stream("page.edit", ("one.page.edit", "two.page.edit"), ("edits",), "Edits", "Every edit.", "page/edit"),
    Stream("page.create", ("page.create",), ("new-pages",)),
    Stream("page.all", ("page.create", "log.all")),
    Stream("log.all", ("log.all",)),
    Stream("wide", ("wide",)),
    Stream("empty", ("empty",)),
    Stream("later", ("later",)),
    *(Stream(f"spare-{number}", (f"spare-{number}",)) for number in range(SPARE)),
)
PARTITIONS = {"wide": 3, "pages": 2}


def event(number: int, **more: Any) -> dict[str, Any]:
    """An event; its number tells it from others."""
    return {"$schema": "/page/edit/1.0.0", "meta": {"domain": "example.org"}, "number": number, **more}


def stored(number: int, timestamp: int | None = None, **more: Any) -> NewRecord:
    """A record with an event in it."""
    time = START + number * MARGIN if timestamp is None else timestamp
    return NewRecord(json.dumps(event(number, **more)).encode(), timestamp=time)


class Site:
    """A gateway that runs, its log, and a client of it."""

    def __init__(
        self, gateway: Gateway, log: MemoryLog, port: int, client: httpx.AsyncClient, admin: httpx.AsyncClient
    ) -> None:
        self.gateway = gateway
        self.log = log
        self.port = port
        self.client = client
        self.admin = admin
        """A client of the admin port, where there is one."""

    def put(self, topic: str, *records: NewRecord) -> None:
        """Store records."""
        self.log.append_now(topic, records)

    async def get(self, path: str, **more: Any) -> httpx.Response:
        """A response that ends by itself."""
        async with asyncio.timeout(PATIENCE):
            return await self.client.get(path, **more)

    @asynccontextmanager
    async def stream(self, path: str, client: httpx.AsyncClient | None = None, **more: Any) -> AsyncIterator[Reading]:
        """A response that may never end; its body is read frame by frame, or line by line."""
        async with asyncio.timeout(PATIENCE), (client or self.client).stream("GET", path, **more) as response:
            yield Reading(response)

    async def raw(self, request: bytes, until: bytes | None = None) -> bytes:
        """What comes back for bytes sent as they are: up to `until`, or to the end of the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        received = b""
        try:
            async with asyncio.timeout(PATIENCE):
                writer.write(request)
                while until is None or until not in received:
                    part = await reader.read(65536)
                    if not part:
                        break
                    received += part
        except ConnectionResetError:
            pass
        finally:
            writer.close()
        return received


class Reading:
    """The body of a stream as it arrives."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.status = response.status_code
        self.headers = response.headers
        self._bytes = response.aiter_bytes()
        self._held = b""

    async def _until(self, mark: bytes) -> bytes:
        async with asyncio.timeout(PATIENCE):
            while mark not in self._held:
                self._held += await anext(self._bytes)
        part, _, self._held = self._held.partition(mark)
        return part

    async def frame(self) -> dict[str, Any]:
        """The fields of the next SSE frame; `id` and `data` parsed, a comment under an empty name."""
        fields, comments = parse_fields(await self._until(b"\n\n"))
        compact = fields.get("id", "").startswith("p1.")
        parsed: dict[str, Any] = {
            name: json.loads(value) if name == "data" or (name == "id" and not compact) else value
            for name, value in fields.items()
        }
        if comments:
            parsed[""] = comments[-1]
        return parsed

    async def message(self) -> dict[str, Any]:
        """The next frame that has data."""
        while "data" not in (frame := await self.frame()):
            pass
        return frame

    async def line(self) -> str:
        """The next line."""
        return (await self._until(b"\n")).decode()

    async def numbers(self, count: int) -> list[int]:
        """The numbers of the next events."""
        return [(await self.message())["data"]["number"] for _ in range(count)]

    async def rest(self) -> bytes:
        """All that comes until the response ends."""
        async with asyncio.timeout(PATIENCE):
            async for part in self._bytes:
                self._held += part
        return self._held


def frames(body: bytes) -> list[ServerSentEvent]:
    """The events of a finished SSE body, as a client's parser sees them."""
    decoder = SSEDecoder()
    found = [decoder.decode(line) for line in body.decode().split("\n")]
    # A browser fires no event for a frame without data.
    return [one for one in found if one is not None and one.data]


def position(*entries: tuple[str, int, int | None, int | None]) -> str:
    """A Last-Event-ID of (topic, partition, offset, timestamp)."""
    return json.dumps(
        [
            {"topic": topic, "partition": partition}
            | ({} if offset is None else {"offset": offset})
            | ({} if timestamp is None else {"timestamp": timestamp})
            for topic, partition, offset, timestamp in entries
        ]
    )


@cache
def _own_schemas() -> SchemaRepository:
    """The project's. They are read once: it takes a tenth of a second, and nothing changes them."""
    return open_schemas(Settings())


def _client(port: int) -> httpx.AsyncClient:
    headers = {"accept-encoding": "identity"}
    return http_client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE, headers=headers)


@asynccontextmanager
async def running(
    log: MemoryLog | None = None,
    streams: Sequence[Stream] = STREAMS,
    admin: bool = False,
    reload: Reload = nothing_to_reload,
    rules: Mapping[str, tuple[str, ...]] | None = None,
    **more: Any,
) -> AsyncIterator[Site]:
    """A gateway over a log in memory, on free ports, until the end of the block."""
    if log is None:
        log = MemoryLog()
    given = {"heartbeat": SHORT_HEARTBEAT, "flush_interval": 0.0, "drain_time": 0.0, "startup_wait": 1.0}
    # Where the machine stands still, counts are exact all the same.
    given["counts_seconds"] = PATIENCE
    admin_port = free_port()
    settings = Settings(
        **{"port": 0, "admin_port": admin_port, "metadata_interval": 0.5, "ring_bytes": 1 << 20, **given, **more}
    )
    catalog = Catalog(streams)
    for topic in catalog.topics:
        if topic != "later":
            log.create_topic(topic, PARTITIONS.get(topic, 1))
    trust = Trust(terms=token_terms(settings))
    schemas = open_schemas(settings) if "schema_repositories" in more else _own_schemas()
    definitions = Definitions(catalog, schemas, settings.error_stream, trust, settings.report_stream, rules or {})
    gateway = Gateway(settings, definitions, log)
    opened: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()

    async def on_open(port: int) -> None:
        opened.set_result(port)

    operations = gateway.operations(reload, stop.set)
    task = asyncio.create_task(gateway.run(stop, operations, with_admin=admin, on_open=on_open))
    try:
        async with asyncio.timeout(PATIENCE):
            port = await opened
        async with _client(port) as client, _client(admin_port) as admin_client:
            yield Site(gateway, log, port, client, admin_client)
    finally:
        stop.set()
        async with asyncio.timeout(PATIENCE):
            await task


def hold_time(site: Site) -> None:
    """Nobody gets back what was spent, however long the machine takes for the next request."""
    assert isinstance(site.gateway.limiter, MemoryLimiter)
    site.gateway.limiter._clock = HandClock()


EARLY = "since=2001-01-01"
"""Everything that there is."""


def numbers(response: httpx.Response) -> list[int]:
    """The numbers of the events in a finished SSE response."""
    return [json.loads(one.data)["number"] for one in frames(response.content) if one.event == "message"]


def lines(response: httpx.Response) -> list[dict[str, Any]]:
    """The objects of a finished NDJSON response."""
    return [json.loads(line) for line in response.text.split("\n") if line]


async def appears(site: Site, topic: str, newest: int) -> None:
    """Return when the gateway has read this record."""
    place = next(place for place in site.gateway.hub.partitions([topic]))
    ring = site.gateway.hub.ring
    await becomes(lambda: (tail := ring.tail(place)) is not None and tail.offset >= newest)
