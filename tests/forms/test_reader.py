"""Records that wait for a schema hold up their own partition alone, and are never passed over."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from gateway.catalog.stream import Stream
from gateway.clock import SystemClock
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.port import Batch, LogReader
from gateway.eventlog.trouble import Kind, Refusal
from gateway.forms.frame import framed
from gateway.forms.log import ConvertingLog
from gateway.forms.registry import NotRegistered, Registry, RegistryAway
from gateway.hub.decode import decode
from gateway.model.record import NewRecord, Record, TopicPartition

AVRO = {"schema": '{"type":"record","name":"R","fields":[{"name":"n","type":"int"}]}'}
PLAIN, FRAMED = TopicPartition("plain", 0), TopicPartition("framed", 0)


class Answers:
    """A registry's answers by path: a document, an error, or a future to wait for."""

    def __init__(self) -> None:
        self.by_path: dict[str, Any] = {}
        self.asked: list[str] = []

    async def __call__(self, path: str) -> Any:
        self.asked.append(path)
        found = self.by_path.get(path, NotRegistered())
        if isinstance(found, asyncio.Future):
            found = await found
        if isinstance(found, Exception):
            raise found
        return found


async def opened(answers: Answers, *values: bytes) -> tuple[ConvertingLog, LogReader, Registry]:
    log = MemoryLog()
    for topic in (PLAIN.topic, FRAMED.topic):
        await log.create(topic)
    await log.append(FRAMED.topic, [NewRecord(value) for value in values])
    await log.append(PLAIN.topic, [NewRecord(b"{}")])
    registry = Registry(answers, SystemClock())
    streams = [Stream("framed", ("framed",), form="avro"), Stream("plain", ("plain",))]
    converting = ConvertingLog(log, streams, registry)
    return converting, await converting.reader({FRAMED: 0, PLAIN: 0}), registry


async def until(reader: LogReader, partition: TopicPartition) -> tuple[list[Record], list[Refusal]]:
    """What is read, up to and with the first of this partition."""
    records: list[Record] = []
    refusals: list[Refusal] = []
    async with asyncio.timeout(30):
        while True:
            for one in await reader.fetch(0.02):
                if isinstance(one, Batch):
                    records += one.records
                else:
                    refusals.append(one)
                if one.partition == partition:
                    return records, refusals


async def test_a_schema_is_fetched_once_and_others_do_not_wait_for_it() -> None:
    answers = Answers()
    answers.by_path["/schemas/ids/7"] = answer = asyncio.get_running_loop().create_future()
    log, reader, _ = await opened(answers, framed(7, b"\x02"), framed(7, b"\x04"))
    records, _ = await until(reader, PLAIN)
    assert [record.value for record in records] == [b"{}"]
    answer.set_result(AVRO)
    records, refusals = await until(reader, FRAMED)
    assert [orjson.loads(record.value or b"") for record in records] == [{"n": 1}, {"n": 2}]
    assert answers.asked == ["/schemas/ids/7"]
    assert refusals == []
    await log.close()


async def test_while_the_registry_is_away_the_partition_is_refused_and_nothing_is_passed_over() -> None:
    answers = Answers()
    answers.by_path["/schemas/ids/7"] = RegistryAway("no answer")
    log, reader, registry = await opened(answers, framed(7, b"\x02"))
    records, refusals = await until(reader, FRAMED)
    assert [refusal.trouble.kind for refusal in refusals] == [Kind.NO_SCHEMA]
    assert "no answer" in refusals[0].trouble.detail
    assert FRAMED not in {(record.topic, record.partition) for record in records}
    answers.by_path["/schemas/ids/7"] = AVRO
    async with asyncio.timeout(30):
        refused = True
        while refused:
            await registry.news(1)
            await reader.add({FRAMED: 0})
            records, refusals = await until(reader, FRAMED)
            refused = bool(refusals)
    assert [(record.offset, record.value) for record in records] == [(0, b'{"n":1}')]
    await log.close()


async def test_an_unknown_id_and_a_broken_frame_are_bad_records_between_good_ones() -> None:
    answers = Answers()
    answers.by_path["/schemas/ids/7"] = AVRO
    answers.by_path["/schemas/ids/9"] = {"schema": "message A {}", "schemaType": "PROTOBUF"}
    values = (
        framed(7, b"\x02"),
        framed(8, b"\x02"),
        b'{"n":1}',
        framed(9, b"\x00"),
        framed(7, b""),
        framed(7, b"\x04"),
    )
    log, reader, _ = await opened(answers, *values)
    records: list[Record] = []
    while len(records) < len(values):
        found, _ = await until(reader, FRAMED)
        records += [record for record in found if record.topic == FRAMED.topic]
    assert [record.value for record in records] == [b'{"n":1}', b"", b"", b"", b"", b'{"n":2}']
    faults = [record.fault or "" for record in records]
    parts = ("", "no schema 8", "byte 123", "kind PROTOBUF", "middle of a value", "")
    assert all(part in fault for part, fault in zip(parts, faults, strict=True))
    assert [decode(record).event for record in records] == [{"n": 1}, None, None, None, None, {"n": 2}]
    await log.close()


async def test_references_come_with_a_schema() -> None:
    answers = Answers()
    inner = {"schema": AVRO["schema"], "references": []}
    answers.by_path["/subjects/a%2Fb/versions/3"] = inner
    answers.by_path["/schemas/ids/7"] = {
        "schema": '{"type":"record","name":"O","fields":[{"name":"r","type":"R"}]}',
        "references": [{"name": "R", "subject": "a/b", "version": 3}],
    }
    log, reader, _ = await opened(answers, framed(7, b"\x02"))
    records, _ = await until(reader, FRAMED)
    assert records[-1].value == b'{"r":{"n":1}}'
    await log.close()


async def test_a_topic_of_two_versions_is_read_by_the_one_of_each_value() -> None:
    answers = Answers()
    answers.by_path["/schemas/ids/7"] = AVRO
    more = '{"name":"t","type":"string","default":""}'
    answers.by_path["/schemas/ids/9"] = {"schema": AVRO["schema"].replace("]}", f",{more}]}}")}
    log, reader, registry = await opened(answers, framed(7, b"\x02"), framed(9, b"\x04\x02x"), framed(7, b"\x06"))
    records: list[Record] = []
    while len(records) < 3:
        records += [record for record in (await until(reader, FRAMED))[0] if record.topic == FRAMED.topic]
    assert [record.value for record in records] == [b'{"n":1}', b'{"n":2,"t":"x"}', b'{"n":3}']
    assert registry.seen == {"framed": {7, 9}}
    await log.close()


async def test_what_comes_before_a_record_that_waits_is_given_at_once() -> None:
    answers = Answers()
    answers.by_path["/schemas/ids/7"] = AVRO
    answers.by_path["/schemas/ids/9"] = answer = asyncio.get_running_loop().create_future()
    values = (framed(7, b"\x02"), framed(7, b"\x04"), framed(9, b"\x06"), framed(7, b"\x08"))
    log, reader, _ = await opened(answers, *values)
    records: list[Record] = []
    while len(records) < 2:
        records += [record for record in (await until(reader, FRAMED))[0] if record.topic == FRAMED.topic]
    assert [record.offset for record in records] == [0, 1]
    answer.set_result(AVRO)
    while len(records) < 4:
        records += [record for record in (await until(reader, FRAMED))[0] if record.topic == FRAMED.topic]
    assert [(record.offset, record.value) for record in records[2:]] == [(2, b'{"n":3}'), (3, b'{"n":4}')]
    await log.close()
