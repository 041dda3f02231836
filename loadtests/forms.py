"""What values of other forms than JSON cost of a core, in this process and with a log in memory.

    python -m loadtests.forms [EVENTS]

The same events in each form are read from the log, made JSON, and decoded as the hub decodes them for a replay.
`convert` is the conversion alone, `write` what the intake does to make the value. Times are microseconds of CPU for a
record, the best of three runs in turns; `× json` is against the same events in JSON, in the same run.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from gateway.catalog.stream import Form, KeyForm, Stream
from gateway.clock import SystemClock
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.port import Batch
from gateway.forms.convert import Forms, converted
from gateway.forms.log import ConvertingLog
from gateway.forms.registry import Registry
from gateway.forms.schema import Source
from gateway.forms.writing import encoder
from gateway.hub.decode import decode
from gateway.model.record import NewRecord, Record, TopicPartition

RUNS = 3
FETCHED = 1000
TEXTS = ("title", "user", "comment", "wiki", "server")
AVRO = {
    "type": "record",
    "name": "Change",
    "fields": [
        {"name": "id", "type": "long"},
        *({"name": name, "type": "string"} for name in TEXTS),
        {"name": "bot", "type": "boolean"},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["EDIT", "NEW"]}},
        {"name": "length", "type": ["null", "int"]},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
    ],
}
PROTO = f"""
syntax = "proto3";
import "google/protobuf/timestamp.proto";
message Change {{
  enum Kind {{ EDIT = 0; NEW = 1; }}
  int64 id = 1;
  {" ".join(f"string {name} = {number};" for number, name in enumerate(TEXTS, 2))}
  bool bot = 7; Kind kind = 8; optional int32 length = 9; google.protobuf.Timestamp at = 10; repeated string tags = 11;
}}
"""
SCHEMAS = {1: Source("AVRO", orjson.dumps(AVRO).decode()), 2: Source("PROTOBUF", PROTO), 3: Source("JSON", "{}")}


class Case(NamedTuple):
    """A form: how values and keys are written, and what writes a value."""

    name: str
    forms: Forms
    write: Callable[[Any, int], bytes]


def cases() -> list[Case]:
    """JSON first, against which the others are held."""

    def case(name: str, form: Form, write: Callable[[Any, int], bytes], key: KeyForm = "string") -> Case:
        return Case(name, Forms(form, key), write)

    def plain(value: Any, _: int) -> bytes:
        return orjson.dumps(value)

    def cloudevent(value: Any, _: int) -> bytes:
        head = {"specversion": "1.0", "id": str(value["id"]), "source": "/wiki", "type": "change"}
        return orjson.dumps({**head, "data": value})

    return [
        case("json", "json", plain),
        case("json-schema", "json-schema", encoder(3, SCHEMAS[3])),
        case("cloudevents", "cloudevents", cloudevent),
        case("avro", "avro", encoder(1, SCHEMAS[1])),
        case("protobuf", "protobuf", encoder(2, SCHEMAS[2])),
    ]


def event(number: int) -> dict[str, Any]:
    """An event of some 300 bytes."""
    return {
        "id": number,
        "title": f"Page {number % 10_007}",
        "user": f"User {number % 997}",
        "comment": "a comment that says what has been changed and why " * 2,
        "wiki": "enwiki",
        "server": "en.wiki.example",
        "bot": number % 3 == 0,
        "kind": "NEW" if number % 7 == 0 else "EDIT",
        "length": number % 5000,
        "at": "2026-11-28T05:00:00.000Z",
        "tags": ["mobile edit", "visual editor"],
    }


async def answers(path: str) -> Any:
    """The registry."""
    source = SCHEMAS[int(path.rpartition("/")[2])]
    return {"schema": source.text, "schemaType": source.kind}


async def known(registry: Registry) -> None:
    """Fetch all schemas."""
    registry.want(SCHEMAS)
    while not all(map(registry.has, SCHEMAS)):
        await registry.news(1)


async def replayed(case: Case, values: list[bytes], registry: Registry) -> float:
    """Microseconds of reading and decoding a record."""
    memory = MemoryLog()
    memory.create_topic("t", 1)
    memory.append_now("t", [NewRecord(value, timestamp=1_790_000_000_000) for value in values])
    log = ConvertingLog(memory, [Stream("t", ("t",), form=case.forms.value)], registry)
    reader = await log.reader({TopicPartition("t", 0): 0})
    read, begun = 0, time.process_time()
    while read < len(values):
        for batch in await reader.fetch(5, FETCHED):
            assert isinstance(batch, Batch)
            for record in batch.records:
                assert decode(record).event is not None
            read += len(batch.records)
    return (time.process_time() - begun) / read * 1e6


def timed(act: Callable[[Any], object], each: list[Any]) -> float:
    """Microseconds of one."""
    begun = time.process_time()
    for one in each:
        act(one)
    return (time.process_time() - begun) / len(each) * 1e6


async def main(count: int) -> dict[str, float]:
    """Measure and print; returns the microseconds of a record that is replayed, by its form."""
    registry = Registry(answers, SystemClock())
    await known(registry)
    events = [event(number) for number in range(count)]
    found: dict[str, list[tuple[float, float, float]]] = {}
    sizes: dict[str, float] = {}
    for _ in range(RUNS):
        for case in cases():
            write, forms = case.write, case.forms
            wrote = timed(lambda one, write=write: write(one, 400), events)  # type: ignore[misc]
            values = [write(one, 400) for one in events]
            sizes[case.name] = sum(map(len, values)) / count
            records = [Record("t", 0, n, 0, None, value) for n, value in enumerate(values)]
            read = timed(lambda one, forms=forms: converted(one, forms, registry), records)  # type: ignore[misc]
            found.setdefault(case.name, []).append((wrote, read, await replayed(case, values, registry)))
    best = {name: [min(column) for column in zip(*runs, strict=True)] for name, runs in found.items()}
    print(f"{'form':<13}{'bytes':>7}{'write us':>10}{'convert us':>12}{'replay us':>11}{'events/s':>11}{'× json':>8}")
    for name, (wrote, read, replay) in best.items():
        rate, ratio = 1e6 / replay, replay / best["json"][2]
        print(f"{name:<13}{sizes[name]:>7.0f}{wrote:>10.2f}{read:>12.2f}{replay:>11.2f}{rate:>11,.0f}{ratio:>8.1f}")
    await registry.close()
    return {name: replay for name, (_, _, replay) in best.items()}


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 30_000))
