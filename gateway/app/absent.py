"""Finds the topics of streams that the log does not have, and says so: a misspelt one would else look like a quiet one.

Only a log in brokers is asked. The embedded log makes a topic with its first event, and nobody else has written there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Container, Mapping
from contextlib import suppress

from gateway.app.composition import stored_in
from gateway.catalog.names import Names
from gateway.catalog.stream import Stream
from gateway.cooperative import give_way
from gateway.errors import LogError
from gateway.eventlog.inspection import Inspectable, Listed
from gateway.eventlog.port import EventLog
from gateway.hub.hub import Hub

logger = logging.getLogger("gateway")

LOOK_SECONDS = 1.0
"""Between two looks at what the hub has found; the log itself is asked where a topic was found to be missing."""
TOLD = 50
"""Topics that are logged one by one."""


class AbsentTopics:
    """`told` has the topics that are not there, each with what to say of it. `written` are the streams that the gateway
    stores events in, and so makes topics for."""

    def __init__(
        self,
        hub: Hub,
        log: EventLog,
        streams: Callable[[], Mapping[str, Stream]],
        written: Callable[[], Container[str]],
    ) -> None:
        self.told: dict[str, str] = {}
        self.warns = True
        """Whether this process logs them; of several, one does."""
        self._hub = hub
        self._log = stored_in(log)
        self._streams = streams
        self._written = written

    async def run(self) -> None:
        """Look again and again."""
        while isinstance(self._log, Inspectable):
            await self.look()
            await give_way()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Compare the topics of the streams with those that the hub has found."""
        discovery = self._hub.discovery
        of_stream = {topic: stream for stream in self._streams().values() for topic in stream.topics}
        gone = [
            topic
            for topic in of_stream
            if topic in discovery.sought and topic not in discovery.existing and topic not in discovery.hidden
        ]
        fresh = [topic for topic in gone if topic not in self.told]
        there = await self._there() if fresh else Names(())
        written = self._written() if fresh else ()
        told = {topic: _sentence(of_stream[topic], topic, there, written) for topic in fresh}
        self.told = {topic: self.told.get(topic) or told[topic] for topic in gone}
        if self.warns:
            for line in list(told.values())[:TOLD]:
                logger.warning("%s", line)
            if len(told) > TOLD:
                logger.warning("%d more topics are not there; /readyz on the admin port lists them", len(told) - TOLD)

    async def _there(self) -> Names:
        """The names of all topics."""
        with suppress(LogError):
            assert isinstance(self._log, Inspectable)
            found = await self._log.listed()
            return Names(name for name, topic in found.items() if isinstance(topic, Listed) and not topic.internal)
        return Names(())


def _sentence(stream: Stream, topic: str, there: Names, written: Container[str]) -> str:
    created = "; it is created when the first event is stored" if stream.name in written else ""
    return f"stream {stream.name}: there is no topic {topic}{created}{there.meant(topic)}"
