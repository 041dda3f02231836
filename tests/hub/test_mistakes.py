"""One record, one mistake: whatever is in a record, and whatever goes wrong with it, the others are read."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from gateway.eventlog.kafka.fetch import Fetched
from gateway.eventlog.kafka.records import PartitionBuffer
from gateway.eventlog.memory.log import MemoryLog
from gateway.hub import decode as decoding
from gateway.hub.ring import Ring
from gateway.model.record import NO_TIMESTAMP, NewRecord, TopicPartition
from tests.hub.test_discovery import held, hub_over, quick, running, until

__all__ = ["quick"]

ALPHA, BETA = TopicPartition("alpha", 0), TopicPartition("beta", 0)
GOOD = b'{"n":1}'
BAD = b'{"meta":{"stream":"alpha","id":"bad"}}'


def both() -> MemoryLog:
    log = MemoryLog()
    for topic in ("alpha", "beta"):
        log.create_topic(topic)
    return log


def texts(arguments: tuple[Any, ...]) -> list[str | bytes]:
    return [part for part in arguments if isinstance(part, str | bytes)]


def mistakes(topic: str) -> float:
    return REGISTRY.get_sample_value("gateway_record_mistakes_total", {"topic": topic}) or 0.0


@pytest.mark.parametrize("broken", ["check_event", "one_line", "append", "observe"])
async def test_a_mistake_at_one_record_passes_over_it(monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    def raising(original: Any) -> Any:
        def call(*arguments: Any) -> Any:
            # Of texts and bytes alone: the address in the `repr` of an object may hold these letters, too.
            if any("bad" in part if isinstance(part, str) else b"bad" in part for part in texts(arguments)):
                raise ZeroDivisionError
            return original(*arguments)

        return call

    log = both()
    hub = hub_over(log)
    if broken == "append":
        monkeypatch.setattr(Ring, "append", raising(Ring.append))
    elif broken == "observe":
        hub.observe = raising(hub.observe)
    else:
        monkeypatch.setattr(decoding, broken, raising(getattr(decoding, broken)))
    before = mistakes("alpha")
    async with running(hub):
        log.append_now("alpha", [NewRecord(value, None, 900_000) for value in (GOOD, BAD, GOOD)])
        log.append_now("beta", [NewRecord(GOOD, None, 900_000)])
        await until(lambda: hub.ring.end(ALPHA) == 3 and held(hub, BETA) == [0], hub)
        assert held(hub, ALPHA)[0] == 0
        assert held(hub, ALPHA)[-1] == 2
        assert mistakes("alpha") == before + 1


async def test_a_mistake_in_the_delivery_or_the_hub_ends_neither() -> None:
    log = both()
    hub = hub_over(log)
    failing = [True, True]

    def deliver(segment: object) -> None:
        if failing and failing.pop():
            raise ZeroDivisionError

    async def look(*wanted: Any) -> Any:
        if broken and broken.pop():
            raise ZeroDivisionError
        return await original(*wanted)

    broken: list[bool] = []
    original, hub.discovery.look = hub.discovery.look, look  # type: ignore[method-assign, assignment]
    hub.deliver = deliver
    async with running(hub):
        log.append_now("alpha", [NewRecord(GOOD, None, 900_000)])
        await until(lambda: hub.ring.end(ALPHA) == 1, hub)
        broken.append(True)
        hub.look_again()
        await until(lambda: not broken, hub)
        log.append_now("alpha", [NewRecord(GOOD, None, 900_000)])
        await until(lambda: hub.ring.end(ALPHA) == 2 and hub.available, hub)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.binary(max_size=40), st.sampled_from([GOOD, b"[]", b"{" * 300, b'{"meta":7}'])),
            st.one_of(st.none(), st.binary(max_size=9)),
            st.integers(-(2**63), 2**63 - 1),
            st.lists(st.tuples(st.text(max_size=3), st.binary(max_size=3)), max_size=2),
        ),
        min_size=1,
        max_size=12,
    )
)
async def test_no_record_keeps_another_topic_from_being_read(records: list[Any]) -> None:
    log = both()
    async with running(hub_over(log)) as hub:
        for value, key, timestamp, headers in records:
            log.append_now("alpha", [NewRecord(value, key, timestamp, None, tuple(headers))])
        log.append_now("beta", [NewRecord(GOOD, None, 900_000)])
        await until(lambda: held(hub, BETA) == [0] and hub.ring.end(ALPHA) == len(records), hub)
        assert hub.available


@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize("codec", [0, 1], ids=["plain", "gzip"])
def test_batches_of_old_brokers(magic: Any, codec: int) -> None:
    builder = LegacyRecordBatchBuilder(magic=magic, compression_type=codec, batch_size=9999)
    for offset in range(3):
        builder.append(offset, None if magic == 0 else 5, b"k", GOOD)
    buffer = PartitionBuffer(ALPHA, 0)
    data = bytearray(builder.build())
    if codec:
        # The broker writes the offset of the last message into the wrapper.
        data[:8] = (2).to_bytes(8, "big")
    assert buffer.add(Fetched(ALPHA, 0, 3, [], bytes(data))) is None
    records, _, wrong = buffer.take(10)
    assert wrong is None
    assert [record.offset for record in records] == [0, 1, 2]
    assert {record.timestamp for record in records} == {NO_TIMESTAMP if magic == 0 else 5}
    assert buffer.position == 3
