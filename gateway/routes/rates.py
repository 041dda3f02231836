"""`/explorer/rates`: how many events each stream had in each of the last seconds, for the page's small charts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gateway.catalog.catalog import Catalog
from gateway.event import TopicPartition
from gateway.hub.hub import Hub
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

    async def rates(self, _: Request) -> Response:
        """`GET /explorer/rates`"""
        # The second that has begun is not over.
        end = self._hub.clock.now() // 1000 * 1000
        if end != self._document["end"]:
            self._document = self._count(end)
        return json_answer(self._document)

    def _count(self, end: int) -> dict[str, Any]:
        catalog = self._catalog()
        begin = end - SPAN * 1000
        topics: dict[str, list[int]] = defaultdict(lambda: [0] * SPAN)
        told = SPAN
        newest = self._hub.ring.newest(frozenset(catalog.topics), MOST_RECORDS)
        for looked_at, item in enumerate(newest, 1):
            time = item.mark.timestamp
            if time < 0:
                continue  # It has none.
            if begin <= time < end:
                topics[item.partition.topic][(time - begin) // 1000] += 1
            if time < begin:
                break
            if looked_at == MOST_RECORDS:
                # The oldest second of those that were looked at is not whole.
                told = max(1, (end - time) // 1000)
                break
        streams = {}
        for stream in catalog.streams.values():
            sums = [sum(counts) for counts in zip(*(topics[topic] for topic in stream.topics), strict=True)]
            streams[stream.name] = {"newest": self._newest(stream.topics), "counts": sums[SPAN - told :]}
        return {"end": end, "streams": streams}

    def _newest(self, topics: tuple[str, ...]) -> int | None:
        held = self._hub.ring.partitions()
        places: list[TopicPartition] = [place for place in self._hub.partitions(topics) if place in held]
        times = [tail.timestamp for place in places if (tail := self._hub.ring.tail(place)) is not None]
        return max(times, default=0) or None
