"""How long the hub rests after a delivery."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.clock import SystemClock
from gateway.eventlog.memory.log import MemoryLog
from gateway.hub import ordered as ordered_module
from gateway.hub.hub import Hub
from gateway.hub.options import HubOptions
from gateway.hub.pace import SHARE, Load, Pace
from gateway.hub.segment import Segment
from gateway.model.position import NOTHING_READ
from gateway.model.record import NewRecord, Record, TopicPartition
from tests.hub.pacing import A_WRITE, Stream, simulate
from tests.kit.waiting import PATIENCE

INTERVAL = 0.1


@pytest.mark.parametrize("random", [False, True])
@pytest.mark.parametrize(("clients", "rate"), [(100, 10), (100, 60), (10, 300), (1000, 10), (1000, 20)])
def test_below_a_quarter_of_a_core_nobody_waits(clients: int, rate: float, random: bool) -> None:
    stream = Stream(rate, clients, random)
    assert stream.use < SHARE
    outcome = simulate({"one": stream})
    assert not any(outcome.resting("one"))


def test_that_holds_for_all_streams_together() -> None:
    streams = {f"topic {number}": Stream(10 + number, 100) for number in range(10)}
    assert sum(stream.use for stream in streams.values()) < SHARE
    outcome = simulate(streams)
    assert not any(any(outcome.resting(name)) for name in streams)
    dearer = {name: replace(stream, rate=3 * stream.rate) for name, stream in streams.items()}
    assert any(any(simulate(dearer).resting(name)) for name in streams)


@pytest.mark.parametrize("random", [False, True])
@pytest.mark.parametrize(("clients", "rate"), [(1000, 100), (1000, 300), (300, 1000), (10, 5000)])
def test_above_it_the_share_stays_there(clients: int, rate: float, random: bool) -> None:
    outcome = simulate({"one": Stream(rate, clients, random)})
    assert outcome.total(3, 10) == pytest.approx(SHARE, rel=0.05)
    assert outcome.latest("one") <= INTERVAL
    if not random:
        # It comes to rest at one length: nothing swings.
        rests = outcome.resting("one", 5)
        assert max(rests) - min(rests) < 0.001


def test_a_rest_is_no_longer_than_the_budget_asks_for() -> None:
    """Twice the load for the same clients needs no longer rests; twice the clients need rests of twice the length."""
    rests = [simulate({"one": Stream(*given)}).resting("one", 5)[0] for given in [(200, 500), (400, 500), (200, 1000)]]
    assert rests[1] == pytest.approx(rests[0], rel=0.05)
    assert rests[2] == pytest.approx(2 * rests[0], rel=0.1)


def test_a_step_up_and_down() -> None:
    calm, busy = Stream(10, 1000), Stream(300, 1000, begins=5.0, ends=10.0)
    outcome = simulate({"one": calm, "two": busy}, seconds=20)
    assert not any(outcome.resting("one", 0, 5))
    assert outcome.total(7, 10) == pytest.approx(SHARE, rel=0.1)
    assert not any(outcome.resting("one", 10.5))
    assert outcome.latest("one", 10.5) < 0.03


def test_a_burst_is_no_reason_to_rest() -> None:
    """A quarter of a second of the processor may be taken at once."""
    outcome = simulate({"one": Stream(2, 1000), "burst": Stream(2000, 1000, begins=5.0, ends=5.2)})
    assert not any(outcome.resting("one"))
    assert not any(outcome.resting("burst"))


def test_records_that_come_in_bursts_are_delivered_as_they_come() -> None:
    """Fifty at once, five times a second: each burst is one write."""
    outcome = simulate({"one": Stream(250, 1000, together=50)})
    assert not any(outcome.resting("one"))


@pytest.mark.parametrize("random", [False, True])
def test_light_topics_do_not_wait_for_a_heavy_one(random: bool) -> None:
    light = {f"light {number}": Stream(5 * (number + 1), 10, random) for number in range(5)}
    outcome = simulate({"heavy": Stream(200, 1000, random), **light})
    assert outcome.total(3, 10) == pytest.approx(SHARE, rel=0.1)
    assert any(outcome.resting("heavy"))
    for name in light:
        # For no longer than two deliveries take: one that is under way, and one with which it shares a read.
        assert not any(outcome.resting(name))
        assert outcome.latest(name) < 2.5 * 1000 * A_WRITE


def test_heavy_topics_have_equal_parts() -> None:
    streams = {"one": Stream(300, 500), "two": Stream(600, 500), "three": Stream(600, 250), "light": Stream(10, 10)}
    outcome = simulate(streams)
    each = (SHARE - outcome.share("light", 4, 10)) / 3
    for name in ("one", "two", "three"):
        assert outcome.share(name, 4, 10) == pytest.approx(each, rel=0.2)
    assert not any(outcome.resting("light"))


def test_events_too_rare_to_share_a_write_do_not_wait() -> None:
    """With 40 a second to a thousand clients, the budget would have every second event share the write of another."""
    stream = Stream(40, 1000)
    assert SHARE < stream.use < 2 * SHARE
    assert not any(simulate({"one": stream}).resting("one"))


def test_what_nobody_reads_is_read_in_few_calls() -> None:
    """However little it takes; and where it is rare, at once."""
    outcome = simulate({"nobody": Stream(300, 0), "rare": Stream(10, 0), "one": Stream(20, 10)})
    assert min(outcome.resting("nobody", 1, 9)) > 0.9 * INTERVAL
    assert outcome.share("nobody", 1, 9) < 0.003
    assert not any(outcome.resting("rare"))
    assert not any(outcome.resting("one"))
    assert not any(simulate({"nobody": Stream(300, 0)}, flush_interval=0.0).resting("nobody"))


def test_catching_up_is_no_reason_to_rest() -> None:
    pace = Pace(INTERVAL, 65536)
    for number in range(100):
        pace.spent(number * 0.1, number * 0.1 + 0.1, 0.1, {"one": Load(1000, 65536, 1000)}, more=True)
        assert not pace.resting(number * 0.1 + 0.1)


@pytest.mark.parametrize(("flush_interval", "longest"), [(0.0, 0.0), (0.01, 0.01), (0.5, 0.5)])
def test_no_rest_is_longer_than_the_interval(flush_interval: float, longest: float) -> None:
    outcome = simulate({"one": Stream(35, 10_000)}, flush_interval=flush_interval)
    assert max(outcome.resting("one")) <= longest


def test_no_rest_is_longer_than_the_bytes_take_to_come() -> None:
    outcome = simulate({"one": Stream(1000, 1000)}, flush_bytes=12_000)
    assert max(outcome.resting("one", 1, 9)) <= 0.01
    assert outcome.latest("one", 1) < 0.03


@pytest.mark.parametrize("seconds", [3600.0, -3600.0, 0.05, -0.05])
def test_a_clock_that_jumps_keeps_nobody_waiting(seconds: float) -> None:
    streams = {"heavy": Stream(200, 1000), "light": Stream(10, 10)}
    outcome = simulate(streams, jumps={5.0: seconds, 6.0: -seconds, 6.01: seconds})
    assert outcome.latest("heavy") <= INTERVAL
    assert not any(outcome.resting("light"))
    assert outcome.total(8, 10) == pytest.approx(SHARE, rel=0.1)


TOPICS = st.dictionaries(
    st.sampled_from("abcd"),
    st.builds(Stream, st.floats(1, 500), st.integers(1, 2000), st.booleans(), together=st.sampled_from([1, 5])),
    min_size=1,
)


@settings(max_examples=40)
@given(TOPICS, st.sampled_from([0.02, 0.1]), st.sampled_from([12_000, 65_536, 1 << 30]))
def test_what_takes_little_waits_for_no_rest_of_its_own(
    streams: dict[str, Stream], flush_interval: float, flush_bytes: int
) -> None:
    """A topic that takes less than half of an equal part never rests; no rest is longer than it may be; and nothing
    rests where all of them together stay within the budget."""
    outcome = simulate(streams, 3.0, flush_interval, flush_bytes)
    for name, stream in streams.items():
        assert max(outcome.resting(name), default=0.0) <= flush_interval
        if stream.use < SHARE / len(streams) / 2 or sum(other.use for other in streams.values()) < 0.8 * SHARE:
            assert not any(outcome.resting(name))


async def test_the_time_of_others_is_not_the_deliverys() -> None:
    """Where the hub gives way within a delivery, replays run."""
    used = 0.0
    options = HubOptions(flush_bytes=1000)
    hub = Hub(MemoryLog(), {"one": False}, SystemClock(), options, used=lambda: used)
    hub.ring.add(TopicPartition("one", 0), NOTHING_READ, 0)
    records = [Record("one", 0, offset, 1, None, b'{"pad":"%b"}' % (b"x" * 590)) for offset in range(20)]

    def deliver(segment: Segment) -> None:
        nonlocal used
        used += 0.001

    async def replay() -> None:
        nonlocal used
        while True:
            used += 1.0
            await asyncio.sleep(0)

    hub.deliver = deliver
    other = asyncio.create_task(replay())
    hub._stopwatch.begin()
    await hub._take(TopicPartition("one", 0), records)
    hub._stopwatch.pause()
    other.cancel()
    assert used > 5
    assert hub._stopwatch.seconds == pytest.approx(0.01)


async def test_what_rests_keeps_nothing_else_waiting_and_is_lost_nowhere() -> None:
    """The hub reads a light topic while a heavy one rests, and then goes on with the heavy one."""
    log = MemoryLog()
    for topic in ("heavy", "light"):
        await log.create(topic, 2)
    seconds = count(0.0, 1000.0)
    options = HubOptions(flush_interval=0.2, flush_bytes=1 << 30)
    hub = Hub(log, {"heavy": False, "light": False}, SystemClock(), options, used=lambda: next(seconds))
    hub.listeners = {"heavy": 10**9, "light": 1}.__getitem__
    order: list[tuple[str, int]] = []
    hub.deliver = lambda segment: order.extend((one.partition.topic, one.consumed.timestamp) for one in segment.items)
    running = asyncio.create_task(hub.run())
    await hub.filled.wait()

    async def put(topic: str, number: int, until: int) -> None:
        await log.append(topic, [NewRecord(b"{}", b"%d" % number, number)])
        async with asyncio.timeout(PATIENCE):
            while len(order) < until:
                await hub.change()

    for number in range(20):
        await log.append("heavy", [NewRecord(b"{}", b"%d" % number, number)])
        await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE):
        while len(order) < 20:
            await hub.change()
    await put("heavy", 20, 21)
    assert "heavy" in hub._pace.resting(asyncio.get_running_loop().time())
    await log.append("heavy", [NewRecord(b"{}", b"x", 21)])
    await put("light", 22, 22)
    assert order[-1] == ("light", 22)
    async with asyncio.timeout(PATIENCE):
        while len(order) < 23:
            await hub.change()
    assert order[-1] == ("heavy", 21)
    running.cancel()
    await asyncio.wait([running])


@pytest.mark.parametrize(("events", "segments"), [(1, [1]), (12, [12]), (45, [20, 20, 5])])
async def test_what_is_a_little_more_than_a_flush_shares_its_write(events: int, segments: list[int]) -> None:
    """A rest is as long as `flush_bytes` take to come, so that a read brings a little less or a little more."""
    partition = TopicPartition("one", 0)
    value = b'{"pad":"%b"}' % (b"x" * 590)
    hub = Hub(MemoryLog(), {"one": False}, SystemClock(), HubOptions(flush_bytes=10_000))
    hub.ring.add(partition, NOTHING_READ, 0)
    delivered: list[int] = []
    hub.deliver = lambda segment: delivered.append(len(segment.items))
    await hub._take(partition, [Record("one", 0, offset, 1, None, value) for offset in range(events)])
    hub.flush()
    assert delivered == segments


async def test_there_is_no_rest_while_the_log_has_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the hub would read so many records a rest, and never catch up with a log that is faster."""
    monkeypatch.setattr(ordered_module, "FETCH_RECORDS", 3)
    seconds = count(0.0, 1000.0)
    log = MemoryLog()
    await log.create("one", 1)
    hub = Hub(log, {"one": False}, SystemClock(), HubOptions(flush_interval=1e6), used=lambda: next(seconds))
    delivered: list[int] = []
    hub.deliver = lambda segment: delivered.append(len(segment.items))
    running = asyncio.create_task(hub.run())
    await hub.filled.wait()
    await log.append("one", [NewRecord(b"{}", None, 1) for _ in range(10)])
    async with asyncio.timeout(PATIENCE):
        while sum(delivered) < 10:
            await hub.change()
    running.cancel()
    await asyncio.wait([running])
    assert delivered == [3, 3, 3, 1]
