"""The client against Starlette and sse-starlette."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from gateway.client import EventStream, Subscription
from tests.client.server import Waits
from tests.kit.foreign_server import EACH, foreign_server, opaque, position

RETRY = 20_000
EVENTS = [{"n": number, "text": "ä\u2028\r\n"} for number in range(2 * EACH + 1)]


@pytest.mark.parametrize("identify", [opaque, position])
async def test_every_event_comes_once_over_all_responses(identify: Callable[[int], str]) -> None:
    waits = Waits()
    async with asyncio.timeout(60), foreign_server(EVENTS, identify, RETRY) as server:
        subscription = Subscription(server.address, on_state=waits.states.append, sleep=waits.sleep)
        events = [event async for batch in subscription.batches() for event in batch]
    assert [json.loads(event.data) for event in events] == EVENTS
    last = [identify(number) for number in (EACH - 1, 2 * EACH - 1, 2 * EACH)]
    assert server.asked == [None, *last]
    assert server.pings >= len(EVENTS)
    # It waits for about as long as the server says.
    assert len(waits.slept) == 3
    assert all(RETRY / 2 <= 1000 * seconds <= RETRY for seconds in waits.slept)


async def test_a_program_that_begins_again_goes_on_after_its_last_id() -> None:
    async with asyncio.timeout(60), foreign_server(EVENTS) as server:
        subscription = Subscription(server.address, on_state=lambda state: None, last_event_id=opaque(EACH))
        async with EventStream(subscription) as stream:
            assert [event.json["n"] async for event in stream] == list(range(EACH + 1, len(EVENTS)))
