"""What a registry says of streams is learnt in the background, and is in force wherever schemas are used."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.app.composition import with_registered
from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.clock import SystemClock
from gateway.definitions import Current, Definitions
from gateway.eventlog.memory.log import MemoryLog
from gateway.forms import describing
from gateway.forms.describing import Describing
from gateway.forms.frame import framed
from gateway.forms.log import ConvertingLog
from gateway.forms.registry import Registry, RegistryAway
from gateway.schemas import repository, validator
from gateway.schemas.repository import Described, SchemaRepository
from tests.forms.test_reader import Answers
from tests.kit.waiting import becomes

SHIPPED = SchemaRepository([Path(__file__).parents[2] / "config" / "schemas"])
ORDERS = Stream("orders", ("orders",), form="avro")


def record(*names: str) -> dict[str, Any]:
    fields = [{"name": name, "type": "int"} for name in names]
    return {"schema": orjson.dumps({"type": "record", "name": "R", "fields": fields}).decode()}


def versions(answers: Answers, subject: str, *schemas: tuple[int, dict[str, Any]]) -> None:
    """Let the registry have these versions of a subject: ids and schemas."""
    answers.by_path[f"/subjects/{subject}/versions"] = list(range(1, len(schemas) + 1))
    for version, (number, schema) in enumerate(schemas, 1):
        answers.by_path[f"/subjects/{subject}/versions/{version}"] = schema | {"id": number}
        answers.by_path[f"/schemas/ids/{number}"] = schema


class Kept:
    """A pass of the describing after the other, and what it has put in force."""

    def __init__(self, *streams: Stream) -> None:
        self.answers = Answers()
        self.registry = Registry(self.answers, SystemClock())
        self.described: Mapping[str, Described] = {}
        self.puts = 0
        self.describing = Describing(self.registry, lambda: streams, self._put)

    def _put(self, described: Mapping[str, Described]) -> None:
        self.puts += 1
        self.described = described

    async def look(self) -> dict[str, list[str]]:
        await self.describing.look()
        return {name: [schema.uri for schema in one.each] for name, one in self.described.items()}


async def test_the_versions_of_a_topics_subject_describe_its_stream() -> None:
    kept = Kept(ORDERS, Stream("plain", ("plain",)))
    versions(kept.answers, "orders-value", (7, record("a")), (9, record("a", "b")))
    expected = {"orders": ["/registry/orders-value/2.0.0", "/registry/orders-value/1.0.0"]}
    assert await kept.look() == expected
    asked = len(kept.answers.asked)
    assert await kept.look() == expected
    assert kept.answers.asked[asked:] == ["/subjects/orders-value/versions"]
    assert kept.puts == 1
    assert kept.described["orders"].together.faults({"a": 1}) == []
    newest = SHIPPED.with_registered(kept.described).newest_of(ORDERS)
    assert [schema.uri for schema in newest] == ["/registry/orders-value/2.0.0"]


async def test_schemas_of_values_that_were_read_describe_it_whatever_their_subject() -> None:
    kept = Kept(ORDERS)
    versions(kept.answers, "orders-value", (7, record("a")))
    versions(kept.answers, "com.acme.Order", (9, record("b")))
    kept.answers.by_path["/schemas/ids/9/versions"] = [{"subject": "com.acme.Order", "version": 1}]
    kept.answers.by_path["/schemas/ids/10"] = record("c")
    for number in (7, 9, 10, 11):
        kept.registry.note("orders", number)
    found = await kept.look()
    assert found["orders"] == [
        "/registry/orders-value/1.0.0", "/registry/ids/10/1.0.0", "/registry/com.acme.Order/1.0.0",
    ]  # fmt: skip
    assert kept.described["orders"].together.faults({"c": 1}) == []


async def test_the_subject_that_a_stream_writes_by_describes_it_before_that_of_its_topic() -> None:
    kept = Kept(Stream("orders", ("orders",), form="avro", schema_title="registry/com.acme.Order"))
    versions(kept.answers, "orders-value", (7, record("a")))
    versions(kept.answers, "com.acme.Order", (9, record("b")))
    found = await kept.look()
    assert found["orders"] == ["/registry/com.acme.Order/1.0.0", "/registry/orders-value/1.0.0"]
    assert await kept.look() == found


async def test_while_the_registry_is_away_what_is_known_stays_and_others_are_asked() -> None:
    other = Stream("other", ("other",), form="avro")
    kept = Kept(ORDERS, other)
    versions(kept.answers, "orders-value", (7, record("a")))
    versions(kept.answers, "other-value", (8, record("b")))
    assert set(await kept.look()) == {"orders", "other"}
    kept.answers.by_path["/subjects/orders-value/versions"] = RegistryAway("asks for other credentials")
    versions(kept.answers, "other-value", (8, record("b")), (9, record("c")))
    found = await kept.look()
    assert found["orders"] == ["/registry/orders-value/1.0.0"]
    assert len(found["other"]) == 2


async def test_many_failures_end_a_pass_and_those_that_failed_come_last_in_the_next() -> None:
    streams = [Stream(f"s{n}", (f"s{n}",), form="avro") for n in range(12)]
    kept = Kept(*streams)
    for stream in streams[:6]:
        kept.answers.by_path[f"/subjects/{stream.name}-value/versions"] = RegistryAway("no answer")
    for stream in streams[6:]:
        versions(kept.answers, f"{stream.name}-value", (1, record("a")))
    assert await kept.look() == {}
    assert len(kept.answers.asked) == describing.MOST_FAILURES
    assert len(await kept.look()) == 6


async def test_a_registry_that_was_away_is_asked_again_soon_and_one_of_many_topics_seldom() -> None:
    kept = Kept(ORDERS)
    kept.answers.by_path["/subjects/orders-value/versions"] = RegistryAway("no answer")
    await kept.look()
    assert kept.describing._pause() == describing.RETRY_SECONDS
    versions(kept.answers, "orders-value", (7, record("a")))
    await kept.look()
    assert kept.describing._pause() == describing.REFRESH_SECONDS
    many = Kept(*(Stream(f"s{n}", (f"s{n}",), form="avro") for n in range(1000)))
    assert many.describing._pause() == pytest.approx(600)


async def test_the_text_of_all_schemas_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(describing, "DESCRIBED_CHARACTERS", 150)
    kept = Kept(ORDERS)
    versions(kept.answers, "orders-value", (7, record("a")), (8, record("a", "b")))
    assert await kept.look() == {"orders": ["/registry/orders-value/2.0.0"]}


@pytest.mark.parametrize("answer", [{}, [None], ["1"], [{"a": 1}], [0, -1]])
async def test_a_registry_that_answers_nonsense_describes_nothing(answer: Any) -> None:
    kept = Kept(ORDERS)
    kept.answers.by_path["/subjects/orders-value/versions"] = answer
    assert await kept.look() == {}


async def test_it_looks_again_as_soon_as_values_of_another_schema_were_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(describing, "LOOK_SECONDS", 0.01)
    kept = Kept(ORDERS)
    kept.answers.by_path["/schemas/ids/10"] = record("c")
    running = asyncio.create_task(kept.describing.run())
    try:
        await becomes(lambda: bool(kept.answers.asked))
        kept.registry.note("orders", 10)
        await becomes(lambda: bool(kept.described))
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert [one.uri for one in kept.described["orders"].each] == ["/registry/ids/10/1.0.0"]


async def test_messages_that_values_were_are_described_for_good() -> None:
    """Also after the registry has forgotten a schema that was not used for long."""
    kept = Kept(Stream("p", ("p",), form="protobuf"))
    text = 'syntax = "proto2"; message A { optional int32 a = 1; } message B { optional int32 b = 1; }'
    versions(kept.answers, "p-value", (7, {"schema": text, "schemaType": "PROTOBUF"}))
    await kept.look()
    assert kept.described["p"].together.faults({"b": 1})
    kept.registry.want([7])
    while (schema := kept.registry.known(7)) is None:
        await kept.registry.news(1)
    schema.convert(framed(7, b"\x02\x02\x08\x01"))
    await kept.look()
    assert kept.described["p"].together.faults({"b": 1}) == []
    kept.registry._schemas.clear()
    await kept.look()
    assert kept.described["p"].together.faults({"b": 1}) == []


async def described(*names: str) -> Mapping[str, Described]:
    kept = Kept(*(Stream(name, (name,), form="avro") for name in names))
    for number, name in enumerate(names, 1):
        versions(kept.answers, f"{name}-value", (number, record(name)))
    await kept.look()
    return kept.described


async def test_schemas_of_a_registry_stand_beside_those_of_files_and_are_replaced() -> None:
    base = SHIPPED.titles()
    schemas = SHIPPED.with_registered(await described("orders"))
    assert set(schemas.titles()) == {*base, "registry/orders-value"}
    assert SHIPPED.titles() == base
    found = schemas.get("registry/orders-value")
    assert found is not None
    assert schemas.named("/registry/orders-value/1.0.0") is found
    assert schemas.taken_by(ORDERS) is found
    assert schemas.newest_of(ORDERS) == [found]
    assert "did you mean registry/orders-value" in schemas.missing("registry/order-value", "latest")
    others = schemas.with_registered(await described("other"))
    assert set(others.titles()) == {*base, "registry/other-value"}
    assert others.with_registered({}) is SHIPPED
    copied = pickle.loads(pickle.dumps(schemas))
    assert copied.taken_by(ORDERS).faults({"orders": "x"})


async def test_the_public_sees_no_schema_of_a_private_stream() -> None:
    private = Stream("secret", ("secret",), form="avro", public=False)
    current = Current(Definitions(Catalog([ORDERS, private]), SHIPPED))
    current.describe(await described("orders", "secret"))
    shown = current.definitions.public_schemas
    assert shown.get("registry/orders-value") is not None
    assert shown.get("registry/secret-value") is None
    assert current.schemas.get("registry/secret-value") is not None
    current.replace(Definitions(Catalog([ORDERS]), SHIPPED))
    assert current.schemas.taken_by(ORDERS) is not None


async def test_a_command_waits_for_the_registry_as_long_as_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = Answers()
    versions(answers, "orders-value", (1, record("a")))
    log = ConvertingLog(MemoryLog(), [ORDERS], Registry(answers, SystemClock()))
    catalog = Catalog([ORDERS])
    assert (await with_registered(SHIPPED, log, catalog)).taken_by(ORDERS) is not None
    assert await with_registered(SHIPPED, MemoryLog(), catalog) is SHIPPED
    answers.by_path["/subjects/orders-value/versions"] = asyncio.get_running_loop().create_future()
    monkeypatch.setattr("gateway.app.composition.DESCRIBED_WAIT", 0.02)
    assert await with_registered(SHIPPED, log, catalog) is SHIPPED


async def test_what_nobody_writes_by_is_not_compiled_and_what_is_written_by_is_before_its_first_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A registry has many schemas: a validator and a writer of each would take a hundred times their memory."""
    compiled: list[object] = []

    def compile_validator(document: object, draft: str) -> object:
        compiled.append(document)
        return validator.compile_validator(document, draft)  # type: ignore[arg-type]

    monkeypatch.setattr(repository, "compile_validator", compile_validator)
    read = Kept(ORDERS)
    versions(read.answers, "orders-value", (7, record("a")), (8, record("b")))
    await read.look()
    assert compiled == []
    written = Kept(Stream("orders", ("orders",), form="avro", schema_title="registry/orders-value"))
    versions(written.answers, "orders-value", (7, record("a")), (8, record("b")))
    await written.look()
    assert len(compiled) == 2
