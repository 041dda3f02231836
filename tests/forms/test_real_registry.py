"""What the gateway asks of a registry, asked of a real one: whichever GATEWAY_TEST_REGISTRY names the address of.

Apicurio Registry 2.6.13 was tried (`http://127.0.0.1:8080/apis/ccompat/v7`). The other tests have a small server that
speaks the same API.
"""

from __future__ import annotations

import os
import uuid
from typing import Any

import httpx
import orjson
import pytest

from gateway.catalog.stream import Stream
from gateway.clock import SystemClock
from gateway.errors import BadRecord
from gateway.forms.describing import Describing
from gateway.forms.frame import framed
from gateway.forms.options import RegistryOptions
from gateway.forms.registry import Registry
from gateway.forms.request import RegistryRequests
from gateway.schemas.repository import Described
from tests.plain_http import http_client

URL = os.environ.get("GATEWAY_TEST_REGISTRY", "")
pytestmark = [
    pytest.mark.by_hand,
    pytest.mark.skipif(not URL, reason="GATEWAY_TEST_REGISTRY names no registry"),
]

OLD = {"type": "record", "name": "Order", "fields": [{"name": "n", "type": "int"}]}
NEW = {"type": "record", "name": "Order", "fields": [
    {"name": "n", "type": "int"}, {"name": "t", "type": ["null", "string"], "default": None},
]}  # fmt: skip
INNER = 'syntax = "proto3"; package a; message Inner { int64 n = 1; }'
OUTER = 'syntax = "proto3"; package b; import "inner.proto"; message Outer { a.Inner inner = 1; string t = 2; }'


async def add(client: httpx.AsyncClient, subject: str, schema: Any, kind: str = "AVRO", *references: Any) -> int:
    """Register a version; its id."""
    text = schema if isinstance(schema, str) else orjson.dumps(schema).decode()
    document = {"schema": text, "schemaType": kind, "references": list(references)}
    answer = await client.post(f"/subjects/{subject}/versions", json=document)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["id"])


async def test_schemas_are_read_described_and_unknown_as_those_of_the_small_server() -> None:
    name = uuid.uuid4().hex
    async with http_client(base_url=URL, timeout=20) as client:
        old = await add(client, f"{name}.avro-value", OLD)
        new = await add(client, f"{name}.avro-value", NEW)
        await add(client, f"{name}.inner", INNER, "PROTOBUF")
        reference = {"name": "inner.proto", "subject": f"{name}.inner", "version": 1}
        proto = await add(client, f"{name}.proto-value", OUTER, "PROTOBUF", reference)
        number = {"type": "object", "properties": {"n": {"type": "integer"}}}
        in_json = await add(client, f"{name}.json-value", number, "JSON")
    registry = Registry(RegistryRequests(RegistryOptions(URL, timeout=20)), SystemClock())
    unknown = 2_000_000_000
    registry.want([old, new, proto, in_json, unknown])
    while not all(map(registry.has, (old, new, proto, in_json, unknown))):
        await registry.news(1)

    def convert(number: int, data: bytes) -> bytes:
        schema = registry.known(number)
        assert schema is not None
        return schema.convert(framed(number, data))

    assert convert(old, b"\x02") == b'{"n":1}'
    assert convert(new, b"\x02\x02\x02x") == b'{"n":1,"t":"x"}'
    assert convert(proto, b"\0\x0a\x02\x08\x05") == b'{"inner":{"n":5},"t":""}'
    assert convert(in_json, b'{"n":1}') == b'{"n":1}'
    with pytest.raises(BadRecord, match="no schema 2000000000"):
        registry.known(unknown)

    found: dict[str, Described] = {}
    forms = {"avro": "avro", "proto": "protobuf", "json": "json-schema", "other": "avro"}
    streams = [Stream(one, (f"{name}.{one}",), form=form) for one, form in forms.items()]  # type: ignore[arg-type]
    registry.note(f"{name}.other", new)
    await Describing(registry, lambda: streams, found.update).look()
    title = f"/registry/{name}"
    told = {stream: [schema.uri.removeprefix(title) for schema in one.each] for stream, one in found.items()}
    assert told == {
        "avro": [".avro-value/2.0.0", ".avro-value/1.0.0"],
        "proto": [".proto-value/1.0.0"],
        "json": [".json-value/1.0.0"],
        "other": [".avro-value/2.0.0"],
    }
    assert found["proto"].together.faults({"inner": {"n": 5}, "t": ""}) == []
    encode = found["avro"].each[0].encode
    assert encode is not None
    assert encode({"n": 1, "t": "x"}, 10) == framed(new, b"\x02\x02\x02x")
    await registry.close()
