"""Brokers that hang, lie, lag and dawdle: each call ends in time, and what is newer counts."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import LogUnavailable
from gateway.eventlog.kafka import calls as kafka_calls
from gateway.eventlog.kafka import cluster as kafka_cluster
from gateway.eventlog.kafka import connection as kafka_connection
from gateway.eventlog.kafka import connections as kafka_connections
from gateway.eventlog.kafka import log as kafka
from gateway.eventlog.kafka import producer as kafka_producer
from gateway.eventlog.kafka.log import KafkaLog
from gateway.eventlog.kafka.metadata import NO_ID, TRUST_SECONDS, ClusterMetadata, Memory, Topic, agree, contradicts
from gateway.eventlog.port import Bounds, EventLog
from gateway.eventlog.trouble import Trouble
from gateway.model.record import NewRecord, TopicPartition
from tests.eventlog.kafka.fake_broker import IDENTITY, TOPIC, FakeBroker, fake_brokers
from tests.eventlog.kit import existing
from tests.kit.stopwatch import stopwatch

PARTITION = TopicPartition(TOPIC, 0)
CALL = 1.2
"""The bound of a call here, in seconds."""
NOISE = 0.5
"""How late a machine that others use may be, where what it stands still does not count."""
PATIENCE = 30.0
"""The bound of what a test does not hold to its time."""


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (kafka, kafka_calls, kafka_cluster):
        monkeypatch.setattr(module, "CALL_SECONDS", CALL)
    monkeypatch.setattr(kafka_producer, "SEND_SECONDS", CALL)
    monkeypatch.setattr(kafka_connections, "ATTEMPT_SECONDS", 0.5)
    monkeypatch.setattr(kafka_connections, "BACKOFF_SECONDS", 0.1)
    monkeypatch.setattr(kafka_cluster, "HEDGE_SECONDS", 0.15)
    monkeypatch.setattr(kafka_connection, "SILENCE_SECONDS", 1.0)
    monkeypatch.setattr(kafka_cluster, "RETRY_SECONDS", 0.02)
    monkeypatch.setattr(kafka, "RETRY_SECONDS", 0.02)


def take_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what has to succeed: a call ends by what brokers say, and not because the machine stood still for a while."""
    for module in (kafka, kafka_calls, kafka_cluster):
        monkeypatch.setattr(module, "CALL_SECONDS", PATIENCE)
    monkeypatch.setattr(kafka, "SICK_SECONDS", PATIENCE)
    monkeypatch.setattr(kafka_connections, "ATTEMPT_SECONDS", PATIENCE)


@pytest.fixture
async def brokers() -> AsyncIterator[list[FakeBroker]]:
    async with fake_brokers(3) as made:
        yield made


@pytest.fixture
async def log(brokers: list[FakeBroker]) -> AsyncIterator[KafkaLog]:
    log = KafkaLog([f"127.0.0.1:{brokers[0].port}"])
    await log.open()
    yield log
    await log.close()


def everybody(given: list[FakeBroker], **state: Any) -> None:
    for broker in given:
        for name, value in state.items():
            setattr(broker, name, value)


CALLS: dict[str, Callable[[EventLog], Coroutine[Any, Any, object]]] = {
    "describe": lambda log: log.describe([TOPIC]),
    "bounds": lambda log: log.bounds([PARTITION]),
    "find": lambda log: log.find({PARTITION: 5}),
    "reader": lambda log: log.reader({PARTITION: 0}),
    "create": lambda log: log.create("new"),
    "offer": lambda log: log.offer(TOPIC, [NewRecord(b"x")]),
    "append": lambda log: log.append(TOPIC, [NewRecord(b"x")]),
    "writer": lambda log: log.writer("w"),
}


@pytest.mark.long
@pytest.mark.parametrize("says", ["nothing", "garbage", "huge", "drip", "refused"])
@pytest.mark.parametrize("call", CALLS)
async def test_every_call_ends_in_time_whatever_brokers_do(
    brokers: list[FakeBroker], log: KafkaLog, call: str, says: str
) -> None:
    everybody(brokers, says=says)
    async with stopwatch() as watch:
        with pytest.raises(LogUnavailable):
            await CALLS[call](log)
        assert watch.seconds < CALL + NOISE


@pytest.mark.long
async def test_closing_does_not_wait_for_brokers_that_hang(brokers: list[FakeBroker]) -> None:
    log = KafkaLog([f"127.0.0.1:{brokers[0].port}"])
    await log.open()
    everybody(brokers, says="nothing")
    asking = [asyncio.create_task(log.describe([TOPIC])) for _ in range(3)]
    await asyncio.sleep(0.05)
    async with stopwatch() as watch:
        await log.close()
        assert watch.seconds < 1 + NOISE
    results = await asyncio.gather(*asking, return_exceptions=True)
    assert all(isinstance(result, LogUnavailable) for result in results)


@pytest.mark.long
async def test_callers_of_a_leader_that_hangs_end_together_and_by_one_attempt(
    brokers: list[FakeBroker], log: KafkaLog
) -> None:
    brokers[0].says = "nothing"
    brokers[0].hang_up()
    before = brokers[0].connected

    async def ask() -> None:
        with pytest.raises(LogUnavailable):
            await log.bounds([PARTITION])

    async with stopwatch() as watch:
        await asyncio.gather(*(ask() for _ in range(20)))
        assert watch.seconds < CALL + NOISE
    assert brokers[0].connected - before <= 1 + CALL / 0.5


@pytest.mark.long
async def test_connections_to_a_broker_that_hangs_are_tried_once_for_all(
    brokers: list[FakeBroker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that nobody shares, too: two hundred replays need one each."""
    # It lasts until the test lets it pass.
    monkeypatch.setattr(kafka_connections, "BACKOFF_SECONDS", PATIENCE)
    dialer = kafka_connections.Dialer({})
    address = "127.0.0.1", brokers[0].port
    brokers[0].says = "nothing"

    async def connect() -> str:
        with pytest.raises(LogUnavailable) as failure:
            await dialer.connect(address)
        return str(failure.value)

    async with stopwatch() as watch:
        assert len(set(await asyncio.gather(*(connect() for _ in range(200))))) == 1
        assert await connect() == await connect()  # without an attempt of their own
        assert watch.seconds < 0.5 + NOISE / 2
    assert brokers[0].connected == 1
    brokers[0].says = None
    monkeypatch.setattr(kafka_connections, "BACKOFF_SECONDS", 0.0)
    take_time(monkeypatch)
    connections = await asyncio.gather(*(dialer.connect(address) for _ in range(20)))
    assert brokers[0].connected == 21
    await kafka_connections.close_connections(connections)
    dialer.close()


async def test_an_answer_without_end_is_not_taken_in(brokers: list[FakeBroker], log: KafkaLog) -> None:
    everybody(brokers, says="huge")
    brokers[0].hang_up()
    with pytest.raises(LogUnavailable, match="announces"):
        await log.describe([TOPIC])


async def test_callers_of_a_leader_that_hangs_are_answered_once_another_leads(
    brokers: list[FakeBroker], log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_time(monkeypatch)
    assert await log.bounds([PARTITION]) == {PARTITION: Bounds(7, 7)}
    brokers[0].says = "nothing"
    asking = [asyncio.create_task(log.bounds([PARTITION])) for _ in range(5)]
    await asyncio.sleep(0.3)
    async with stopwatch() as watch:
        everybody(brokers[1:], leader=(2, 2))
        assert await asyncio.gather(*asking) == [{PARTITION: Bounds(7, 7)}] * 5
        assert watch.seconds < 0.5 + NOISE / 2


@pytest.mark.long
async def test_leaders_that_never_know_better_end_the_call_in_time(
    brokers: list[FakeBroker], log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_time(monkeypatch)
    monkeypatch.setattr(kafka, "SICK_SECONDS", 0.4)
    everybody(brokers, offset_error=6)
    async with stopwatch() as watch:
        told = (await log.bounds([PARTITION]))[PARTITION]
        assert isinstance(told, Trouble)
        assert watch.seconds < CALL + NOISE
    everybody(brokers, leader=(99, 9))  # whom nobody knows
    found = (await log.find({PARTITION: 1}))[PARTITION]
    assert isinstance(found, Trouble)
    assert "99" in found.detail


@pytest.mark.long
async def test_another_broker_is_asked_beside_one_that_is_slow(
    brokers: list[FakeBroker], log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_time(monkeypatch)
    await log.describe([TOPIC])
    brokers[0].says = "slow"
    for _ in range(4):
        async with stopwatch() as watch:
            assert await log.describe([TOPIC])
            assert watch.seconds < 0.5


@pytest.mark.long
async def test_a_slow_answer_ends_nothing_but_its_own_request(
    brokers: list[FakeBroker], log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_time(monkeypatch)
    await log.bounds([PARTITION])
    leader = brokers[0]
    before = leader.connected
    leader.says = "slow"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await log.bounds([PARTITION])
    leader.says = None
    assert await log.bounds([PARTITION]) == {PARTITION: Bounds(7, 7)}
    assert leader.connected == before


@pytest.mark.long
async def test_a_connection_over_which_nothing_comes_is_closed(
    brokers: list[FakeBroker], log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_connection, "SILENCE_SECONDS", 0.3)
    await log.bounds([PARTITION])
    brokers[0].deaf_to = {2}
    before = brokers[0].connected
    async with asyncio.timeout(60):
        # How often it is asked within the time of a call depends on the machine.
        while brokers[0].connected == before:
            with pytest.raises(LogUnavailable):
                await log.bounds([PARTITION])
    brokers[0].deaf_to = set()
    assert await log.bounds([PARTITION]) == {PARTITION: Bounds(7, 7)}


@pytest.mark.long
async def test_who_is_cancelled_does_not_cancel_what_others_wait_for(
    brokers: list[FakeBroker], monkeypatch: pytest.MonkeyPatch
) -> None:
    take_time(monkeypatch)
    log = KafkaLog([f"127.0.0.1:{brokers[0].port}"])
    brokers[0].says = "slow"
    first = asyncio.create_task(log.describe([TOPIC]))
    await asyncio.sleep(0.05)
    second = asyncio.create_task(log.describe([TOPIC]))
    await asyncio.sleep(0.05)
    first.cancel()
    brokers[0].says = None
    assert await second
    assert brokers[0].connected == 1
    await log.close()


@pytest.mark.long
async def test_a_broker_that_asks_for_a_pause_gets_it(
    brokers: list[FakeBroker], monkeypatch: pytest.MonkeyPatch
) -> None:
    take_time(monkeypatch)
    address = "127.0.0.1", brokers[0].port
    log = KafkaLog([f"127.0.0.1:{brokers[0].port}"])
    everybody(brokers, brokers={1: brokers[0].port}, throttle=400)
    assert await log.describe([TOPIC])
    asked, end = len(brokers[0].asked), time.monotonic() + log._cluster.paused(address)
    everybody(brokers, throttle=3_600_000)
    again = asyncio.create_task(log.describe([TOPIC]))
    while not again.done():
        # Nothing that was asked is older than the end of the pause.
        assert len(brokers[0].asked) == asked or time.monotonic() >= end
        await asyncio.sleep(0.02)
    assert await again
    assert len(brokers[0].asked) == asked + 1
    for module in (kafka, kafka_calls, kafka_cluster):
        monkeypatch.setattr(module, "CALL_SECONDS", CALL)
    with pytest.raises(LogUnavailable):
        await log.describe([TOPIC])
    assert log._cluster.paused(address) <= kafka_cluster.THROTTLE_SECONDS
    await log.close()


@pytest.mark.long
async def test_names_that_are_not_looked_up_hold_up_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = threading.Event()
    looked_up = socket.getaddrinfo

    def getaddrinfo(host: Any, *rest: Any, **more: Any) -> Any:
        if host.endswith(".invalid"):
            hanging.wait(60)
            raise socket.gaierror("no such name")
        return looked_up(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    log = KafkaLog([f"{number}.invalid:9092" for number in range(12)])
    try:
        started = time.monotonic()
        for _ in range(2):
            with pytest.raises(LogUnavailable):
                await log.describe([TOPIC])
        # A lookup ends after a minute.
        assert time.monotonic() - started < 30
        async with asyncio.timeout(15):
            assert await asyncio.to_thread(lambda: "free") == "free"
        assert sum(thread.name == "lookup" for thread in threading.enumerate()) <= 12
    finally:
        hanging.set()
        await log.close()


async def test_a_broker_that_is_cut_off_is_not_believed_for_ever(
    brokers: list[FakeBroker], log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_time(monkeypatch)
    # Each answers; one that is asked beside another would come out of its turn.
    monkeypatch.setattr(kafka_cluster, "HEDGE_SECONDS", PATIENCE)
    everybody(brokers[1:], leader=(2, 6))
    seen = [(await log._cluster.topics([TOPIC]))[TOPIC].leaders[0] for _ in range(12)]
    assert seen[-9:] == [2] * 9
    assert seen == sorted(seen, key=lambda leader: leader or 0)


async def test_a_topic_is_gone_once_two_brokers_say_so(
    brokers: list[FakeBroker], log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_time(monkeypatch)
    # The second one is waited for: without it the first would be believed.
    monkeypatch.setattr(kafka_cluster, "HEDGE_SECONDS", PATIENCE)
    await log.describe([TOPIC])
    brokers[0].identity = None
    for _ in range(6):
        assert existing(await log.describe([TOPIC]))[TOPIC].identity == IDENTITY.hex()
    brokers[0].identity = b"\2" * 16
    for _ in range(6):
        assert existing(await log.describe([TOPIC]))[TOPIC].identity == IDENTITY.hex()
    everybody(brokers, identity=b"\2" * 16, leader=(3, 0))
    found = await log._cluster.topics([TOPIC])
    assert (found[TOPIC].topic_id, found[TOPIC].leaders) == (b"\2" * 16, {0: 3})
    everybody(brokers, identity=None)
    assert await log.describe([TOPIC]) == {}


async def test_a_producer_is_known_though_the_first_broker_hangs(
    brokers: list[FakeBroker], log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_time(monkeypatch)
    await log.describe([TOPIC])
    brokers[0].says = brokers[1].says = "nothing"
    async with stopwatch() as watch:
        identity = await log._producer._identified()
        assert identity.name == (3, 0)
        assert watch.seconds < CALL + NOISE


async def test_a_broker_may_not_ask_for_endless_work(log: KafkaLog) -> None:
    connection = kafka_connection.BrokerConnection(
        "h", 1, sasl_mechanism="SCRAM-SHA-256", sasl_plain_username="u", sasl_plain_password="p"
    )
    scram = connection.authenticator_scram()
    scram.create_salted_password(b"salt", 4096)
    started = time.thread_time()
    for rounds in (kafka_connection.SCRAM_ITERATIONS + 1, 2_000_000_000, 0):
        with pytest.raises(ValueError, match="rounds"):
            scram.create_salted_password(b"salt", rounds)
    assert time.thread_time() - started < NOISE


def metadata(brokers: dict[int, int], controller: int = 1) -> ClusterMetadata:
    return ClusterMetadata({node: ("host", port) for node, port in brokers.items()}, controller, {}, {})


HISTORY = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 20)), min_size=1, max_size=40)


@given(HISTORY)
def test_whatever_the_order_of_answers_no_leader_is_replaced_by_an_earlier_one(answers: list[tuple[int, int]]) -> None:
    memory = Memory()
    newest: dict[int, int] = {}
    for partition, epoch in answers:
        # Who leads in an epoch is a fact; brokers differ in how far they know it.
        told = Topic(TOPIC, IDENTITY, {partition: epoch * 10}, {partition: epoch})
        known = memory.learn_topic(TOPIC, told, 0.0)
        newest[partition] = max(epoch, newest.get(partition, 0))
        assert known is not None
        assert known.leaders == {number: at * 10 for number, at in newest.items()}


def test_what_nobody_tells_any_more_is_given_up_in_time() -> None:
    memory = Memory()
    memory.learn_topic(TOPIC, Topic(TOPIC, IDENTITY, {0: 2}, {0: 6}), 0.0)
    old = Topic(TOPIC, IDENTITY, {0: 1}, {0: 5})
    for now, leader in ((1.0, 2), (TRUST_SECONDS - 1, 2), (TRUST_SECONDS, 1)):
        known = memory.learn_topic(TOPIC, old, now)
        assert known is not None
        assert known.leaders == {0: leader}


def test_epochs_begin_anew_with_a_topic_that_is_created_again() -> None:
    memory = Memory()
    for topic_id in (IDENTITY, b"\2" * 16, NO_ID, NO_ID):
        told = Topic(TOPIC, topic_id, {0: 3}, {0: 0})
        memory.learn_topic(TOPIC, Topic(TOPIC, topic_id, {0: 1}, {0: 9}), 0.0)
        known = memory.learn_topic(TOPIC, told, 0.0)
        assert known is not None
        assert known.leaders == ({0: 3} if topic_id == NO_ID else {0: 1})
    assert contradicts(told, None)
    assert contradicts(told, told._replace(topic_id=IDENTITY))
    assert not contradicts(None, told)
    assert agree(None, None)
    assert not agree(told, None)


def test_brokers_that_an_old_answer_leaves_out_stay_for_a_while() -> None:
    memory = Memory()
    memory.learn_brokers(metadata({1: 1, 2: 2}), 0.0)
    memory.learn_brokers(metadata({1: 7}, controller=2), TRUST_SECONDS / 2)
    assert memory.brokers == {1: ("host", 7), 2: ("host", 2)}
    assert memory.controller == 2
    memory.learn_brokers(metadata({1: 7}), TRUST_SECONDS)
    assert memory.brokers == {1: ("host", 7)}
