"""A mirror of Starlette and sse-starlette."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from gateway.client import Query, State, Subscription
from gateway.eventlog.memory.log import MemoryLog
from tests.kit.foreign_server import EACH, ForeignServer, foreign_server, opaque, position
from tests.mirror.kit import TARGET, WAIT, Bench

EVENTS = [{"n": number, "text": "ä\u2028\r\n"} for number in range(2 * EACH + 1)]


class ForeignBench(Bench):
    """Mirrors of such a server."""

    def __init__(self, log: MemoryLog, source: ForeignServer) -> None:
        super().__init__(log)
        self._source = source

    def subscribe(self, position: str, on_state: Callable[[State], None]) -> Subscription:
        """As a mirror subscribes."""
        return Subscription(self._source.address, Query(), last_event_id=position, on_state=on_state, sleep=self.sleep)


@pytest.mark.parametrize("identify", [opaque, position])
async def test_every_event_is_stored_once(identify: Callable[[int], str]) -> None:
    log = MemoryLog()
    log.create_topic(TARGET.name)
    async with asyncio.timeout(WAIT), foreign_server(EVENTS, identify) as source:
        bench = ForeignBench(log, source)
        await bench.run()
        assert [json.loads(value or b"") for value in await bench.values()] == EVENTS
        # A mirror that begins again asks for what follows, of which there is nothing.
        asked = len(source.asked)
        await bench.run()
        assert source.asked[asked:] == [identify(len(EVENTS) - 1)]
        assert len(await bench.values()) == len(EVENTS)
