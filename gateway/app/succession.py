"""Decides when the name of a derived stream moves to its new version.

A version has a topic of its own, and is derived from the past first. Until it is as far as the version before, which
nobody continues, the name means that one. So clients see no history as news, and the name never goes back. Each process
decides for itself, by what both topics hold.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.clock import Clock
from gateway.definitions import Definitions
from gateway.errors import LogError
from gateway.eventlog.port import EventLog, TopicState
from gateway.eventlog.trouble import demand
from gateway.hub.last import newest_times
from gateway.model.record import TopicPartition

LOOK_SECONDS = 2.0
"""Seconds between two looks how far the new versions are."""
LOOK_WAIT = 3.0
"""Seconds that a look may take; where it takes longer, names mean the new versions."""
CLOSE = 60_000
"""A version whose newest row is not older than this (ms) has caught up, whatever the one before had."""


class Succession:
    """Of the streams of one process."""

    def __init__(self, log: EventLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._moved: set[str] = set()
        """Topics that have caught up."""
        self._behind: dict[str, str | None] = {}
        """Of each topic that of the version before, as long as it is behind that one."""

    async def in_force(self, definitions: Definitions) -> Definitions:
        """The definitions, with the topics of earlier versions for those streams whose new version is behind."""
        streams = definitions.catalog.streams
        # Where the log does not tell, what it told last holds.
        with suppress(LogError, TimeoutError):
            async with asyncio.timeout(LOOK_WAIT):
                for stream in streams.values():
                    self._behind[stream.topics[0]] = await self._awaiting(stream)
        behind = {name: former for name, one in streams.items() if (former := self._behind.get(one.topics[0]))}
        if not behind:
            return definitions
        held = [
            replace(stream, topics=(behind[stream.name],), awaited=stream.topics) if stream.name in behind else stream
            for stream in streams.values()
        ]
        return replace(definitions, catalog=Catalog(held))

    async def wait(self, definitions: Definitions, present: Definitions) -> None:
        """Return once another version is in force than at present."""
        while (await self.in_force(definitions)).catalog.topics == present.catalog.topics:  # noqa: ASYNC110  # no event
            await asyncio.sleep(LOOK_SECONDS)

    async def _awaiting(self, stream: Stream) -> str | None:
        """The topic of the earlier version, where the new one is behind."""
        new = stream.topics[0]
        if not stream.former_topics or new in self._moved:
            return None
        states = await self._log.describe([*stream.former_topics, new])
        there = [topic for topic in reversed(stream.former_topics) if isinstance(states.get(topic), TopicState)]
        for former in there:
            old = await self._times(former, states[former])
            if not old:
                continue
            found = await self._times(new, states.get(new))
            is_past = all(time <= found.get(number, -1) for number, time in old.items())
            if is_past or max(found.values(), default=-1) >= self._clock.now() - CLOSE:
                break
            return former
        self._moved.add(new)
        return None

    async def _times(self, topic: str, state: object) -> dict[int, int]:
        """The newest time of each partition that has records."""
        if not isinstance(state, TopicState):
            return {}
        bounds = demand(await self._log.bounds([TopicPartition(topic, number) for number in range(state.partitions)]))
        times = demand(await newest_times(self._log, bounds))
        return {place.partition: time for place, time in times.items() if time is not None}
