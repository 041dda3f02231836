"""Partitions that the log does not give: when they are tried, and that the others never wait."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.trouble import Kind, Refusal, Trouble
from gateway.hub import ordered as ordered_module
from gateway.hub import partitions as partitions_module
from gateway.hub import recovery as recovery_module
from gateway.hub import seek as seek_module
from gateway.hub.hub import Hub
from gateway.hub.ordered import OrderedReader, Read
from gateway.hub.partitions import FIRST_WAIT, LONGEST_WAIT, TRIAL_SECONDS, Ward, waiting_for
from gateway.hub.reach import reach_end
from gateway.model.record import TopicPartition
from tests.hub.test_discovery import fill, held, hub_over, running, until
from tests.kit.waiting import PATIENCE

WELL, SICK = TopicPartition("alpha", 0), TopicPartition("beta", 0)
LEADERLESS, FORBIDDEN = Trouble(Kind.NO_LEADER, "set by the test"), Trouble(Kind.NO_RIGHT, "set by the test")
DAMAGED = Trouble(Kind.UNREADABLE, "set by the test", 2)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordered_module, "IDLE_WAIT", 0.005)
    monkeypatch.setattr(recovery_module, "TEND_WAIT", 0.002)
    monkeypatch.setattr(partitions_module, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(partitions_module, "LONGEST_WAIT", 0.01)
    monkeypatch.setattr(partitions_module, "TRIAL_SECONDS", 0.02)


def two_topics() -> MemoryLog:
    log = MemoryLog()
    for partition in (WELL, SICK):
        log.create_topic(partition.topic)
        fill(log, partition, [999_000, 999_001])
    return log


async def goes_on(log: MemoryLog, hub: Hub) -> None:
    """What is well is read at once."""
    end = hub.ring.end(WELL)
    fill(log, WELL, [999_100])
    await until(lambda: hub.ring.end(WELL) == end + 1, hub, seconds=1)


@pytest.mark.parametrize("trouble", [LEADERLESS, FORBIDDEN])
@pytest.mark.parametrize("means", ["refuse", "hide", "spoil"])
async def test_a_start_with_a_sick_topic_begins_the_others(means: str, trouble: Trouble) -> None:
    log = two_topics()
    trouble = trouble._replace(offset=0)
    getattr(log, means)("beta" if means == "hide" else SICK, trouble)
    async with running(hub_over(log)) as hub:
        assert hub.available
        assert held(hub, WELL) == [0, 1]
        await until(lambda: hub.sick.get(SICK) == trouble, hub)
        await goes_on(log, hub)
        getattr(log, means)("beta" if means == "hide" else SICK, None)
        await until(lambda: not hub.sick, hub)
        await until(lambda: held(hub, SICK) == [0, 1], hub)
        fill(log, SICK, [999_200])
        await until(lambda: held(hub, SICK) == [0, 1, 2], hub)


@pytest.mark.parametrize("means", ["refuse", "spoil"])
async def test_what_falls_sick_while_it_is_read_goes_on_where_the_hub_stood(means: str) -> None:
    log = two_topics()
    async with running(hub_over(log)) as hub:
        await until(lambda: held(hub, SICK) == [0, 1], hub)
        getattr(log, means)(SICK, DAMAGED)
        fill(log, SICK, [999_200, 999_201])
        await until(lambda: SICK in hub.sick, hub)
        for _ in range(3):
            await goes_on(log, hub)
        assert held(hub, SICK) == [0, 1]
        getattr(log, means)(SICK, None)
        await until(lambda: not hub.sick, hub)
        assert held(hub, SICK) == [0, 1, 2, 3]


@pytest.mark.parametrize("first", [0, 1, 3, 4])
@pytest.mark.parametrize("told", [True, False])
async def test_a_start_passes_over_a_damaged_batch_of_the_newest_part(first: int, told: bool) -> None:
    log = two_topics()
    fill(log, SICK, [999_002, 999_003, 999_004])
    # The batch reaches to offset 4, or, where nobody knows, to the end.
    log.spoil(SICK, Trouble(Kind.UNREADABLE, "set by the test", first, 4 if told and first < 4 else -1))
    behind = [4] if told and first < 4 else []
    async with running(hub_over(log)) as hub:
        await until(lambda: held(hub, SICK) == behind, hub)
        assert held(hub, WELL) == [0, 1]
        assert hub.ring.end(SICK) == 5
        assert not hub.sick
        if not behind:
            log.spoil(SICK, None)
        fill(log, SICK, [999_200])
        await until(lambda: held(hub, SICK) == [*behind, 5], hub)
        await goes_on(log, hub)


async def test_of_many_damaged_batches_the_partition_is_begun_at_its_end() -> None:
    log = two_topics()
    fill(log, SICK, [999_002 + n for n in range(20)])
    for first in range(22):
        log.spoil(SICK, Trouble(Kind.UNREADABLE, "set by the test", first, first + 1))
    async with running(hub_over(log)) as hub:
        await until(lambda: SICK in hub.ring.partitions() and hub.ring.end(SICK) == 22, hub)
        assert held(hub, SICK) == []
        fill(log, SICK, [999_200])
        await until(lambda: held(hub, SICK) == [22], hub)


async def test_a_right_that_is_revoked_and_given_back() -> None:
    log = two_topics()
    async with running(hub_over(log)) as hub:
        version = hub.version
        log.hide("beta", FORBIDDEN)
        fill(log, SICK, [999_200])
        await until(lambda: SICK in hub.sick, hub)
        await goes_on(log, hub)
        assert "beta" in hub.discovery.existing, "nobody says that it is gone"
        log.hide("beta", None)
        await until(lambda: held(hub, SICK) == [0, 1, 2], hub)
        await until(lambda: not hub.sick, hub)
        assert hub.version >= version


async def test_a_topic_that_appears_without_a_leader_is_read_from_its_first_record() -> None:
    log = MemoryLog()
    log.create_topic("alpha")
    async with running(hub_over(log)) as hub:
        await until(lambda: "beta" in hub.discovery.sought, hub)
        log.refuse(SICK, LEADERLESS)
        log.create_topic("beta")
        fill(log, SICK, [1, 2, 3])
        await until(lambda: SICK in hub.sick, hub)
        await goes_on(log, hub)
        log.refuse(SICK, None)
        await until(lambda: held(hub, SICK) == [0, 1, 2], hub)


async def test_what_hangs_while_it_is_begun_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seek_module, "FIND_SECONDS", 0.02)
    log = two_topics()
    find = log.find

    async def hanging(times: dict[TopicPartition, int]) -> object:
        if SICK in times:
            await asyncio.sleep(3600)
        return await find(times)

    log.find = hanging  # type: ignore[assignment]
    async with running(hub_over(log)) as hub:
        assert hub.sick[SICK].kind is Kind.UNAVAILABLE
        await goes_on(log, hub)


async def test_a_topic_created_again_without_a_leader_is_begun_anew() -> None:
    log = two_topics()
    async with running(hub_over(log)) as hub:
        await until(lambda: held(hub, SICK) == [0, 1], hub)
        epoch = hub.ring.epoch
        log.refuse(SICK, LEADERLESS)
        log.delete_topic("beta")
        log.create_topic("beta")
        fill(log, SICK, [5, 6, 7])
        await until(lambda: hub.ring.epoch != epoch, hub)
        await goes_on(log, hub)
        log.refuse(SICK, None)
        await until(lambda: held(hub, SICK) == [0, 1, 2], hub)


async def test_a_sick_partition_is_tried_with_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions_module, "FIRST_WAIT", 0.02)
    monkeypatch.setattr(partitions_module, "LONGEST_WAIT", 0.04)
    log = two_topics()
    log.spoil(SICK, LEADERLESS._replace(offset=2))
    fill(log, SICK, [999_200])
    asked = 0
    bounds = log.bounds

    async def counted(partitions: object) -> object:
        nonlocal asked
        asked += 1
        return await bounds(partitions)  # type: ignore[arg-type]

    async with running(hub_over(log)) as hub:
        await until(lambda: SICK in hub.sick, hub)
        log.bounds = counted  # type: ignore[assignment]
        await asyncio.sleep(0.3)
        await until(lambda: asked >= 2, hub)
        assert asked <= 16


async def test_the_end_of_a_topic_that_nobody_may_read_is_not_waited_for() -> None:
    log = two_topics()
    log.hide("beta", FORBIDDEN)
    async with running(hub_over(log)) as hub, asyncio.timeout(PATIENCE):
        await reach_end(hub, ["alpha", "beta"])


def test_each_case_has_waits_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    ward = Ward()
    waits, now = [], 0.0
    for _ in range(9):
        ward.refuse(SICK, LEADERLESS, now)
        begun = now
        while not ward.due(now):
            now += FIRST_WAIT / 4
        waits.append(now - begun)
    assert [round(wait, 2) for wait in waits] == sorted(round(wait, 2) for wait in waits)
    assert waits[0] == pytest.approx(FIRST_WAIT, abs=FIRST_WAIT / 2)
    assert waits[-1] == pytest.approx(LONGEST_WAIT, abs=FIRST_WAIT / 2)
    ward.refuse(WELL, FORBIDDEN, now)
    assert ward.due(now + FIRST_WAIT) == [SICK, WELL], "another begins with short ones"


def test_what_stands_its_trial_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    ward = Ward()
    ward.refuse(SICK, LEADERLESS, 0.0)
    ward.try_again(SICK, 1.0)
    assert not ward.is_shut(SICK)
    assert ward.troubles == {SICK: LEADERLESS}
    assert not ward.settle(TRIAL_SECONDS)
    ward.refuse(SICK, FORBIDDEN, TRIAL_SECONDS)
    assert ward.is_shut(SICK)
    ward.try_again(SICK, 10.0)
    assert ward.settle(10.0 + TRIAL_SECONDS)
    assert ward.troubles == {}


def test_clients_are_told_of_their_own_partitions_and_of_no_host() -> None:
    sick = {TopicPartition("beta", number): LEADERLESS for number in range(5)}
    assert waiting_for(sick, {"alpha"}) is None
    assert waiting_for(sick, {"alpha", "beta"}) == b"waiting for beta/0, beta/1, beta/2 and 2 more"
    assert waiting_for({TopicPartition("a\nb", 0): LEADERLESS}, {"a\nb"}) == b"waiting for a\\x0ab/0"


async def test_a_refusal_of_a_partition_that_is_gone_by_then_concerns_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log is asked where it ends after a read: a topic that was created again with fewer partitions may be known
    before what was refused is looked at."""
    log, gone = two_topics(), TopicPartition("beta", 7)
    fetch, refused = OrderedReader.fetch, asyncio.Event()

    async def late(self: OrderedReader, resting: Mapping[str, float]) -> Read:
        read = await fetch(self, resting)
        if not refused.is_set():
            read.refusals.append(Refusal(gone, LEADERLESS))
            refused.set()
        return read

    monkeypatch.setattr(OrderedReader, "fetch", late)
    async with running(hub_over(log)) as hub:
        async with asyncio.timeout(PATIENCE):
            await refused.wait()
        await goes_on(log, hub)
        assert hub.available
        assert not hub.sick
        assert not [record for record in caplog.records if record.levelname == "ERROR"]
