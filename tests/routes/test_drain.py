"""How streams end before their range does: at a stop, and when they have lasted for long enough."""

from __future__ import annotations

import asyncio
import json
import re
import zlib

import pytest

from tests.kit.waiting import becomes
from tests.routes.kit import PATIENCE, Site, appears, running, stored

CLIENTS = 20
RETRY = 2000
FAREWELL = re.compile(rb"retry: (\d+)\nid: (\[.*\])\n\n\Z")


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def stream(site: Site, *headers: str) -> Connection:
    """A stream of one topic that is open."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write("\r\n".join(["GET /v2/stream/page.create HTTP/1.1", "host: x", *headers, "", ""]).encode())
    return reader, writer


async def body(connection: Connection) -> bytes:
    """All of a response in chunks; it must end in order."""
    reader, writer = connection
    async with asyncio.timeout(PATIENCE):
        _, _, rest = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    content = b""
    while True:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            assert rest == b"\r\n"
            return content
        content, rest = content + rest[:length], rest[length + 2 :]


async def test_a_stop_tells_each_client_where_it_stands_and_when_to_come_back() -> None:
    async with running(retry=RETRY) as site:
        clients = [await stream(site) for _ in range(CLIENTS)]
        compressed = await stream(site, "accept-encoding: gzip")
        lines = await stream(site, "accept: application/x-ndjson")
        await becomes(lambda: len(site.gateway.streams.sessions) == CLIENTS + 2)
        site.put("page.create", stored(0), stored(1))
        await appears(site, "page.create", 1)
    waits = set()
    for client in clients:
        text = await body(client)
        told = FAREWELL.search(text)
        assert told is not None, text
        assert [entry["offset"] for entry in json.loads(told[2])] == [1]
        waits.add(int(told[1]))
    assert all(0.5 * RETRY <= wait <= 1.5 * RETRY for wait in waits)
    assert len(waits) > CLIENTS / 2
    assert max(waits) - min(waits) > 0.3 * RETRY
    member = zlib.decompressobj(31)
    assert FAREWELL.search(member.decompress(await body(compressed)))
    assert member.eof, "the trailer has come"
    events = [json.loads(line) for line in (await body(lines)).decode().split("\n") if line]
    assert [event["number"] for event in events] == [0, 1]


@pytest.mark.long
async def test_the_admin_port_tells_of_a_stop_until_the_end() -> None:
    async with running(admin=True, drain_time=0.5) as site:
        clients = [await stream(site) for _ in range(5)]
        await becomes(lambda: len(site.gateway.streams.sessions) == 5)
        # Made before the stop, and not asked on until then: it may not be left without an answer.
        late = await asyncio.open_connection("127.0.0.1", site.port)
        await becomes(lambda: len(site.gateway.streams.sessions) == 5)
        draining = asyncio.create_task(site.gateway._drain())
        await becomes(lambda: site.gateway.draining)
        assert (await site.admin.get("/readyz")).status_code == 503
        late[1].write(b"GET /v2/stream/page.create HTTP/1.1\r\nhost: x\r\n\r\n")
        assert FAREWELL.search(await body(late))
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", site.port)
        for client in clients:
            assert FAREWELL.search(await body(client))
        await draining
        assert (await site.admin.get("/readyz")).status_code == 503


@pytest.mark.long
async def test_a_stream_lasts_no_longer_than_it_may() -> None:
    async with running(max_connection_age=1.0, heartbeat=0.1) as site:
        site.put("page.create", stored(0))
        loop = asyncio.get_running_loop()
        begun = loop.time()
        clients = [await stream(site) for _ in range(5)]
        for client in clients:
            assert FAREWELL.search(await body(client))
        assert loop.time() - begun > 0.7
        assert site.gateway.broadcast._feeds == {}
