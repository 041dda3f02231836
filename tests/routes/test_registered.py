"""Streams whose schemas are in a registry, over HTTP: they are described as those of the repositories are."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.catalog.stream import Stream
from gateway.eventlog.memory.log import MemoryLog
from gateway.forms.frame import framed
from gateway.model.record import NewRecord
from tests.kit.waiting import becomes
from tests.routes.forms import Converting
from tests.routes.kit import Site, frames, running
from tests.services.registry import small_registry

pytestmark = pytest.mark.asyncio(loop_scope="module")

RECORD = {"type": "record", "name": "Order", "doc": "An order.", "fields": [{"name": "n", "type": "int"}]}
STREAMS = (
    Stream("orders", ("orders",), form="avro"),
    Stream("secret", ("secret",), form="avro", public=False),
    Stream("plain", ("plain",)),
)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def site() -> AsyncIterator[Site]:
    with small_registry() as registry:
        for stream in STREAMS[:2]:
            registry.add(f"{stream.name}-value", RECORD)
        log = Converting(MemoryLog(), registry, STREAMS)
        async with running(log, STREAMS, admin=True, derive_trials="public") as site:  # type: ignore[arg-type]
            site.put("orders", NewRecord(framed(1, b"\x54")))
            await becomes(lambda: site.gateway.current.schemas.described("orders") is not None)
            yield site


async def test_the_catalogue_names_the_schema_and_the_schema_is_there(site: Site) -> None:
    stream = (await site.get("/v2/streams/orders")).json()
    assert stream["schema"].endswith("/v2/schemas/registry/orders-value/latest")
    schema = (await site.get("/v2/schemas/registry/orders-value/latest")).json()
    assert schema["properties"] == {"n": {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}}
    assert schema["$id"] == "/registry/orders-value/1.0.0"
    index = {one["title"]: one for one in (await site.get("/v2/schemas")).json()}
    assert index["registry/orders-value"]["versions"] == ["1.0.0"]
    assert index["registry/orders-value"]["description"] == "An order."


async def test_events_are_those_that_the_schema_describes(site: Site) -> None:
    query = {"since": "2001-01-01", "limit": 1, "filter": "event.n == 42", "fields": "n"}
    answer = await site.get("/v2/stream/orders", params=query)
    (found,) = (frame for frame in frames(answer.content) if frame.event == "message")
    assert found.data == '{"n":42}'
    described = site.gateway.current.schemas.taken_by(STREAMS[0])
    assert described is not None
    assert described.faults(found.json()) == []


async def test_the_documents_describe_the_events(site: Site) -> None:
    openapi = (await site.get("/openapi.json")).json()
    assert openapi["components"]["schemas"]["registry.orders-value-1.0.0"]["properties"]["n"]["type"] == "integer"
    asyncapi = (await site.get("/asyncapi.json")).text
    assert "registry.orders-value-1.0.0" in asyncapi
    assert "secret" not in asyncapi


async def test_the_schema_of_a_private_stream_stands_on_the_admin_port_alone(site: Site) -> None:
    path = "/v2/schemas/registry/secret-value/1.0.0"
    assert (await site.get(path)).status_code == 404
    assert "secret" not in (await site.get("/v2/schemas")).text
    assert (await site.admin.get(path)).status_code == 200


async def test_a_trial_tells_of_no_schema_of_a_private_stream(site: Site) -> None:
    form = "{}: {{schema_title: {}, derive: {{from: [plain], allow_unknown: true, select: {{n: string(offset)}}}}}}"
    for name, title in (("secret", "a/title"), ("mine", "registry/secret-value")):
        await becomes(lambda: site.gateway.current.schemas.described("secret") is not None)
        text = form.format(name, title)
        outside, inside = [
            (await client.post("/explorer/trial", content=text)).json()["mistakes"]
            for client in (site.client, site.admin)
        ]
        assert outside == []
        assert any("n may be string" in one["text"] for one in inside), inside


async def test_a_filter_that_names_what_no_version_has_is_advised_on(site: Site) -> None:
    for query, expected in (
        ({"filter": "event.m == 1"}, "no schema of these streams has event.m"),
        ({"filter": 'event.n == "x"'}, "event.n"),
        ({"fields": "m"}, "m"),
        ({"filter": "event.n == 1", "fields": "n"}, None),
    ):
        answer = await site.get(
            "/v2/stream/orders", params={"since": "2001-01-01", "limit": 1, "until": "2001-01-02", **query}
        )
        told = answer.headers.get("gateway-warning")
        assert (told is None) if expected is None else expected in (told or ""), (query, told)
