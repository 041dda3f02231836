"""`/explorer/rates`: how many events each stream had in each of the last seconds, for the page's small charts."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gateway.catalog.catalog import Catalog
from gateway.cooperative import Slice
from gateway.event import TopicPartition
from gateway.hub.hub import Hub
from gateway.hub.ring import Item
from gateway.routes.answers import json_answer

SPAN = 60
"""Seconds that are told."""
MOST_RECORDS = 20_000
"""Records of the ring that are counted at the most: under a heavy load, fewer seconds are told."""


class RateRoutes:
    """Counts what the ring holds, once a second at the most, however many ask."""

    def __init__(self, catalog: Callable[[], Catalog], hub: Hub) -> None:
        self._catalog = catalog
        self._hub = hub
        self._document: dict[str, Any] = {"end": 0, "streams": {}}
        self._counting = asyncio.Lock()

    async def rates(self, _: Request) -> Response:
        """`GET /explorer/rates`"""
        # The second that has begun is not over.
        end = self._hub.clock.now() // 1000 * 1000
        if end != self._document["end"]:
            async with self._counting:
                if end != self._document["end"]:
                    self._document = await self._count(end)
        return json_answer(self._document)

    async def _count(self, end: int) -> dict[str, Any]:
        """In turns with others: the ring may forget what it has not been asked for yet."""
        catalog = self._catalog()
        begin = end - SPAN * 1000
        topics: dict[str, list[int]] = defaultdict(lambda: [0] * SPAN)
        told = SPAN
        looked_at = 0
        async for item in self._newest_items(frozenset(catalog.topics)):
            time = item.mark.timestamp
            looked_at += 1
            if begin <= time < end:
                topics[item.partition.topic][(time - begin) // 1000] += 1
            if 0 <= time < begin:  # One below has none, and says nothing of those before it.
                break
            if looked_at == MOST_RECORDS:
                # The oldest second of those that were looked at is not whole.
                told = min(SPAN, max(1, (end - time) // 1000))
                break
        streams = {}
        for stream in catalog.streams.values():
            sums = [sum(counts) for counts in zip(*(topics[topic] for topic in stream.topics), strict=True)]
            streams[stream.name] = {"newest": self._newest(stream.topics), "counts": sums[SPAN - told :]}
        return {"end": end, "streams": streams}

    async def _newest_items(self, topics: frozenset[str]) -> AsyncIterator[Item]:
        """What the ring holds of these topics, from the newest segment back, as long as it does."""
        ring, work = self._hub.ring, Slice()
        number = ring.open.number - 1
        while (segment := ring.segment(number)) is not None:
            for _, item in reversed(segment.select(topics)):
                yield item
            number -= 1
            await work.give_way()

    def _newest(self, topics: tuple[str, ...]) -> int | None:
        held = self._hub.ring.partitions()
        places: list[TopicPartition] = [place for place in self._hub.partitions(topics) if place in held]
        times = [tail.timestamp for place in places if (tail := self._hub.ring.tail(place)) is not None]
        return max(times, default=0) or None
