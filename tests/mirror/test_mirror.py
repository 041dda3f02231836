"""A mirror: what it stores, and where it goes on."""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import replace
from typing import Any

import httpx
import pytest

from gateway.client import ClientError, NotAnEventStream, Refused, StreamFailed
from gateway.errors import WriterFenced
from gateway.mirror import mirror as module
from gateway.mirror.record import SourcePosition
from gateway.model.record import NewRecord
from tests.client.server import answer, message, position, stream
from tests.kit.events import numbered
from tests.mirror.kit import NAME, TARGET, WAIT, Bench, Live, frame, heartbeat, numbers
from tests.mirror.log import Log


async def test_bytes_stay_as_they_are(log: Log) -> None:
    given = [b'{ "a" : 1.0e0, "b":"\\u00e4\xc3\xa4" }', b"no json", b"[1,2]", b"{}", b'{"two":\n"lines"}', b" \xff\xfe"]
    bench = Bench(log, stream(*(frame(data, position(number)) for number, data in enumerate(given))))
    meter = await bench.run()
    assert await bench.values() == given
    assert meter.events == len(given)
    assert meter.gaps == 0


async def test_times_and_keys(log: Log) -> None:
    event = {"meta": {"dt": "2020-01-01T00:00:00.5Z"}, "user": {"name": "x"}}
    started = time.time_ns() // 1_000_000
    two = '[{"topic":"a","partition":0,"timestamp":%d},{"topic":"b","partition":1,"offset":3,"timestamp":%d}]'
    frames = [
        frame(json.dumps(event).encode(), position(1_700_000_000)),
        frame(json.dumps(event).encode(), two % (1, 2000)),
        frame(json.dumps(event).encode(), two % (1500, 2000)),
        frame(json.dumps(event).encode(), two % (1500, 2000)),
        frame(json.dumps({"user": {"name": 5}}).encode(), "17"),
        frame(b"no json", "18"),
    ]
    keyed = replace(TARGET, message_key_fields=("user.name",))
    bench = Bench(log, stream(*frames), stream=keyed)
    await bench.run()
    records = await bench.records()
    assert [record.timestamp for record in records[:4]] == [1_700_000_000_000, 2000, 1500, 1_577_836_800_500]
    assert all(started <= record.timestamp <= started + 60_000 for record in records[4:])
    assert [record.key for record in records] == [b"x"] * 4 + [b"5", None]


@pytest.mark.parametrize("form", [position, str, "id {}".format])
async def test_a_mirror_goes_on_where_the_one_before_stopped(log: Log, form: Any) -> None:
    given = [message(number, form(number)) for number in range(30)]
    bench = Bench(log, stream(*given[:10]), stream(b"".join(given[10:15]), given[15][:20]))
    await bench.run()
    again = Bench(log, stream(*given[15:]))
    await again.run()
    assert bench.server.position(0) is None
    assert bench.server.position(1) == form(9)
    assert again.server.position(0) == form(14)
    assert numbers(await bench.values()) == list(range(30))
    assert log.position == SourcePosition(form(29), 30)
    assert any("resuming after 15 events" in line for line in again.said)


@pytest.mark.parametrize("seed", range(20))
async def test_a_log_that_fails_at_any_time(log: Log, seed: int) -> None:
    chance = random.Random(seed)
    given = [message(number, "same" if seed % 2 else None) for number in range(50)]
    live = Live()
    log.failures = chance.choices(["lose", "deaf", ""], k=40)
    bench = Bench(log, live.response)
    running = asyncio.create_task(bench.run())
    for piece in given:
        live.send(piece)
        for _ in range(chance.randrange(6)):
            await asyncio.sleep(0)
    live.end()
    await running
    assert numbers(await bench.values()) == list(range(50))
    assert log.position.events == 50
    assert bench.said.count("the log answers again") == sum(line.startswith("waiting for") for line in bench.said) > 0


async def test_a_topic_that_is_deleted_is_created_again(log: Log) -> None:
    live = Live()
    bench = Bench(log, live.response)
    running = asyncio.create_task(bench.run())
    await log.create(TARGET.name)
    live.send(message(0))
    assert numbers(await bench.values(1)) == [0]
    log.delete_topic(TARGET.name)
    live.send(message(1))
    live.end()
    await running
    assert numbers(await bench.values()) == [1]


async def test_a_position_moves_without_events(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    # However slow the machine is, it does not come while the positions do.
    monkeypatch.setattr(module, "POSITION_SECONDS", 3600.0)
    live = Live()
    bench = Bench(log, live.response)
    mirror, meter = bench.mirror()
    stop = asyncio.Event()
    running = asyncio.create_task(mirror.run(stop))
    live.send(heartbeat(position(0)))
    await reached(log, position(0))
    for number in range(1, 100):
        live.send(heartbeat(position(number)))
        await asyncio.sleep(0)
    while live.taken < 100:  # noqa: ASYNC110  # there is no event for it
        await asyncio.sleep(0)
    assert log.appends == [0]
    assert meter.lag == 0
    stop.set()
    await running
    assert log.appends == [0, 0]
    assert log.position == SourcePosition(position(99), 0)
    monkeypatch.setattr(module, "POSITION_SECONDS", 0.02)
    live = Live()
    bench = Bench(log, live.response)
    again = asyncio.create_task(bench.run())
    live.send(heartbeat(position(100)))
    await reached(log, position(100))
    live.end()
    await again


async def reached(log: Log, identifier: str) -> None:
    """Wait until this position is kept."""
    async with asyncio.timeout(WAIT):
        while NAME not in log.writers or log.position.id != identifier:  # noqa: ASYNC110  # there is no event for it
            await asyncio.sleep(0.001)


async def test_a_gap_is_told(log: Log) -> None:
    gap = frame(b'{"topic":"t","requested":3,"reason":"expired"}', position(7), "gap")
    bench = Bench(log, stream(message(3), gap, message(8)))
    meter = await bench.run()
    assert numbers(await bench.values()) == [3, 8]
    assert meter.gaps == 1
    assert "1 gap," in meter.told()
    (told,) = [line for line in bench.said if line.startswith("GAP")]
    assert '"requested":3' in told


async def test_events_of_other_names_are_left_out_and_told_once(log: Log) -> None:
    others = [frame(b"x" * 10_000, position(number), "other") for number in range(1, 5)]
    bench = Bench(log, stream(message(0), *others, message(5)))
    await bench.run()
    assert numbers(await bench.values()) == [0, 5]
    (told,) = [line for line in bench.said if "'other'" in line]
    assert len(told) < 700


async def test_a_source_without_ids(log: Log) -> None:
    bench = Bench(log, stream(*(frame(numbered(number), None) for number in range(5))))
    await bench.run()
    assert numbers(await bench.values()) == list(range(5))
    assert sum("names no positions" in line for line in bench.said) == 1


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (answer(200, "<!doctype html><p>Hello", content_type="text/html"), NotAnEventStream, "<!doctype html>"),
        (answer(404, '{"detail":"There is no stream t."}'), Refused, "There is no stream t."),
        (stream(message(0), frame(b'{"title":"broken"}', None, "error")), StreamFailed, "broken"),
    ],
)
async def test_a_source_that_cannot_be_read(log: Log, given: httpx.Response, error: type, said: str) -> None:
    bench = Bench(log, given)
    with pytest.raises(error, match=said) as raised:
        await bench.run()
    assert issubclass(error, ClientError)
    assert "feed.test" in str(raised.value)
    assert numbers(await bench.values()) == ([0] if error is StreamFailed else [])


async def test_an_event_that_is_too_large_is_told_and_the_copy_goes_on(log: Log) -> None:
    large = [b"id: ", position(1).encode(), b"\ndata: ", *[b"x" * 1_000_000] * 20, b"\n\n"]
    bench = Bench(log, stream(message(0), *large, message(2)), answer(204))
    await bench.run()
    assert numbers(await bench.values()) == [0, 2]
    (told,) = [line for line in bench.said if line.startswith("GAP")]
    assert "no longer" not in told
    assert '"too_large"' in told


async def test_a_source_that_comes_back(log: Log) -> None:
    bench = Bench(
        log,
        httpx.ConnectError("refused"),
        answer(503, "soon", retry_after="7"),
        stream(message(0), b"data: {}"),
        stream(),
        stream(message(1)),
    )
    await bench.run()
    assert numbers(await bench.values()) == [0, 1]
    assert sum("trying again" in line for line in bench.said) == 5
    assert bench.slept[1] >= 7
    assert bench.server.position(4) == position(0)


async def test_a_second_mirror_takes_over(log: Log) -> None:
    first_live, second_live = Live(), Live()
    first, second = Bench(log, first_live.response), Bench(log, second_live.response)
    old = asyncio.create_task(first.run())
    first_live.send(message(0))
    await reached(log, position(0))
    new = asyncio.create_task(second.run())
    while len(second.server.requests) == 0:  # noqa: ASYNC110  # there is no event for it
        await asyncio.sleep(0)
    assert second.server.position(0) == position(0)
    second_live.send(message(1))
    first_live.send(message(1), message(2))
    with pytest.raises(WriterFenced, match="has taken over"):
        await old
    second_live.send(message(2))
    second_live.end()
    await new
    assert numbers(await first.values()) == [0, 1, 2]


async def test_another_mirror_was_there_while_the_log_was_away(log: Log) -> None:
    live = Live()
    bench = Bench(log, live.response, stream(message(5)))
    running = asyncio.create_task(bench.run())
    live.send(message(0))
    await reached(log, position(0))
    other = await log.writer(NAME)
    log.failures = ["", "lose"]
    records = [(TARGET.name, NewRecord(numbered(n))) for n in range(1, 5)]
    await other.append(records, SourcePosition(position(4), 5).encode())
    live.send(message(1))
    await running
    assert bench.server.position(1) == position(4)
    assert numbers(await bench.values()) == list(range(6))


async def test_a_log_that_is_slow_stops_the_reading(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GATHERED_BYTES", 1000)
    live = Live()
    bench = Bench(log, live.response)
    log.let.clear()
    running = asyncio.create_task(bench.run())
    live.send(*(message(number, text="x" * 100) for number in range(100)))
    live.end()
    for _ in range(1000):
        await asyncio.sleep(0)
    assert live.taken < 20
    log.let.set()
    await running
    assert numbers(await bench.values()) == list(range(100))
    assert max(log.appends) > 5


@pytest.mark.parametrize(("at_once", "most"), [(100, 10), (1, 10), (7, 9)])
async def test_an_append_is_never_large(log: Log, monkeypatch: pytest.MonkeyPatch, at_once: int, most: int) -> None:
    monkeypatch.setattr(module, "APPEND_RECORDS", 10)
    given = [message(number) for number in range(100)]
    live = Live()
    bench = Bench(log, live.response)
    log.let.clear()
    log.failures = [*["lose", ""] * 5]
    running = asyncio.create_task(bench.run())
    live.send(*(b"".join(given[first : first + at_once]) for first in range(0, 100, at_once)))
    live.end()
    while not log.appends:  # noqa: ASYNC110  # there is no event for it
        await asyncio.sleep(0)
    log.let.set()
    await running
    assert numbers(await bench.values()) == list(range(100))
    assert max(log.appends) == most
    assert log.position == SourcePosition(position(99), 100)


async def test_a_stop_while_the_log_is_away(log: Log) -> None:
    log.available = False
    bench = Bench(log)
    mirror, _ = bench.mirror()
    stop = asyncio.Event()
    running = asyncio.create_task(mirror.run(stop))
    while len(bench.slept) < 10:  # noqa: ASYNC110  # there is no event for it
        await asyncio.sleep(0)
    stop.set()
    async with asyncio.timeout(WAIT):
        await running
    assert bench.said == ["waiting for the log: the log in memory is set unavailable"]
    assert bench.server.requests == []


async def test_what_was_read_is_stored_at_a_stop(log: Log) -> None:
    live = Live()
    bench = Bench(log, live.response)
    mirror, meter = bench.mirror()
    stop = asyncio.Event()
    log.let.clear()
    running = asyncio.create_task(mirror.run(stop))
    live.send(*(message(number) for number in range(10)))
    while live.taken < 10:  # noqa: ASYNC110  # there is no event for it
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    stop.set()
    log.let.set()
    await running
    stored = len(await bench.values())
    assert stored >= 9
    assert log.position == SourcePosition(position(stored - 1), stored)
    assert meter.events == stored
