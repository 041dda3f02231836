"""A gateway before a real Kafka with values in every form. The values are written by the libraries of the forms; the
registry is the small server of the tests."""

from __future__ import annotations

import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from google.protobuf import message_factory

from gateway.forms.frame import framed
from gateway.forms.proto_file import ROOT, read_file
from gateway.forms.protobuf import ProtobufReader
from tests.end_to_end.conftest import Serve
from tests.end_to_end.kafka import Producer
from tests.end_to_end.process import eventually
from tests.end_to_end.stream import Client
from tests.eventlog.kit import create_topic
from tests.plain_http import http_client
from tests.services.registry import JSON, PROTOBUF, SmallRegistry, small_registry

pytestmark = [pytest.mark.kafka, pytest.mark.end_to_end]

KEY = {"type": "record", "name": "Key", "fields": [{"name": "k", "type": "long"}]}
OLD = {"type": "record", "name": "Order", "fields": [{"name": "n", "type": "int"}]}
NEW = {"type": "record", "name": "Order", "fields": [
    {"name": "n", "type": "int"},
    {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["ODD", "EVEN"]}, "default": "ODD"},
    {"name": "price", "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}]},
]}  # fmt: skip
PROTO = (
    'syntax = "proto3"; message Order { int64 n = 1; string name = 2; oneof choice { bytes raw = 3; bool on = 4; } }'
)
EVENT = {
    "$id": "/cloud/order/1.0.0",
    "title": "cloud/order",
    "type": "object",
    "properties": {"data": {"type": "object"}},
}


def avro(number: int, schema: Any, value: Any) -> bytes:
    """A framed value, as fastavro writes it."""
    file = io.BytesIO()
    fastavro.schemaless_writer(file, fastavro.parse_schema(schema), value)
    return framed(number, file.getvalue())


async def filled(producer: Producer, topic: str, registry: SmallRegistry) -> None:
    """Topics of a name in every form; the one in Avro holds two versions, a value of an unknown id and a broken key."""
    key = registry.add(f"{topic}.avro-key", KEY)
    old, new = (registry.add(f"{topic}.avro-value", schema) for schema in (OLD, NEW))
    proto = registry.add(f"{topic}.proto-value", PROTO, PROTOBUF)
    in_json = registry.add(f"{topic}.json-value", "{}", JSON)
    send = producer.client.send_and_wait
    for n in range(2):
        await send(f"{topic}.avro", avro(old, OLD, {"n": n}), avro(key, KEY, {"k": n}))
    await send(f"{topic}.avro", framed(9999, b"\x02"))
    await send(f"{topic}.avro", avro(new, NEW, {"n": -1, "kind": "ODD", "price": None}), b"no frame")
    for n in range(2, 5):
        value = {"n": n, "kind": "ODD" if n % 2 else "EVEN", "price": Decimal(n) / 2}
        await send(f"{topic}.avro", avro(new, NEW, value), avro(key, KEY, {"k": n}))
    reader = ProtobufReader(ROOT, {ROOT: read_file(ROOT, PROTO)})
    order: Any = message_factory.GetMessageClass(reader.message((0,)))
    await send(f"{topic}.proto", framed(proto, b"\0" + order(n=1, raw=b"\xff").SerializeToString()), b"text")
    await send(f"{topic}.json", framed(in_json, b'{"n": 1}'), b'{"a": 1}')
    headers = [("ce_specversion", b"1.0"), ("ce_id", b"a"), ("ce_source", b"/s"), ("ce_type", b"t")]
    await send(f"{topic}.cloud", b'{"x":1}', headers=[*headers, ("content-type", b"application/json")])
    await producer.send(f"{topic}.plain", range(3))


def declared(topic: str, schemas: Path) -> dict[str, Any]:
    """The streams over these topics."""
    (schemas / "cloud" / "order").mkdir(parents=True)
    (schemas / "cloud" / "order" / "1.0.0.json").write_text(json.dumps(EVENT))
    streams: dict[str, dict[str, Any]] = {
        "avro": {"format": "avro", "key_format": "avro", "schema_title": f"registry/{topic}.avro-value"},
        "proto": {"format": "protobuf"},
        "json": {"format": "json-schema", "key_format": "json"},
        "cloud": {"format": "cloudevents", "schema_title": "cloud/order"},
        "plain": {},
    }
    return {name: {"topics": [f"{topic}.{name}"], **one} for name, one in streams.items()}


async def test_topics_in_every_form_are_streams_of_json(
    kafka: str, serve: Serve, client: Client, producer: Producer, topic: str, tmp_path: Path
) -> None:
    with small_registry(first_id=70) as registry:
        for form in ("avro", "proto", "json", "cloud", "plain"):
            await create_topic(kafka, f"{topic}.{form}")
        await filled(producer, topic, registry)
        registry.away = True
        settings = {"schema_registry": {"url": registry.url}, "schema_repositories": [str(tmp_path / "schemas")]}
        gateway = await serve(declared(topic, tmp_path / "schemas"), f"kafka://{kafka}", **settings)

        # While the registry is away, its topics wait, and the others go on.
        waiting = await client.stream(gateway.port, "avro", since=1)
        await waiting.until(lambda: any(f"waiting for {topic}.avro/0" in one for one in waiting.comments))
        assert await (await client.stream(gateway.port, "plain", since=1)).events(3) == [0, 1, 2]
        event = {"$schema": f"/registry/{topic}.avro-value/2.0.0", "meta": {"stream": "avro"}, "n": 5, "kind": "ODD"}
        async with http_client(base_url=gateway.address) as sender:
            assert (await sender.post("/v1/events", json={**event, "price": "2.50"})).status_code == 503
        registry.away = False
        assert await waiting.events(5) == [0, 1, 2, 3, 4]
        documents = [frame.document for frame in waiting.messages]
        assert documents[1:3] == [{"n": 1}, {"n": 2, "kind": "EVEN", "price": "1.00"}]

        # Bad records are counted, told with their reason, and passed over.
        async def told() -> bool:
            return "no schema 9999" in gateway.errors and "its key: " in gateway.errors

        await eventually(told, "the reasons of the bad records")
        metric = f'gateway_bad_records_total{{topic="{topic}.avro"}} 2.0'
        assert metric in await gateway.metrics()

        # Resume, filters, fields and keys work on what the values became.
        resumed = await client.stream(gateway.port, "avro", waiting.messages[1].identifier)
        assert await resumed.events(3) == [2, 3, 4]
        odd = await client.stream(gateway.port, "avro", since=1, filter='event.kind == "ODD"', fields="price")
        await odd.count(1)
        assert odd.messages[0].document == {"price": "1.50"}
        keyed = await client.stream(gateway.port, "avro", since=1, filter="key == '{\"k\":3}'")
        assert await keyed.events(1) == [3]
        for name, query, expected in (
            ("proto", "key == 'text'", {"n": 1, "name": "", "raw": "/w=="}),
            ("json", "key == '{\"a\":1}'", {"n": 1}),
            ("cloud", "event.type == 't'", {
                "specversion": "1.0", "id": "a", "source": "/s", "type": "t", "datacontenttype": "application/json",
                "data": {"x": 1},
            }),
        ):  # fmt: skip
            stream = await client.stream(gateway.port, name, since=1, filter=query)
            await stream.count(1)
            assert stream.messages[0].document == expected

        # The registry's schemas describe the streams, and what is sent is written by them.
        async def described() -> bool:
            return (await gateway.get(f"/v2/schemas/registry/{topic}.avro-value/2.0.0")).status_code == 200

        await eventually(described, "a description of the stream")
        async with http_client(base_url=gateway.address) as sender:
            assert (await sender.post("/v1/events", json={**event, "price": "2.50"})).status_code == 201
            cloud = {"specversion": "1.0", "id": "b", "source": "/s", "type": "t", "data": {"x": 2}}
            kind = {"content-type": "application/cloudevents+json"}
            sent = await sender.post("/v1/events?stream=cloud", content=json.dumps(cloud), headers=kind)
            assert sent.status_code == 201, sent.text
        assert (await waiting.events(6))[5] == 5
        record = await last_record(kafka, f"{topic}.avro")
        stored = fastavro.schemaless_reader(io.BytesIO(record.value[5:]), fastavro.parse_schema(NEW), None)
        assert stored == {"n": 5, "kind": "ODD", "price": Decimal("2.50")}
        record = await last_record(kafka, f"{topic}.cloud")
        assert json.loads(record.value) == cloud
        assert ("content-type", b"application/cloudevents+json") in record.headers


async def last_record(kafka: str, topic: str) -> Any:
    """The newest record of partition 0."""
    partition = TopicPartition(topic, 0)
    async with AIOKafkaConsumer(bootstrap_servers=kafka) as consumer:
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        consumer.seek(partition, end - 1)
        return await consumer.getone()
