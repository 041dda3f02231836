"""What takes long to be made leaves the event loop to others."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.requests import Request

from gateway import cooperative
from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.description.facts import Facts
from gateway.description.page import page
from gateway.event import TopicPartition
from gateway.hub.ring import Ring
from gateway.position import NOTHING_READ
from gateway.routes.documents import DocumentRoutes
from gateway.routes.rates import RateRoutes
from gateway.schemas.repository import SchemaRepository

FACTS = Facts("1", Catalog([Stream("one", ("one",))]), SchemaRepository([]))


def request(host: str = "gateway.test") -> Request:
    headers = [(b"host", host.encode())]
    scope = {"type": "http", "method": "GET", "path": "/", "scheme": "http", "headers": headers, "query_string": b""}
    return Request({**scope, "server": (host, 80), "root_path": ""})


async def test_documents_are_made_once_and_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def counted(*arguments: Any) -> str:
        made.append(threading.get_ident())
        return page(*arguments)

    monkeypatch.setattr("gateway.routes.documents.page", counted)
    definitions: Any = [object()]
    routes = DocumentRoutes(lambda: definitions[-1], lambda: FACTS)
    answers = await asyncio.gather(*(routes.docs(request()) for _ in range(20)))
    assert len({answer.body for answer in answers}) == 1
    assert len(made) == 1
    assert made[0] != threading.get_ident()
    other = await routes.docs(request("other.test"))
    assert b"other.test" in bytes(other.body)
    assert len(made) == 1
    definitions.append(object())
    await routes.docs(request())
    assert len(made) == 2


async def test_rates_are_counted_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cooperative, "SLICE_SECONDS", 0.0)
    place = TopicPartition("one", 0)
    ring = Ring(10**9)
    ring.add(place, NOTHING_READ, 0)
    for number in range(500):
        ring.append(place, number, 10_000 + number, None, b"{}", False)
        ring.close()
    clock = SimpleNamespace(now=lambda: 11_000)
    hub: Any = SimpleNamespace(ring=ring, clock=clock, partitions=lambda topics: [place])
    routes = RateRoutes(lambda: FACTS.catalog, hub)
    counting = [asyncio.create_task(routes.rates(cast(Any, None))) for _ in range(3)]
    turns = 0
    while not all(one.done() for one in counting):
        await asyncio.sleep(0)
        turns += 1
    # In one go it takes three; in turns, one for each segment, and once for all who ask.
    assert 400 < turns < 700
    [body] = {bytes(one.result().body) for one in counting}
    assert b'"counts":[0' in body
    assert b"500]" in body
