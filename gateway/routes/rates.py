"""`/explorer/rates`: the events of each stream in each of the last seconds, for the page's small charts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gateway.catalog.catalog import Catalog
from gateway.cooperative import Yielder
from gateway.hub.hub import Hub
from gateway.model.record import TopicPartition
from gateway.routes.answers import json_answer
from gateway.routes.survey import covered_seconds


class RateRoutes:
    """Tells what the hub has counted; made once a second at the most, however many ask."""

    def __init__(self, catalog: Callable[[], Catalog], hub: Hub) -> None:
        self._catalog = catalog
        self._hub = hub
        self._document: dict[str, Any] = {"end": 0, "streams": {}}
        self._making = asyncio.Lock()

    async def rates(self, _: Request) -> Response:
        """`GET /explorer/rates`"""
        # The second that has begun is not over.
        end = self._hub.clock.now() // 1000
        if end * 1000 != self._document["end"]:
            async with self._making:
                if end * 1000 != self._document["end"]:
                    self._document = await self._make(end)
        return json_answer(self._document)

    async def _make(self, end: int) -> dict[str, Any]:
        streams, work = {}, Yielder()
        for stream in self._catalog().streams.values():
            seconds = covered_seconds(self._hub, stream.topics, end)
            counts = self._hub.activity.counts(stream.topics, end, seconds)
            streams[stream.name] = {"newest": self._newest(stream.topics), "counts": counts}
            await work.give_way()
        return {"end": end * 1000, "streams": streams}

    def _newest(self, topics: tuple[str, ...]) -> int | None:
        held = self._hub.ring.partitions()
        partitions: list[TopicPartition] = [
            partition for partition in self._hub.partitions(topics) if partition in held
        ]
        times = [tail.timestamp for partition in partitions if (tail := self._hub.ring.tail(partition)) is not None]
        return max(times, default=0) or None
