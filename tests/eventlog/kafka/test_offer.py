"""What Kafka's brokers refuse, each record by itself; and batches whose answers are lost."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from types import SimpleNamespace
from unittest.mock import AsyncMock

import pytest
from aiokafka.errors import for_code
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import LogError, LogForbids, LogUnavailable
from gateway.eventlog.kafka import producer as kafka_producer
from gateway.eventlog.kafka.log import KafkaLog
from gateway.eventlog.kafka.producer import KafkaProducer
from gateway.eventlog.offer import Fate
from gateway.eventlog.trouble import Kind
from gateway.model.record import NewRecord, TopicPartition
from tests.eventlog.kafka.scripted import TOPIC, Broker


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Broker:
    monkeypatch.setattr(kafka_producer, "RETRY_SECONDS", 0.001)
    return Broker()


PATIENCE = 30.0
"""Seconds for what is to succeed."""
EVENTS = st.sampled_from([0, 0, 0, "lost", "gone", "half", "resigned", 6, 7, 10, 45, 47, 59])


@pytest.mark.long
@settings(max_examples=200, deadline=None)
@given(st.lists(EVENTS, max_size=30), st.lists(st.lists(st.integers(0, 2), max_size=6), min_size=1, max_size=6))
def test_whatever_happens_each_record_is_stored_once_where_it_is_said_to_be(
    script: list[int | str], offers: list[list[int]]
) -> None:
    broker = Broker(3)
    broker.script = script
    fates = asyncio.run(offer_at_once(broker, offers))
    values = [value for stored in broker.values.values() for value in stored]
    assert len(set(values)) == len(values)
    for (offer, index), fate in fates.items():
        value = b"%d.%d" % (offer, index)
        if not isinstance(fate, LogError):
            assert broker.values[fate[0].partition][fate[1]] == value
        elif not isinstance(fate, LogUnavailable):
            assert value not in values
    for stored in broker.values.values():
        for offer in range(len(offers)):
            mine = [value for value in stored if value.startswith(b"%d." % offer)]
            assert mine == sorted(mine)


async def offer_at_once(broker: Broker, offers: list[list[int]]) -> dict[tuple[int, int], Fate]:
    """Offers of records for these partitions, all at the same time; what became of each record."""
    producer = KafkaProducer(broker)  # type: ignore[arg-type]

    async def offer(number: int) -> list[Fate]:
        given = [NewRecord(b"%d.%d" % (number, index), partition=at) for index, at in enumerate(offers[number])]
        try:
            return await producer.offer(TOPIC, given)
        except LogUnavailable as error:
            return [error] * len(given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kafka_producer, "RETRY_SECONDS", 0.0001)
        told = await asyncio.gather(*map(offer, range(len(offers))))
    return {(number, index): fate for number, fates in enumerate(told) for index, fate in enumerate(fates)}


def records(*values: bytes) -> list[NewRecord]:
    return [NewRecord(value, partition=0) for value in values]


@pytest.mark.parametrize("script", [["lost"], ["gone"], ["lost", "gone", "lost"], [6], [7, "lost", 19], [47], [59, 45]])
async def test_a_batch_is_sent_until_it_is_stored_once(scripted: Broker, script: list[int | str]) -> None:
    producer = KafkaProducer(scripted)  # type: ignore[arg-type]
    partition = TopicPartition(TOPIC, 0)
    assert await producer.offer(TOPIC, records(b"a")) == [(partition, 0)]
    scripted.script = script
    assert await producer.offer(TOPIC, records(b"b", b"c")) == [(partition, 1), (partition, 2)]
    assert await producer.offer(TOPIC, records(b"d")) == [(partition, 3)]
    assert scripted.values[0] == [b"a", b"b", b"c", b"d"]


async def test_a_number_that_is_refused_after_an_answer_was_lost_is_not_sent_under_another(scripted: Broker) -> None:
    producer = KafkaProducer(scripted)  # type: ignore[arg-type]
    scripted.script = ["lost", 45]
    with pytest.raises(LogUnavailable):
        await producer.offer(TOPIC, records(b"a"))
    assert await producer.offer(TOPIC, records(b"b")) == [(TopicPartition(TOPIC, 0), 1)]
    assert scripted.values[0] == [b"a", b"b"]
    assert scripted.identities == 2


@pytest.mark.parametrize("then", [10, 29, 45, 47, 59])
async def test_what_a_leader_has_is_not_told_to_be_refused(scripted: Broker, then: int) -> None:
    """Too few followers have it: it is in the log, whatever the leader says of it a moment later."""
    producer = KafkaProducer(scripted)  # type: ignore[arg-type]
    scripted.script = ["half", then]
    with pytest.raises(LogUnavailable):
        await producer.offer(TOPIC, records(b"a"))
    assert await producer.offer(TOPIC, records(b"b")) == [(TopicPartition(TOPIC, 0), 1)]
    assert scripted.values[0] == [b"a", b"b"]


async def test_what_a_leader_took_before_it_resigned_keeps_its_number(
    scripted: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another batch of that number would pass for a repetition: acknowledged, and never stored."""
    producer = KafkaProducer(scripted)  # type: ignore[arg-type]
    monkeypatch.setattr(kafka_producer, "SEND_SECONDS", 0.05)
    script: list[int | str] = ["resigned", *[6] * 1000]
    scripted.script = script
    while script[0] == "resigned":
        # On a busy machine the time may be over before anything is sent.
        await late_offer(producer, b"a")
    monkeypatch.setattr(kafka_producer, "SEND_SECONDS", PATIENCE)
    scripted.script = []
    assert await producer.offer(TOPIC, records(b"b")) == [(TopicPartition(TOPIC, 0), 1)]
    assert scripted.values[0] == [b"a", b"b"]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (19, Kind.TOO_FEW_REPLICAS),
        (20, Kind.TOO_FEW_REPLICAS),
        (56, Kind.DISK_FAILS),
        (5, Kind.NO_LEADER),
        (7, Kind.UNAVAILABLE),
        (6, Kind.UNAVAILABLE),
    ],
)
async def test_what_is_not_acknowledged_is_told_with_its_reason(
    scripted: Broker, code: int, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_producer, "SEND_SECONDS", 0.2)
    producer = KafkaProducer(scripted)  # type: ignore[arg-type]
    script: list[int | str] = [code for _ in range(1000)]
    scripted.script = script
    while len(script) == 1000:
        with pytest.raises(LogUnavailable) as caught:
            await producer.offer(TOPIC, records(b"a"))
    assert re.search(rf"not acknowledged within .*{for_code(code).__name__}", str(caught.value))
    assert caught.value.kind is kind
    scripted.script = []
    await settled(producer)
    # The reason of before is not that of later.
    scripted.paused = True
    with pytest.raises(LogUnavailable, match=r"within 0\.2 s$") as caught:
        await producer.offer(TOPIC, records(b"b"))
    assert caught.value.kind is not kind or kind is Kind.UNAVAILABLE
    await producer.close()


async def test_why_a_producer_has_no_number_yet_is_told(scripted: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_producer, "SEND_SECONDS", 0.5)
    monkeypatch.setattr(scripted, "send_to_any", AsyncMock(side_effect=LogUnavailable("nobody answers", Kind.LOCKED)))
    producer = KafkaProducer(scripted)  # type: ignore[arg-type]
    with pytest.raises(LogUnavailable, match=r"not acknowledged within .*: nobody answers") as caught:
        await producer.offer(TOPIC, records(b"a"))
    assert caught.value.kind is Kind.LOCKED
    await producer.close()


@pytest.mark.parametrize(
    ("code", "kind"), [(10, Kind.TOO_LARGE), (18, Kind.TOO_LARGE), (32, Kind.TIME), (87, Kind.INVALID)]
)
async def test_what_is_wrong_with_a_record_is_told_by_its_kind(scripted: Broker, code: int, kind: Kind) -> None:
    producer = KafkaProducer(scripted)  # type: ignore[arg-type]
    scripted.script = [code]
    [fate] = await producer.offer(TOPIC, records(b"a"))
    assert type(fate) is LogError
    assert fate.kind is kind


@pytest.mark.parametrize(
    ("code", "error", "kind"),
    [
        (29, LogForbids, Kind.NO_RIGHT),
        (31, LogForbids, Kind.NO_RIGHT),
        (44, LogForbids, Kind.NO_RIGHT),
        (17, LogForbids, Kind.MISCONFIGURED),
        (37, LogForbids, Kind.MISCONFIGURED),
        (40, LogForbids, Kind.MISCONFIGURED),
        (38, LogUnavailable, Kind.TOO_FEW_REPLICAS),
        (73, LogUnavailable, Kind.UNAVAILABLE),
    ],
)
async def test_why_a_topic_is_not_created_is_no_fault_of_an_event(
    code: int, error: type[LogError], kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = KafkaLog(["127.0.0.1:1"])
    answer = SimpleNamespace(topic_errors=[(TOPIC, code, "why")])
    monkeypatch.setattr(log._cluster, "send_to_controller", AsyncMock(return_value=answer))
    with pytest.raises(error, match=f"cannot create {TOPIC}: .*why") as caught:
        await log.create(TOPIC)
    assert caught.value.kind is kind


async def test_a_partition_without_a_leader_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_producer, "RETRY_SECONDS", 0.001)
    monkeypatch.setattr(kafka_producer, "SEND_SECONDS", 1.0)
    broker = Broker(2)
    broker.stuck = {1}
    producer = KafkaProducer(broker)  # type: ignore[arg-type]
    offered = [NewRecord(b"%d" % number, partition=number % 2) for number in range(4)]
    fates = await producer.offer(TOPIC, offered)
    assert [type(fate) for fate in fates] == [tuple, LogUnavailable, tuple, LogUnavailable]
    with pytest.raises(LogUnavailable, match="none") as caught:
        await producer.offer(TOPIC, [NewRecord(b"x", partition=1)])
    assert caught.value.kind is Kind.NO_LEADER
    broker.stuck.clear()
    assert await producer.offer(TOPIC, offered[:2]) == [(TopicPartition(TOPIC, 0), 2), (TopicPartition(TOPIC, 1), 0)]


async def test_a_broker_that_hangs_keeps_no_other_from_being_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_producer, "SEND_SECONDS", 1.0)
    monkeypatch.setattr(kafka_producer, "REQUESTS", 1)
    broker = Broker(6)
    broker.hanging = {0, 1, 2, 3}
    fates = await KafkaProducer(broker).offer(TOPIC, [NewRecord(b"x", partition=at) for at in range(6)])  # type: ignore[arg-type]
    assert [type(fate) for fate in fates] == [LogUnavailable] * 4 + [tuple] * 2


async def late_offer(producer: KafkaProducer, *values: bytes) -> None:
    """An offer that nobody answers in time."""
    with pytest.raises(LogUnavailable):
        await producer.offer(TOPIC, records(*values))


async def taken_late(scripted: Broker, producer: KafkaProducer, *values: bytes) -> None:
    """The same, once a broker that is paused has it: on a busy machine the time may be over before anything is sent."""
    while not scripted.socket:
        await late_offer(producer, *values)


async def settled(producer: KafkaProducer) -> None:
    """Ask until it is known what became of all that was offered."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(LogUnavailable):
                await producer.settle(TOPIC)
                return


async def test_a_batch_that_a_paused_broker_takes_late_is_stored_once(
    scripted: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_producer, "SEND_SECONDS", 0.1)
    producer = KafkaProducer(scripted)  # type: ignore[arg-type]
    scripted.paused = True
    await taken_late(scripted, producer, b"a", b"b")
    with pytest.raises(LogUnavailable, match="is not known yet"):
        await producer.settle(TOPIC)
    # What comes after it waits, and is not sent at all.
    await late_offer(producer, b"c")
    copies = len(scripted.socket)
    assert copies > 0
    scripted.resume()
    await settled(producer)
    assert scripted.values[0] == [b"a", b"b"]
    monkeypatch.setattr(kafka_producer, "SEND_SECONDS", PATIENCE)
    assert await producer.offer(TOPIC, records(b"c")) == [(TopicPartition(TOPIC, 0), 2)]
    scripted.resume()
    assert scripted.values[0] == [b"a", b"b", b"c"]
    assert scripted.identities == 1
    await producer.close()


@pytest.mark.parametrize("answer", [10, 29, 45, 47, 59])
async def test_a_late_batch_of_which_a_broker_knows_nothing_more_holds_nobody_up(
    scripted: Broker, answer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_producer, "SEND_SECONDS", 0.1)
    producer = KafkaProducer(scripted)  # type: ignore[arg-type]
    scripted.paused = True
    await taken_late(scripted, producer, b"a")
    scripted.paused, scripted.socket = False, []
    scripted.script = [answer]
    await settled(producer)
    monkeypatch.setattr(kafka_producer, "SEND_SECONDS", PATIENCE)
    assert await producer.offer(TOPIC, records(b"b")) == [(TopicPartition(TOPIC, 0), 0)]
    assert scripted.identities == 2
    await producer.close()


async def test_a_late_batch_of_a_deleted_topic_is_given_up(scripted: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_producer, "SEND_SECONDS", 0.1)
    producer = KafkaProducer(scripted)  # type: ignore[arg-type]
    scripted.paused = True
    await taken_late(scripted, producer, b"a")
    del scripted.values[0]
    await settled(producer)
    await producer.close()


async def test_what_is_late_when_the_log_is_closed_ends_with_it(
    scripted: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_producer, "SEND_SECONDS", 0.05)
    producer = KafkaProducer(scripted)  # type: ignore[arg-type]
    scripted.paused = True
    await taken_late(scripted, producer, b"a")
    async with asyncio.timeout(PATIENCE):
        await producer.close()
    assert not producer._late


async def test_what_a_producer_may_not_do_is_told_at_once(scripted: Broker) -> None:
    producer = KafkaProducer(scripted)  # type: ignore[arg-type]
    scripted.script = [29]
    [fate] = await producer.offer(TOPIC, records(b"a"))
    assert isinstance(fate, LogForbids)
    assert fate.kind is Kind.NO_RIGHT
    assert "Authorization" in str(fate)
    assert await producer.offer(TOPIC, records(b"a")) == [(TopicPartition(TOPIC, 0), 0)]
