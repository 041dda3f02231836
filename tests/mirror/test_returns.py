"""What a mirror takes for an event that comes back, and for a source that is its own target."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator

import httpx
import pytest

from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.port import shown_identity
from gateway.mirror.returns import MirrorsItself, Returns
from gateway.model.position import parse_position
from gateway.model.record import NewRecord, TopicPartition
from tests.client.server import ALL, message, position, stream
from tests.eventlog.kit import batches_of
from tests.kit.events import numbered
from tests.mirror.kit import TARGET, WAIT, Bench, Live, frame


def event(number: int, **meta: str) -> bytes:
    return numbered(number, meta=meta)


def owned(log: MemoryLog, *pieces: bytes) -> httpx.Response:
    """A stream of a gateway over this log."""
    return stream(*pieces, headers=ALL | {"event-gateway-log": shown_identity(log._identity)})


def at(topic: str, offset: int = 0) -> str:
    return f'[{{"topic":"{topic}","partition":0,"offset":{offset},"timestamp":1000}}]'


WELCOME = b": welcome\nid: %b\n\n"


def test_an_event_with_an_id_returns_whenever_it_comes_again() -> None:
    returns = Returns()
    first, second = event(1, id="a"), event(2, id="b")
    assert not returns.has_returned(first, 1)
    assert not returns.has_returned(second, 1)
    assert returns.has_returned(first, 1)
    assert returns.has_returned(second, 99)
    assert not returns.has_returned(event(3, id="a"), 1), "another event of the same id is another event"


@pytest.mark.parametrize("data", [b'{"v":1}', b'{"meta":{"dt":"2026-01-01T00:00:00Z"}}', b'{"meta":{"id":""}}', b"no"])
def test_equal_events_without_an_id_are_copied(data: bytes) -> None:
    returns = Returns(most_doubts=10)
    for time in range(100):
        returns.begin_batch()
        assert not returns.has_returned(data, time), "the same value at another time"
    for _ in range(100):
        assert not returns.has_returned(data, 7), "many at one moment from one sender"


def test_events_without_an_id_that_go_round_end_the_mirror() -> None:
    returns = Returns(most_doubts=50)

    def rounds() -> Iterator[int]:
        for number in range(1000):
            returns.begin_batch()
            assert not returns.has_returned(b'{"v":%d}' % (number % 7), number % 7)
            yield number

    with pytest.raises(MirrorsItself, match="form a circle"):
        list(rounds())


def test_new_events_outweigh_some_that_come_again() -> None:
    returns, chance = Returns(most_doubts=50), random.Random(1)
    for number in range(20_000):
        returns.begin_batch()
        again = number > 100 and chance.random() < 0.3
        which = chance.randrange(100) if again else number
        assert not returns.has_returned(b'{"v":%d}' % which, which)


def test_what_is_remembered_is_bounded() -> None:
    returns = Returns(slots=64)
    for number in range(10_000):
        assert not returns.has_returned(event(number, id=str(number)), number)
    known = sum(returns.has_returned(event(number, id=str(number)), number) for number in range(10_000 - 64, 10_000))
    assert 0 < known < 64
    assert len(returns._slots) == 64


@pytest.mark.long
def test_a_circle_that_is_longer_than_the_memory_ends_the_mirror() -> None:
    returns = Returns(slots=2**12)

    def rounds() -> None:
        for number in range(10 * 2**15):
            returns.has_returned(event(number % 2**15, id="x"), number)

    with pytest.raises(MirrorsItself, match="form a circle"):
        rounds()


@pytest.mark.long
def test_events_that_all_differ_end_nothing() -> None:
    returns = Returns(slots=2**12)
    assert not any(returns.has_returned(event(number, id="x"), number) for number in range(2**17))


async def test_a_source_that_is_the_target_is_refused_before_an_event_comes() -> None:
    log = MemoryLog()
    bench = Bench(log, owned(log, WELCOME % at(TARGET.name, -1).encode(), frame(event(1), at(TARGET.name))))
    with pytest.raises(MirrorsItself, match=f"'{TARGET.name}' of the same log"):
        await bench.run()
    assert await bench.records() == []


async def test_the_target_beside_other_topics_is_refused_too() -> None:
    log = MemoryLog()
    both = json.dumps([*json.loads(at("other")), *json.loads(at(TARGET.name))])
    assert len(parse_position(both)) == 2
    bench = Bench(log, owned(log, WELCOME % both.encode()))
    with pytest.raises(MirrorsItself):
        await bench.run()


async def test_another_topic_of_the_same_log_is_mirrored() -> None:
    log = MemoryLog()
    bench = Bench(log, owned(log, WELCOME % at("other", -1).encode(), frame(event(1), at("other"))))
    assert (await bench.run()).events == 1


async def test_a_topic_of_the_same_name_in_another_log_is_mirrored() -> None:
    bench = Bench(MemoryLog(), owned(MemoryLog(), WELCOME % at(TARGET.name).encode(), message(1)))
    assert (await bench.run()).events == 1


async def test_what_returns_is_left_out_and_told_once() -> None:
    given = [event(number, id=str(number), dt="2026-01-01T00:00:00Z") for number in range(3)]
    frames = [frame(data, position(offset)) for offset, data in enumerate(given * 3)]
    bench = Bench(MemoryLog(), stream(*frames))
    meter = await bench.run()
    assert await bench.values() == given
    assert (meter.events, meter.returned) == (3, 6)
    assert "6 came again" in meter.told()
    assert sum("mirrors form a circle" in line for line in bench.said) == 1


async def test_what_was_read_and_not_stored_does_not_count_as_returned() -> None:
    """Another mirror of the name wrote while the log was away: what came in vain is read again, and stored."""
    log = MemoryLog()
    bench = Bench(log)
    lives = [Live(), Live()]
    bench.server = type(bench.server)(*(live.response for live in lives))
    mirror, meter = bench.mirror()
    log.create_topic(TARGET.name)
    running = asyncio.create_task(mirror.run(asyncio.Event()))
    given = [frame(event(number, id=str(number)), position(number)) for number in range(3)]
    lives[0].send(given[0])
    assert len(await bench.records(1)) == 1
    log.available = False
    lives[0].send(given[1])
    async with asyncio.timeout(WAIT):
        while not bench.slept:  # noqa: ASYNC110  # there is no event for it
            await asyncio.sleep(0.001)
    # Somebody else moves the position, without that event.
    log.writers["name"].position = b'{"id":"","events":7}'
    log.available = True
    lives[1].send(given[1], given[2])
    async with asyncio.timeout(WAIT):
        assert len(await bench.records(3)) == 3
    running.cancel()
    await asyncio.wait([running])
    assert meter.returned == 0


@pytest.mark.parametrize("logs", [2, 3])
async def test_a_circle_of_mirrors_brings_each_log_one_copy_at_the_most(logs: int) -> None:
    given = [event(number, id=str(number)) for number in range(100)]
    circle = [MemoryLog() for _ in range(logs)]
    lives = [Live() for _ in circle]
    for log in circle:
        log.create_topic(TARGET.name)
    circle[0].append_now(TARGET.name, [NewRecord(data, timestamp=1000) for data in given])
    # Each mirror reads the log before its own.
    benches = [Bench(log, lives[number - 1].response) for number, log in enumerate(circle)]
    mirrors = [bench.mirror() for bench in benches]
    tasks = [asyncio.create_task(mirror.run(asyncio.Event())) for mirror, _ in mirrors]
    tasks += [asyncio.create_task(serve(log, live)) for log, live in zip(circle, lives, strict=True)]
    first = mirrors[1][1]
    async with asyncio.timeout(WAIT):
        while first.returned < len(given):  # noqa: ASYNC110  # there is no event for it
            await asyncio.sleep(0.001)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert [len(await bench.records()) for bench in benches] == [200, *[100] * (logs - 1)]


async def serve(log: MemoryLog, live: Live) -> None:
    """What a gateway over the log sends."""
    reader = await log.reader({TopicPartition(TARGET.name, 0): 0})
    while True:
        for batch in batches_of(await reader.fetch(WAIT)):
            for record in batch.records:
                place = f'[{{"topic":"t","partition":0,"offset":{record.offset},"timestamp":{record.timestamp}}}]'
                live.send(frame(record.value or b"", place))
