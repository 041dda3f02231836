"""The intake in other forms than JSON: CloudEvents, and values by the schemas of a registry."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from gateway.catalog.stream import Stream
from gateway.forms.frame import framed
from gateway.model.record import NewRecord
from tests.kit.waiting import becomes
from tests.routes.forms import Converting
from tests.routes.intake import PATH, Log
from tests.routes.kit import Site, appears, frames, running
from tests.services.registry import PROTOBUF, SmallRegistry, small_registry

pytestmark = pytest.mark.asyncio(loop_scope="module")

META = {"type": "record", "name": "Meta", "fields": [
    {"name": name, "type": ["null", "string"]} for name in ("id", "stream", "dt", "request_id")
]}  # fmt: skip
ORDER = {"type": "record", "name": "Order", "fields": [
    {"name": "n", "type": "int"},
    {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}},
]}  # fmt: skip
STREAMS = (
    Stream("orders", ("orders",), form="avro", schema_title="registry/orders-value", message_key_fields=("n",)),
    Stream(
        "meta", ("meta",), form="avro", schema_title="registry/meta-value", key_form="json", message_key_fields=("n",)
    ),
    Stream("proto", ("proto",), form="protobuf", schema_title="registry/proto-value"),
    Stream("gone", ("gone",), form="avro", schema_title="registry/gone-value"),
    Stream("read", ("read",), form="avro"),
    Stream("cloud", ("cloud",), form="cloudevents", schema_title="cloud/order", timestamp_field="time"),
    Stream("cloud.read", ("cloud.read",), form="cloudevents"),
    Stream("plain", ("plain",), schema_title="wiki/change"),
    Stream("errors", ("errors",), schema_title="gateway/error", public=False),
)
SCHEMA = """
$id: /cloud/order/1.0.0
title: cloud/order
type: object
required: [id, source]
properties:
  id: {type: string}
  source: {type: string}
  data: {type: object, properties: {n: {type: integer}}}
"""
STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"


class Sites:
    """A gateway, its log and the registry beside it."""

    def __init__(self, site: Site, log: Log, registry: SmallRegistry) -> None:
        self.site, self.log, self.registry = site, log, registry

    async def post(self, body: Any, kind: str = "application/json", query: str = "", **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {"content-type": kind} | {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.site.client.post(PATH + query, content=content, headers=named)

    def records(self, topic: str) -> list[Any]:
        return [record for part in self.log._topics[topic].partitions for record in part.records]

    async def read(self, stream: str, count: int) -> list[Any]:
        answer = await self.site.get(f"/v2/stream/{stream}", params={"since": "2001-01-01", "limit": count})
        return [frame.json() for frame in frames(answer.content) if frame.event == "message"]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def sites(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sites]:
    folder = tmp_path_factory.mktemp("schemas")
    (folder / "cloud" / "order").mkdir(parents=True)
    (folder / "cloud" / "order" / "1.0.0.yaml").write_text(SCHEMA)
    log = Log()
    with small_registry(first_id=100) as registry:
        registry.add("orders-value", ORDER)
        registry.add(
            "orders-value", {**ORDER, "fields": [*ORDER["fields"], {"name": "more", "type": ["null", "string"]}]}
        )
        registry.add("meta-value", {**ORDER, "fields": [ORDER["fields"][0], {"name": "meta", "type": META}]})
        registry.add("proto-value", 'syntax = "proto3"; message P { int64 n = 1; string t = 2; }', PROTOBUF)
        own = str(Path(__file__).parents[2] / "config" / "schemas")
        settings: dict[str, Any] = {
            "schema_repositories": (str(folder), own),
            "error_stream": "errors",
            "intake_max_bytes": 1 << 20,
        }
        converting: Any = Converting(log, registry, STREAMS)
        async with running(converting, STREAMS, admin=True, **settings) as site:
            await becomes(lambda: site.gateway.current.schemas.described("proto") is not None)
            yield Sites(site, log, registry)


def order(stream: str = "orders", version: int = 1, **more: Any) -> dict[str, Any]:
    event = {"$schema": f"/registry/{stream}-value/{version}.0.0", "meta": {"stream": stream}, "n": 7, "price": "12.50"}
    return {**event, **more}


async def test_an_event_is_stored_in_avro_by_the_version_that_it_names_and_read_again(sites: Sites) -> None:
    assert (await sites.post([order(n=1), order(version=2, n=2, more="x")])).status_code == 201
    first, second = sites.records("orders")
    assert (first.value, first.key, first.headers) == (framed(100, b"\x02\x04\x04\xe2"), b"1", ())
    assert (second.value[:5], second.key) == (framed(101, b""), b"2")
    assert await sites.read("orders", 2) == [{"n": 1, "price": "12.50"}, {"n": 2, "price": "12.50", "more": "x"}]


async def test_what_the_schema_does_not_allow_is_the_events_own_fault(sites: Sites) -> None:
    bad = [
        (order(n="x"), "/n: "), (order(other=1), "other"), (order(price="1.005"), "more than 6 digits"),
        (order(version=9), "is in no schema repository; it takes a version of registry/orders-value, such as"),
        ({"meta": {"stream": "orders"}, "n": 1}, "/$schema: it is missing"),
        (order() | {"$schema": "/registry/meta-value/1.0.0"}, "is not one that orders takes"),
        (order() | {"meta": {"stream": "read"}}, "has no schema_title"),
        (order() | {"meta": {"stream": "cloud"}}, "takes CloudEvents"),
    ]  # fmt: skip
    before = len(sites.records("orders"))
    answer = await sites.post([event for event, _ in bad])
    assert answer.status_code == 400
    details = [one["detail"] for one in answer.json()["invalid"]]
    assert all(part in detail for (_, part), detail in zip(bad, details, strict=True)), details
    assert len(sites.records("orders")) == before
    await becomes(lambda: len(sites.records("errors")) >= len(bad))


async def test_a_schema_with_meta_gets_what_is_missing_and_recognises_an_event(sites: Sites) -> None:
    event = {"$schema": "/registry/meta-value/1.0.0", "meta": {"stream": "meta", "id": "a"}, "n": 3}
    assert (await sites.post(event, x_request_id="r-1")).json() == {"stored": 1, "repeated": 0}
    (record,) = sites.records("meta")
    assert record.key == b"3"
    (stored,) = await sites.read("meta", 1)
    assert stored["meta"] | {"dt": ""} == {"id": "a", "stream": "meta", "dt": "", "request_id": "r-1"}
    assert (await sites.post(event)).json() == {"stored": 1, "repeated": 1}


async def test_an_event_is_stored_in_protobuf(sites: Sites) -> None:
    event = {"$schema": "/registry/proto-value/1.0.0", "meta": {"stream": "proto"}, "n": 5, "t": "x"}
    assert (await sites.post(event)).status_code == 201
    assert [record.value for record in sites.records("proto")] == [framed(103, b"\0\x08\x05\x12\x01x")]
    assert await sites.read("proto", 1) == [{"n": 5, "t": "x"}]


async def test_while_the_registry_has_not_told_a_schema_nothing_is_stored_and_others_are(sites: Sites) -> None:
    answer = await sites.post(order("gone"))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "waits for a schema" in answer.json()["detail"]
    answer = await sites.post([order("gone"), order(n=9)])
    assert answer.status_code == 207
    assert ("has not given" in answer.json()["error"][0]["detail"], answer.json()["stored"]) == (True, 1)
    assert sites.records("gone") == []


def cloud(number: int = 1, **more: Any) -> dict[str, Any]:
    event = {"specversion": "1.0", "id": f"c{number}", "source": "/a", "type": "order", "time": "2026-01-01T00:00:00Z"}
    return {**event, "data": {"n": number}, **more}


async def test_cloudevents_are_taken_one_by_one_in_batches_and_in_headers(sites: Sites) -> None:
    text = b'{ "specversion":"1.0","id":"s1","source":"/a", "type":"t","time":"2026-01-01T00:00:00Z","data":{"n":1}}'
    assert (await sites.post(text, STRUCTURED, "?stream=cloud")).status_code == 201
    batch = [cloud(2), cloud(3, partitionkey="k")]
    assert (await sites.post(batch, BATCHED + "; charset=utf-8", "?stream=cloud")).status_code == 201
    binary = {
        "ce_specversion": "1.0",
        "ce_id": "b1",
        "ce_source": "/%C3%A9",
        "ce_type": '"a\\"b"',
        "ce_time": "2026-01-01T00:00:00Z",
    }
    assert (await sites.post(b'{"n": 4}', "application/json", "?stream=cloud", **binary)).status_code == 201
    records = sites.records("cloud")
    assert records[0].value == text
    assert {record.headers for record in records} == {(("content-type", STRUCTURED.encode()),)}
    assert [record.key for record in records] == [None, None, b"k", None]
    assert records[0].timestamp == 1_767_225_600_000
    read = await sites.read("cloud", 4)
    assert [one["data"]["n"] for one in read] == [1, 2, 3, 4]
    assert (read[3]["source"], read[3]["type"], read[3]["datacontenttype"]) == ("/é", 'a"b', "application/json")
    repeated = await sites.post(cloud(2), STRUCTURED, "?stream=cloud")
    assert repeated.json() == {"stored": 1, "repeated": 1}
    again = await sites.post(cloud(2, source="/b"), STRUCTURED, "?stream=cloud&hasty=true")
    assert again.status_code == 202


async def test_a_cloudevent_that_another_process_has_stored_is_recognised(sites: Sites) -> None:
    """By its source and id together, as soon as it is read."""
    sites.site.put("cloud", NewRecord(json.dumps(cloud(70)).encode()))
    await appears(sites.site, "cloud", len(sites.records("cloud")) - 1)
    assert (await sites.post(cloud(70), STRUCTURED, "?stream=cloud")).json() == {"stored": 1, "repeated": 1}
    assert (await sites.post(cloud(70, source="/b"), STRUCTURED, "?stream=cloud")).json() == {
        "stored": 1,
        "repeated": 0,
    }


async def test_other_data_in_binary_mode_is_text_or_base64(sites: Sites) -> None:
    named = {"ce_specversion": "1.0", "ce_source": "/x", "ce_type": "t", "ce_time": "2026-01-01T00:00:00Z"}
    answer = await sites.post(b"\xff", "image/png", "?stream=cloud", ce_id="png", **named)
    assert answer.status_code == 201
    stored = json.loads(sites.records("cloud")[-1].value)
    assert (stored["data_base64"], stored["datacontenttype"]) == (b64encode(b"\xff").decode(), "image/png")
    answer = await sites.post(b"hello", "text/plain", "?stream=cloud", ce_id="text", **named)
    assert (answer.status_code, answer.json()["invalid"][0]["detail"]) == (
        400,
        '/data: "hello" is not of type "object"',
    )


BAD_EVENTS: list[tuple[dict[str, Any], str]] = [
    ({"id": 1}, "without id"), ({"specversion": "0.3"}, "version 0.3"), ({"Subject": "x"}, "/Subject: it is no name"),
    ({"a": {}}, "/a: an attribute is"), ({"a": 1.5}, "/a: an attribute is"),
    ({"subject": 1}, "/subject: an attribute is"),
    ({"time": "yesterday"}, "/time: "), ({"data_base64": "AA=="}, "not both"),
    ({"data": None, "data_base64": "é"}, "no Base64"), ({"data": {"n": "x"}}, "/data/n: "),
]  # fmt: skip


async def test_what_is_no_cloudevent_is_its_own_fault(sites: Sites) -> None:
    before, errors = len(sites.records("cloud")), len(sites.records("errors"))
    answer = await sites.post([cloud(50, **wrong) for wrong, _ in BAD_EVENTS], BATCHED, "?stream=cloud")
    assert answer.status_code == 400
    details = [one["detail"] for one in answer.json()["invalid"]]
    assert all(part in detail for (_, part), detail in zip(BAD_EVENTS, details, strict=True)), details
    assert len(sites.records("cloud")) == before
    await becomes(lambda: len(sites.records("errors")) >= errors + len(BAD_EVENTS))


NAMED = {"ce_specversion": "1.0", "ce_id": "a", "ce_source": "/a", "ce_type": "t"}
BAD_REQUESTS = [
    (cloud(), STRUCTURED, "", {}, 400, "`stream`: it is missing"),
    (cloud(), STRUCTURED, "?stream=clout", {}, 400, "close to it: cloud"),
    (cloud(), STRUCTURED, "?stream=plain", {}, 400, "takes no CloudEvents"),
    (cloud(), STRUCTURED, "?stream=errors", {}, 400, "there is no stream 'errors'"),
    (cloud(), STRUCTURED, "?stream=cloud&stream=cloud", {}, 400, "more than once"),
    (cloud(), "application/json", "?stream=cloud", {}, 400, "other events name theirs"),
    ([cloud()], STRUCTURED, "?stream=cloud", {}, 400, "an array of CloudEvents is application/cloudevents-batch+json"),
    (cloud(), BATCHED, "?stream=cloud", {}, 400, "one alone is application/cloudevents+json"),
    ([], BATCHED, "?stream=cloud", {}, 400, "the array is empty"),
    (b"", STRUCTURED, "?stream=cloud", {}, 400, "the body is empty"),
    (cloud(), "application/cloudevents+avro", "?stream=cloud", {}, 415, "send events as"),
    (cloud(), STRUCTURED, "?stream=cloud.read", {}, 400, "has no schema_title"),
    (b"{", "application/json", "?stream=cloud", NAMED, 400, "that is not JSON"),
    (b"{}", "application/json", "?stream=cloud", NAMED | {"ce_id": ""}, 400, "without id"),
    (b"{}", "application/json", "?stream=cloud", NAMED | {"ce_x_y": "1"}, 400, "`ce-x-y`: it is no name"),
    (b"{}", "application/json", "?stream=cloud", NAMED | {"ce_a": "%FF"}, 400, "`ce-a`: it is not UTF-8"),
    (b"{}", "application/json", "?stream=cloud", NAMED | {"ce_data": "1"}, 400, "`ce-data`: it is no name"),
]


@pytest.mark.parametrize(("body", "kind", "query", "headers", "status", "detail"), BAD_REQUESTS)
async def test_a_request_that_is_no_cloudevent_says_why(
    sites: Sites, body: Any, kind: str, query: str, headers: dict[str, str], status: int, detail: str
) -> None:
    answer = await sites.post(body, kind, query, **headers)
    assert (answer.status_code, detail in answer.text) == (status, True), answer.text


async def test_headers_become_members_and_no_headers_of_the_record(sites: Sites) -> None:
    """Whatever a header holds is the text of one member: it ends no value and begins no other."""
    wicked = 'x","id":"other","data":{"n":1}}'
    headers = NAMED | {"ce_id": "wicked", "ce_subject": wicked, "ce_time": "2026-01-01T00:00:00Z", "traceparent": "no"}
    assert (await sites.post(b'{"n":1}', "application/json", "?stream=cloud", **headers)).status_code == 201
    record = sites.records("cloud")[-1]
    assert json.loads(record.value)["subject"] == wicked
    assert (json.loads(record.value)["id"], record.headers) == ("wicked", (("content-type", STRUCTURED.encode()),))
    twice = (
        b"POST /v1/events?stream=cloud HTTP/1.1\r\nhost: a\r\ncontent-type: text/plain\r\ncontent-length: 0\r\n"
        b"ce-specversion: 1.0\r\nce-id: a\r\nce-id: b\r\nconnection: close\r\n\r\n"
    )
    assert b"`ce-id`: it is given more than once" in await sites.site.raw(twice)
