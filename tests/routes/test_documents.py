"""What takes long to be made leaves the event loop to others."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from starlette.requests import Request

from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.description.facts import Facts, Limits
from gateway.description.page import page
from gateway.routes.documents import DocumentRoutes
from gateway.schemas.repository import SchemaRepository
from gateway.settings.table import Settings

LIMITS = Settings().of(Limits)
FACTS = Facts("1", Catalog([Stream("one", ("one",))]), SchemaRepository([]), LIMITS)


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
