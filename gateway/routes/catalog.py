"""`/v2/streams`: which streams there are, what they hold, and how much goes on in them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gateway.catalog.stream import Stream
from gateway.errors import LogError, Problem
from gateway.event import Record, TopicPartition
from gateway.eventlog.trouble import Trouble
from gateway.hub.history import ask_first_records
from gateway.hub.hub import Hub
from gateway.routes.access import Viewers
from gateway.routes.answers import json_answer
from gateway.times import iso_time

RATE_SPAN = 60_000
"""Milliseconds over which the rate of a stream is counted."""


PRIVATE = {"cache-control": "private, no-store", "vary": "authorization"}
"""Headers of what was made for the holder of a token alone."""


class CatalogRoutes:
    """Answers from the catalogue in force, the ring and, for the oldest event, the log."""

    def __init__(self, viewers: Viewers, hub: Hub) -> None:
        self._viewers = viewers
        self._hub = hub

    async def index(self, request: Request) -> Response:
        """`GET /v2/streams`"""
        grant = await self._viewers.reader(request.scope)
        streams = self._viewers.readable(grant).streams.values()
        document = [await self._describe(stream, request) for stream in streams]
        return json_answer(document, headers=PRIVATE if grant.by_token else {})

    async def one(self, request: Request) -> Response:
        """`GET /v2/streams/{name}`"""
        name = request.path_params["name"]
        grant = await self._viewers.reader(request.scope)
        catalog = self._viewers.readable(grant)
        stream = catalog.get(name)
        if stream is None:
            close = catalog.close_matches(name)
            hint = f"; did you mean {' or '.join(close)}?" if close else ""
            raise Problem(404, "Not found", f"there is no stream {name[:100]!r}{hint}", "name")
        description = await self._describe(stream, request)
        description["example"] = self._example(stream)
        return json_answer(description, headers=PRIVATE if grant.by_token else {})

    async def _describe(self, stream: Stream, request: Request) -> dict[str, Any]:
        schema = None
        if stream.schema_title is not None and not stream.schema_title.startswith("/"):
            schema = f"{request.base_url}v2/schemas/{quote(stream.schema_title)}/latest"
        newest = [tail.timestamp for place in self._places(stream) if (tail := self._hub.ring.tail(place)) is not None]
        return {
            "name": stream.name,
            "aliases": list(stream.aliases),
            "title": stream.title or stream.name,
            "description": stream.description,
            "schema": schema,
            "topics": list(stream.topics),
            "oldest": _iso(await self._oldest(stream)),
            "newest": _iso(max(newest, default=0) or None),
            "rate": self._rate(stream),
        }

    def _places(self, stream: Stream) -> list[TopicPartition]:
        held = self._hub.ring.partitions()
        return [place for place in self._hub.partitions(stream.topics) if place in held]

    async def _oldest(self, stream: Stream) -> int | None:
        """Of what the log gives: what is sick is not asked for, and holds up nothing."""
        hub = self._hub
        places = [
            each for each in self._places(stream) if each.topic in hub.discovery.existing and each not in hub.sick
        ]
        if not places or not hub.available:
            return None
        try:
            answers = await hub.log.bounds(places)
            bounds = {place: told for place, told in answers.items() if not isinstance(told, Trouble)}
            starts = {place: told.start for place, told in bounds.items()}
            first = await ask_first_records(hub.log, starts, {place: told.end for place, told in bounds.items()})
        except LogError:
            return None
        return min((record.timestamp for record in first.values() if isinstance(record, Record)), default=None)

    def _rate(self, stream: Stream) -> float:
        since = self._hub.clock.now() - RATE_SPAN
        count = sum(1 for item in self._hub.ring.newest(frozenset(stream.topics)) if item.mark.timestamp >= since)
        return round(count * 1000 / RATE_SPAN, 3)

    def _example(self, stream: Stream) -> Any:
        for item in self._hub.ring.newest(frozenset(stream.topics)):
            if item.data is not None and not item.canary:
                return orjson.Fragment(item.data)
        return None


def _iso(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else iso_time(milliseconds)
