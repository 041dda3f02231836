"""What is said of the topics of streams, and of their newest records."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

import pytest

from gateway.app.composition import converting
from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.definitions import Definitions
from gateway.errors import LogUnavailable
from gateway.eventlog.inspection import Listed
from gateway.eventlog.trouble import Kind, Trouble
from gateway.inspection.draft import Drafted
from gateway.inspection.samples import newest
from gateway.inspection.survey import NoTopics, survey
from gateway.inspection.topics import Asked, inspect_topics
from gateway.model.record import NewRecord, TopicPartition
from gateway.schemas.repository import SchemaRepository
from gateway.settings.table import Settings
from tests.inspection.kit import Listing

SCHEMA = (
    '{"title": "t", "$id": "/t/1.0.0", "type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}'
)


@pytest.fixture
def schemas(tmp_path: Path) -> SchemaRepository:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "1.0.0.json").write_text(SCHEMA)
    return SchemaRepository([tmp_path])


async def told(
    log: Listing, streams: Iterable[Stream], schemas: SchemaRepository, writes: Collection[str] = ()
) -> tuple[list[str], int]:
    definitions = Definitions(Catalog(streams), schemas, None)
    asked = Asked(
        definitions,
        log,
        frozenset(writes),
        lambda stream, key: f"{stream}.{key}: ",
        lambda stream, counts: "an id is too long" if stream.name == "long" else None,
    )
    reading = converting(log, Settings(), definitions.catalog)
    try:
        sections = await inspect_topics(log, reading, asked)
    finally:
        await reading.close()
    return [line for section in sections for line in section.lines], sum(section.mistakes for section in sections)


async def test_a_topic_with_an_event(schemas: SchemaRepository) -> None:
    log = Listing("x")
    log.put("x", b'{"n": 1}', b'{"n":\n 2}', None)
    lines, mistakes = await told(log, [Stream("x", ("x",), schema_title="t")], schemas, ["x"])
    assert lines == [
        "  ok       topic x: 2 partitions; the gateway may describe, read, write",
        "           newest event, partition 0, offset 1, 1970-01-01T00:00:01Z:",
        '           {"n": 2}',
    ]
    assert not mistakes


async def test_topics_that_are_not_there(schemas: SchemaRepository) -> None:
    log = Listing("orders.events", "__orders.event")
    streams = [Stream("a", ("order.events",)), Stream("b", ("zzz",), schema_title="t"), Stream("c", ("qqq",))]
    lines, mistakes = await told(log, streams, schemas, ["b"])
    assert lines == [
        "  MISTAKE  a.topics: there is no topic order.events; did you mean orders.events?",
        "  warning  b.topics: there is no topic zzz; it is created when the first event is stored",
        "  MISTAKE  c.topics: there is no topic qqq",
    ]
    assert mistakes == 2


@pytest.mark.parametrize(
    ("found", "writes", "line"),
    [
        (Listed(1, False, frozenset({"describe"})), False, "the gateway may not read topic x; grant READ"),
        (
            Listed(1, False, frozenset({"describe", "read"})),
            True,
            "the gateway may not write topic x; grant WRITE or, where no events are taken in, set intake: off",
        ),
        (Listed(1, False, frozenset()), True, "may not describe or read or write topic x; grant DESCRIBE and READ"),
        (
            Trouble(Kind.NO_RIGHT, "refused"),
            False,
            "topic x: no right: refused; grant DESCRIBE and READ (kafka-acls.sh), or correct its name",
        ),
        (Listed(1, False, None), True, "1 partition (the broker tells no rights)"),
        (Listed(1, False, frozenset({"describe", "read"})), False, "the gateway may describe, read"),
    ],
)
async def test_rights(found: Listed | Trouble, writes: bool, line: str, schemas: SchemaRepository) -> None:
    log = Listing("x")
    log.told["x"] = found
    lines, mistakes = await told(log, [Stream("x", ("x",))], schemas, ["x"] if writes else [])
    assert line in lines[0]
    assert mistakes == lines[0].startswith("  MISTAKE")


async def test_ids_that_are_too_long(schemas: SchemaRepository) -> None:
    lines, mistakes = await told(Listing("x"), [Stream("long", ("x",))], schemas)
    assert lines[-1] == "  MISTAKE  an id is too long"
    assert mistakes == 1


async def test_records_that_are_no_events(schemas: SchemaRepository) -> None:
    log = Listing("framed", "some", "text", "avro")
    log.put("framed", b"\0\0\0\0\7abc", b"\0\0\0\0\7abc")
    log.put("some", b"no event", b'{"n": 1}')
    log.put("text", b"hello")
    log.put("avro", b'{"n": 1}')
    streams = [Stream(name, (name,), form="avro" if name == "avro" else "json") for name in log.told]
    lines, mistakes = await told(log, streams, schemas)
    shown = [line for line in lines if line.startswith(("  MISTAKE", "  warning"))]
    assert [line[:10] for line in shown] == ["  MISTAKE ", "  warning ", "  MISTAKE ", "  MISTAKE "]
    assert "its newest 2 records hold no event" in shown[0]
    assert "it has a schema registry's frame: set format: avro" in shown[0]
    assert "1 of its newest 2 records are no events" in shown[1]
    assert "it is a text, and no JSON object" in shown[2]
    assert shown[3].startswith("  MISTAKE  avro.format: topic avro")
    assert shown[3].endswith("it is plain JSON: leave out format")
    assert mistakes == 3


async def test_an_event_that_is_not_valid_by_its_schema(schemas: SchemaRepository) -> None:
    log = Listing("x")
    log.put("x", b'{"$schema": "/t/1.0.0", "n": "one"}')
    lines, mistakes = await told(log, [Stream("x", ("x",))], schemas)
    assert lines[-1].startswith("  warning  x.topics: the newest event is not valid by /t/1.0.0: ")
    assert not mistakes


async def test_an_event_steers_no_terminal(schemas: SchemaRepository) -> None:
    log = Listing("x")
    log.put("x", '{"n": "\u202e"}'.encode() + b" " * 300, b'{"n": "\\u001b"}')
    lines, _ = await told(log, [Stream("x", ("x",))], schemas)
    assert lines[-1] == '           {"n": "\\u001b"}'
    log.put("x", '{"n": "\u202e\x9b"}'.encode())
    lines, _ = await told(log, [Stream("x", ("x",))], schemas)
    assert not [line for line in lines if "\u202e" in line or "\x9b" in line]


async def test_the_newest_of_all_partitions_are_found_behind_markers() -> None:
    log = Listing("x")
    log.append_now("x", [NewRecord(b"%d" % n, timestamp=n, partition=n % 2) for n in range(20)])
    log.mark("x", 1, 2)
    sample = await newest(log, "x", 2, 3)
    assert [record.value for record in sample.records] == [b"19", b"18", b"17"]
    assert sample.count == 22
    assert (await newest(log, "absent", 1, 3)).trouble is not None
    log.refuse(TopicPartition("x", 0), Trouble(Kind.NO_RIGHT, "refused"))
    sample = await newest(log, "x", 2, 1)
    assert [record.value for record in sample.records] == [b"19"]
    assert sample.trouble is not None
    log.available = False
    assert (await newest(log, "x", 2, 1)).trouble is not None


async def test_a_survey_leaves_out_numbers_of_eight_bytes() -> None:
    """Their first five look like a registry's frame, but for the id: no schema has 0."""
    log = Listing("numbers", "orders")
    log.put("numbers", bytes(7) + b"\x2a", bytes(7) + b"\x2b")
    log.put("orders", b'{"n": 1}')
    drafts, _ = await survey(log, (), None)
    assert [(one.topic, one.form) for one in drafts] == [("numbers", None), ("orders", "json")]
    assert "of no known form" in drafts[0].why


async def test_a_survey_for_drafts() -> None:
    log = Listing("orders", "other", "__offsets", "framed", "text", "empty", "mixed", "deleted")
    log.put("orders", b'{"n": 1}')
    log.put("framed", b"\0\0\0\0\7abc")
    log.put("text", b"hello")
    log.put("mixed", b'{"n": 1}', b"x", b'{"n": 1}')
    log.put("deleted", None)
    drafts, others = await survey(log, (), None)
    assert [(one.topic, one.form) for one in drafts] == [
        ("deleted", None),
        ("empty", "json"),
        ("framed", "framed"),
        ("mixed", "json"),
        ("orders", "json"),
        ("other", "json"),
        ("text", None),
    ]
    assert not others
    told: dict[str, Drafted] = {one.topic: one for one in drafts}
    assert told["mixed"].why == "Of its newest 3 records 1 are of another form."
    assert "--registry URL" in told["framed"].why
    drafts, others = await survey(log, ("o*", "__offsets"), None)
    assert [one.topic for one in drafts] == ["__offsets", "orders", "other"]
    assert others == 5
    with pytest.raises(NoTopics, match=r"none of the 7 topics fits x\* or y"):
        await survey(log, ("x*", "y"), None)
    with pytest.raises(NoTopics, match="there are no topics"):
        await survey(Listing(), (), None)
    log.failure = "it is gone"
    with pytest.raises(LogUnavailable, match="k:9092: it is gone"):
        await survey(log, (), None)
