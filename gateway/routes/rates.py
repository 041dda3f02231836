"""`/explorer/rates`: the events of each stream in each of the last seconds, for the page's small charts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gateway.catalog.catalog import Catalog
from gateway.cooperative import Yielder
from gateway.hub.hub import Hub
from gateway.model.record import TopicPartition
from gateway.routes.negotiate import prefers_events
from gateway.routes.survey import covered_seconds
from gateway.routes.updates import Updates


class RateRoutes:
    """Tells what the hub has counted; made once a second at the most, however many ask."""

    def __init__(self, catalog: Callable[[], Catalog], hub: Hub, updates: Updates) -> None:
        self._catalog = catalog
        self._hub = hub
        self._updates = updates
        self._end = 0
        self._document = b""
        self._making = asyncio.Lock()

    async def rates(self, request: Request) -> Response:
        """`GET /explorer/rates`: JSON, or updates for clients that prefer events. Raises Problem(429)."""
        if prefers_events(request.headers.get("accept")):
            return self._updates.open(request.scope, self.document)
        return Response(await self.document() + b"\n", 200, {"cache-control": "no-store"}, "application/json")

    async def document(self) -> bytes:
        """The counts up to the last second that is over."""
        end = self._hub.clock.now() // 1000
        if end != self._end:
            async with self._making:
                if end != self._end:
                    self._document = await self._make(end)
                    self._end = end
        return self._document

    async def _make(self, end: int) -> bytes:
        streams: dict[str, Any] = {}
        work = Yielder()
        for stream in self._catalog().streams.values():
            seconds = covered_seconds(self._hub, stream.topics, end)
            counts = self._hub.activity.counts(stream.topics, end, seconds)
            streams[stream.name] = {
                "newest": self._newest(stream.topics),
                "seconds": seconds,
                "counts": _from_first_event(counts),
            }
            await work.give_way()
        return orjson.dumps({"end": end * 1000, "streams": streams})

    def _newest(self, topics: tuple[str, ...]) -> int | None:
        held = self._hub.ring.partitions()
        partitions: list[TopicPartition] = [
            partition for partition in self._hub.partitions(topics) if partition in held
        ]
        times = [tail.timestamp for partition in partitions if (tail := self._hub.ring.tail(partition)) is not None]
        return max(times, default=0) or None


def _from_first_event(counts: list[int]) -> list[int]:
    """The counts without the zeros before them: among a thousand streams most are silent."""
    first = next((index for index, count in enumerate(counts) if count), len(counts))
    return counts[first:]
