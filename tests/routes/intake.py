"""What the tests of the intake share: streams that take events, events, and a log that waits or fails as it is told."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx

from gateway.catalog.stream import Stream
from gateway.errors import LogError, LogUnavailable
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.memory.reader import MemoryReader
from gateway.eventlog.offer import Fate
from gateway.eventlog.port import NO_STAMPS
from gateway.model.record import NewRecord, TopicPartition
from tests.routes.kit import Site, running

PATH = "/v1/events"
STREAMS = (
    Stream("wiki.change", ("later",), schema_title="wiki/change", message_key_fields=("wiki",), partitions=2),
    Stream("wiki.other", ("other",), schema_title="wiki/change"),
    Stream("wiki.own-errors", ("own",), schema_title="wiki/change", error_stream="own.errors"),
    Stream("bare", ("bare",)),
    Stream("gateway.errors", ("errors",), schema_title="gateway/error", public=False),
    Stream("own.errors", ("own-errors",), schema_title="gateway/error", public=False),
    Stream("browser.reports", ("reports",), schema_title="browser/report", public=False),
)
"""The topic of the first is there only once it is written to."""
SETTINGS = {"error_stream": "gateway.errors", "report_stream": "browser.reports"}


class Log(MemoryLog):
    """In memory; its answers wait for `gate`, and what is `refused` tells what becomes of some records."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.offers: list[int] = []
        """The number of records of each append that has begun."""
        self.begun = asyncio.Event()
        self.refused: dict[bytes, LogError] = {}
        """By a part of the record's value."""
        self.away: set[str] = set()
        """Topics of which nothing is known."""

    async def offer(self, topic: str, records: Sequence[NewRecord]) -> list[Fate]:
        """See EventLog."""
        self.offers.append(len(records))
        self.begun.set()
        await self.gate.wait()
        if topic in self.away:
            raise LogUnavailable(f"{topic} is away")
        self.check()
        self.check_topic(topic)
        self.topic(topic)
        fates: list[Fate] = []
        for new in records:
            why = next((error for part, error in self.refused.items() if part in (new.value or b"")), None)
            fates += [why] if why is not None else self.offer_now(topic, [new])
        return fates

    def values(self, topic: str) -> list[bytes]:
        """What is stored in a topic."""
        if topic not in self._topics:
            return []
        return [record.value or b"" for part in self._topics[topic].partitions for record in part.records]


class Unread(Log):
    """Takes records, but cannot be read until it is told to be."""

    readable = False

    async def reader(
        self, positions: Mapping[TopicPartition, int], stamps: Mapping[TopicPartition, int] = NO_STAMPS
    ) -> MemoryReader:
        """See EventLog."""
        if not self.readable:
            raise LogUnavailable("it cannot be read yet")
        return await super().reader(positions, stamps)


class IntakeSite:
    """A gateway that runs, and its log."""

    def __init__(self, site: Site, log: Log) -> None:
        self.site = site
        self.log = log

    async def post(self, body: Any, query: str = "", **headers: str) -> httpx.Response:
        """Send a body: bytes as they are, anything else as JSON."""
        content = body if isinstance(body, bytes) or not isinstance(body, dict | list) else json.dumps(body).encode()
        named = {"content-type": "application/json"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        return await self.site.client.post(PATH + query, content=content, headers=named)


@asynccontextmanager
async def intake(log: Log | None = None, **settings: Any) -> AsyncIterator[IntakeSite]:
    """A gateway that takes events in."""
    log = log or Log()
    async with running(log, STREAMS, **SETTINGS | settings) as site:
        yield IntakeSite(site, log)


def change(number: int = 1, stream: str = "wiki.change", **more: Any) -> dict[str, Any]:
    """A valid event with an id of its own."""
    return {
        "$schema": "/wiki/change/1.0.0",
        "meta": {"id": str(uuid.uuid4()), "dt": "2026-03-01T09:26:53.589Z", "stream": stream, "request_id": "r"},
        "id": number,
        "type": "log",
        "wiki": "enwiki",
        "server_name": "en.wiki.example",
        "title": "Harbour Bridge",
        "namespace": 0,
        "timestamp": 1_772_357_213,
        "user": "Ada",
        "bot": False,
        "comment": "é",
        "log_id": 1,
        "log_type": "move",
        "log_action": "move",
        "log_params": {},
        **more,
    }


def bare(number: int = 1, **more: Any) -> dict[str, Any]:
    """An event without an id."""
    event = change(number, **more)
    event["meta"] = {"stream": "wiki.change"}
    return event


def text(event: dict[str, Any]) -> bytes:
    """As the tests' client sends it."""
    return json.dumps(event).encode()
