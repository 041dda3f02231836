"""Streams that are not public: on the public port there is no such thing."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.definitions import Definitions
from gateway.errors import Problem
from gateway.eventlog.memory.log import MemoryLog
from gateway.schemas.repository import SchemaRepository
from tests.kit.waiting import becomes
from tests.routes.kit import PATIENCE, Site, position, running, stored

PUBLIC = (Stream("news", ("news",), ("latest",)), Stream("secrecy", ("secrecy",)))
PRIVATE = (
    Stream("secret", ("hidden",), ("secrets", "lates"), public=False),
    Stream("newsroom", ("newsroom",), public=False),
)

REQUESTS = [
    "/v2/streams",
    "/v2/streams/secret",
    "/v2/streams/secrets",
    "/v2/streams/secrte",
    "/v2/streams/newsroom",
    *(f"/v2/stream/{names}" for names in ("secret", "secrets", "secrte", "newsroo", "news,secret", "secret,nothing")),
    *(f"/v2/stream/{names}" for names in ("secret?", "*room", "s*t", "?ecret", "lates", "%73ecret", "secret,")),
    f"/v2/stream/news?last_event_id={position(('hidden', 0, 3, None))}",
    f"/v2/stream/*?last_event_id={position(('news', 0, -1, 0), ('hidden', 0, 3, None))}",
    f"/v2/stream/news?last_event_id={position(('newsroom', 7, 3, None))}",
    "/readyz",
]


@asynccontextmanager
async def site(*streams: Stream) -> AsyncIterator[Site]:
    log = MemoryLog()
    for topic in ("news", "secrecy", "hidden", "newsroom"):
        log.create_topic(topic)
        log.append_now(topic, [stored(number) for number in range(5)])
    async with running(log, streams=streams, admin=True) as site:
        await becomes(lambda: site.gateway.hub.available)
        yield site


async def answers(site: Site) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    for path, method in itertools.product(REQUESTS, ("GET", "HEAD", "POST", "OPTIONS")):
        async with asyncio.timeout(PATIENCE):
            response = await site.client.request(method, path)
        headers = {name: value for name, value in response.headers.items() if name not in ("date", "x-request-id")}
        found.append((f"{method} {path}", response.status_code, headers, response.text.replace(str(site.port), "PORT")))
    async with site.stream("/v2/stream/*?since=1") as stream:
        found.append((await stream.frame(), await stream.numbers(10)))
    return found


@pytest.mark.long
async def test_every_answer_is_as_without_them() -> None:
    async with site(*PUBLIC) as without:
        expected = await answers(without)
    async with site(*PUBLIC, *PRIVATE) as with_them:
        found = await answers(with_them)
    assert found == expected
    assert {entry[1] for entry in expected[:-1]} == {200, 404, 405}


async def test_the_admin_port_has_all() -> None:
    async with site(*PUBLIC, *PRIVATE) as here:
        response = await here.admin.get("/v2/streams")
        assert [stream["name"] for stream in response.json()] == ["news", "secrecy", "secret", "newsroom"]
        assert (await here.admin.get("/v2/streams/secrets")).json()["example"]["number"] == 4
        assert "secret" in (await here.admin.get("/v2/stream/secrte")).json()["detail"]
        assert (await here.admin.get("/v2/schemas")).json()[0]["title"] == "browser/report"
        async with (
            here.stream("/v2/stream/secret?since=1", client=here.admin) as old,
            here.stream("/v2/stream/s*,news", client=here.admin) as live,
        ):
            assert live.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert not any(name.startswith("access-control") for name in live.headers)
            assert await old.numbers(5) == [0, 1, 2, 3, 4]
            await becomes(lambda: len(here.gateway.all_streams.sessions) == 2)
            # Heartbeats, as on the public port.
            identifier = (await live.frame())["id"]
            assert {entry["topic"] for entry in identifier} == {"news", "hidden", "secrecy"}
            assert (await live.frame())["id"] == identifier
            here.put("hidden", stored(5))
            here.put("news", stored(6))
            assert sorted(await live.numbers(2)) == [5, 6]
        # One hub for both ports.
        assert here.gateway.hub.ring.partitions() == {(topic, 0) for topic in ("news", "secrecy", "hidden", "newsroom")}


async def test_a_stop_ends_the_streams_of_the_admin_port_too() -> None:
    async with site(*PUBLIC, *PRIVATE) as here, here.stream("/v2/stream/secret", client=here.admin) as stream:
        await stream.frame()
        await here.gateway._drain()
        await stream.rest()


NAMES = st.text("ab*?", min_size=1, max_size=3)


@given(st.dictionaries(st.text("ab", min_size=1, max_size=3), st.booleans(), min_size=1), st.lists(NAMES, min_size=1))
def test_no_names_lead_to_a_private_stream(public: dict[str, bool], names: list[str]) -> None:
    streams = [Stream(name, (name,), public=shown) for name, shown in public.items()]
    shown = Definitions(Catalog(streams), SchemaRepository([])).public_catalog
    alone = Catalog(stream for stream in streams if stream.public)

    def outcome(catalog: Catalog) -> object:
        try:
            return catalog.resolve(",".join(names))
        except Problem as problem:
            return json.dumps(problem.document())

    assert outcome(shown) == outcome(alone)
    assert isinstance(outcome(shown), str) or all(stream.public for stream in shown.resolve(",".join(names)))
