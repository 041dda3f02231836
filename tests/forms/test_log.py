"""The hub reads a log of other forms as it reads JSON, and recovers by itself when the registry is back."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from gateway.catalog.stream import Stream
from gateway.clock import SystemClock
from gateway.errors import LogUnavailable
from gateway.eventlog.memory.log import MemoryLog
from gateway.forms.frame import framed
from gateway.forms.log import ConvertingLog
from gateway.forms.registry import Registry, RegistryAway
from gateway.hub.hub import Hub
from gateway.hub.options import HubOptions
from gateway.model.record import NewRecord, Record, TopicPartition
from gateway.settings.table import Settings
from tests.forms.test_reader import AVRO, FRAMED, PLAIN, Answers


async def test_a_topic_waits_for_the_registry_while_others_are_read_and_then_comes_whole() -> None:
    answers, log = Answers(), MemoryLog()
    answers.by_path["/schemas/ids/7"] = RegistryAway("no answer")
    for topic in (PLAIN.topic, FRAMED.topic):
        await log.create(topic)
    await log.append(FRAMED.topic, [NewRecord(framed(7, b"\x02")), NewRecord(framed(7, b"\x04"))])
    streams = [Stream("framed", ("framed",), form="avro"), Stream("plain", ("plain",))]
    converting = ConvertingLog(log, streams, Registry(answers, SystemClock()))
    hub = Hub(converting, {"framed": False, "plain": False}, SystemClock(), Settings().of(HubOptions))
    running = asyncio.create_task(hub.run())

    async def until_end(partition: TopicPartition, end: int) -> None:
        async with asyncio.timeout(30):
            while partition not in hub.ring.partitions() or hub.ring.end(partition) < end:
                await asyncio.shield(hub.change())

    try:
        await hub.filled.wait()
        await log.append(PLAIN.topic, [NewRecord(b"{}")])
        await until_end(PLAIN, 1)
        assert FRAMED not in hub.ring.partitions()
        waits = hub.waits_for(["framed"])
        assert waits is not None
        assert b"framed/0" in waits
        answers.by_path["/schemas/ids/7"] = AVRO
        await until_end(FRAMED, 2)
        newest = [item.data for item in hub.ring.newest(frozenset(["framed"]))]
        assert newest == [b'{"n":2}', b'{"n":1}']
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await converting.close()


async def test_records_of_other_forms_are_erased_by_their_json() -> None:
    answers, log = Answers(), MemoryLog()
    answers.by_path["/schemas/ids/7"] = AVRO
    await log.create(FRAMED.topic, 2)
    values = [framed(7, bytes([2 * n])) for n in range(6)]
    new = [NewRecord(value, b'"k%d"' % (n % 3), 1000 + n, n % 2) for n, value in enumerate([*values, b"torn"])]
    await log.append(FRAMED.topic, new)
    stream = Stream("framed", ("framed",), form="avro", key_form="json")
    converting = ConvertingLog(log, [stream], Registry(answers, SystemClock()))
    assert converting.erasable

    def odd(record: Record) -> bool:
        return bool(record.value) and orjson.loads(record.value or b"")["n"] in (1, 4)

    assert await converting.erase(FRAMED.topic, odd) == 2
    assert await converting.erase(FRAMED.topic, odd) == 0
    # A key counts as clients see it, also where the value cannot be read.
    assert await converting.erase(FRAMED.topic, lambda record: record.key == b"k0") == 3
    left = [record for number in range(2) for record in log.partition(TopicPartition("framed", number)).records]
    assert [record.timestamp for record in left if record.value is not None] == [1002, 1005]
    assert [record.key for record in left].count(None) == 5
    await converting.close()


async def test_what_cannot_be_read_is_not_passed_over_when_erasing() -> None:
    answers, log = Answers(), MemoryLog()
    answers.by_path["/schemas/ids/7"] = RegistryAway("no answer")
    await log.create(FRAMED.topic)
    await log.append(FRAMED.topic, [NewRecord(framed(7, b"\x02"))])
    converting = ConvertingLog(log, [Stream("framed", ("framed",), form="avro")], Registry(answers, SystemClock()))
    with pytest.raises(LogUnavailable, match="no answer"):
        await converting.erase(FRAMED.topic, lambda record: True)
    assert log.partition(FRAMED).records[0].value is not None
    await converting.close()
