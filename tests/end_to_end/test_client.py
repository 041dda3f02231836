"""`gateway.client` and a real gateway: gaps, a slow consumer, a position that outlives the program, what is refused.
Programs that use it are cut off under load in `test_clients.py`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.client import EventsMissing, FilePositions, Gap, Refused, subscribe, subscribe_blocking
from gateway.eventlog.sqlite.log import SqliteLog
from gateway.model.record import NewRecord
from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import WAIT
from tests.end_to_end.relay import Relay
from tests.kit.events import numbered

pytestmark = pytest.mark.end_to_end

STREAMS = {"numbers": {"topics": ["numbers"]}}
PADDING = "x" * 20_000


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    """The embedded log that the gateway serves, with the topic in it."""
    log = SqliteLog(tmp_path / "events.db")
    await log.open()
    await log.create("numbers")
    yield log
    await log.close()


@pytest.fixture
def url(tmp_path: Path) -> str:
    """That of the log."""
    return f"sqlite:///{tmp_path}/events.db"


async def append(log: SqliteLog, first: int, last: int, padding: str = "") -> None:
    """Events of these numbers."""
    values = [numbered(number, padding=padding) for number in range(first, last + 1)]
    await log.append("numbers", [NewRecord(value) for value in values])


async def test_it_goes_on_from_its_file_over_broken_connections_and_a_killed_server(
    tmp_path: Path, log: SqliteLog, url: str, serve: Serve
) -> None:
    gateway = await serve(STREAMS, url)
    relay = Relay(gateway.port)
    await relay.open()
    await append(log, 1, 10)
    numbers: list[int] = []
    store = FilePositions(tmp_path / "position")
    options: dict[str, Any] = {"since": "1h", "store": store, "filter": "event.n % 2 == 0", "fields": "n"}

    async def read(last: int) -> None:
        async with subscribe(f"http://127.0.0.1:{relay.port}", "numbers", **options) as events:
            async for event in events:
                numbers.append(event.json["n"])
                if numbers[-1] == last:
                    await events.commit()
                    break

    async with asyncio.timeout(WAIT):
        await read(10)
    reading = asyncio.create_task(read(40))
    await append(log, 11, 20)
    cut = asyncio.create_task(relay.cut(0.5))
    await append(log, 21, 30)
    async with asyncio.timeout(WAIT):
        await cut
    await gateway.kill()
    await append(log, 31, 40)
    await gateway.start()
    async with asyncio.timeout(WAIT):
        await reading
    assert numbers == list(range(2, 41, 2))
    await relay.close()


async def test_a_gap_is_raised_or_called_back_and_the_stream_goes_on(log: SqliteLog, url: str, serve: Serve) -> None:
    gateway = await serve(STREAMS, url)
    await append(log, 1, 3)
    future = '[{"topic":"numbers","partition":0,"offset":1000}]'
    async with subscribe(gateway.address, "numbers", last_event_id=future) as events:
        with pytest.raises(EventsMissing) as raised:
            async with asyncio.timeout(WAIT):
                await anext(events)
        assert (raised.value.gap.topic, raised.value.gap.requested, raised.value.gap.reason) == (
            "numbers",
            1000,
            "future",
        )
        await append(log, 4, 4)
        async with asyncio.timeout(WAIT):
            assert (await anext(events)).json["n"] == 4
    gaps: asyncio.Queue[Gap] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def note(gap: Gap) -> None:
        loop.call_soon_threadsafe(gaps.put_nowait, gap)

    def follow() -> int:
        with subscribe_blocking(gateway.address, "numbers", last_event_id=future, on_gap=note) as events:
            return int(next(events).json["n"])

    following = asyncio.create_task(asyncio.to_thread(follow))
    async with asyncio.timeout(WAIT):
        assert (await gaps.get()).resumed == 4
    await append(log, 5, 5)
    async with asyncio.timeout(WAIT):
        assert await following == 5


async def test_a_slow_consumer_gets_all_of_it(log: SqliteLog, url: str, serve: Serve) -> None:
    gateway = await serve(STREAMS, url, ring_bytes=1_000_000)
    async with subscribe(gateway.address, "numbers", since="1h", limit=1000) as events:
        waiting = asyncio.ensure_future(anext(events))
        for first in range(1, 1001, 100):  # 20 MB, far more than a connection and the ring hold.
            await append(log, first, first + 99, PADDING)
        async with asyncio.timeout(WAIT):
            numbers = [(await waiting).json["n"]]
        numbers += [event.json["n"] async for event in events]
    assert numbers == list(range(1, 1001))


async def test_what_the_gateway_refuses_is_told(serve: Serve, url: str) -> None:
    gateway = await serve(STREAMS, url)
    for options, status, said in [
        ({"streams": "numbrs"}, 404, "numbers"),
        ({"streams": "numbers", "filter": "event.n = 1"}, 400, "line 1, column 9"),
        ({"streams": "numbers", "last_event_id": "17"}, 400, "array"),
    ]:
        arguments: dict[str, Any] = options
        async with subscribe(gateway.address, **arguments) as events:
            with pytest.raises(Refused, match=said) as raised:
                await anext(events)
        assert raised.value.status == status
