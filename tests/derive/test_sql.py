"""CEL in SQL: held against an engine that runs in the process (DuckDB), where it says the same as Flink."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from random import Random

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot.dialects.duckdb import DuckDB

from gateway.derive.sql import translate
from gateway.derive.sql_types import Type, Variable, common_type, type_of
from gateway.errors import InvalidExpression
from gateway.filters.compile import compile_filter
from gateway.filters.subject import Subject
from gateway.schemas.flink import Flink
from tests.derive.expressions import SCHEMA, random_event, random_truth
from tests.effort import examples

VARIABLES = {"event": Variable(type_of(SCHEMA))}
COLUMNS = {
    "wiki": "VARCHAR", "type": "VARCHAR", "user": "VARCHAR", "title": "VARCHAR", "bot": "BOOLEAN", "minor": "BOOLEAN",
    "page_id": "BIGINT", "vast": "BIGINT", "score": "DOUBLE", "length": 'STRUCT("old" BIGINT, "new" BIGINT)',
    "tags": "VARCHAR[]",
}  # fmt: skip
_EVENTS_RANDOM = Random(7)
EVENTS = [random_event(_EVENTS_RANDOM) for _ in range(300)]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> duckdb.DuckDBPyConnection:
    path: Path = tmp_path_factory.mktemp("events") / "events.ndjson"
    path.write_text("\n".join(json.dumps({"number": number, **event}) for number, event in enumerate(EVENTS)))
    connection = duckdb.connect()
    columns = {"number": "BIGINT", **COLUMNS}
    source = f"read_json('{path}', format='newline_delimited', columns={columns!r})"
    connection.execute(f"CREATE TABLE events AS SELECT * FROM {source}")
    return connection


def in_flink(text: str) -> str:
    return translate(text, VARIABLES).sql.sql(dialect=Flink)


def judged(events: Iterable[dict[str, object]], text: str) -> list[bool]:
    compiled = compile_filter(text)
    return [compiled.matches(Subject(event, "topic", 0, 0, 0, None)) for event in events]


def held_against_each_other(table: duckdb.DuckDBPyConnection, text: str) -> None:
    query = f"SELECT ({translate(text, VARIABLES).sql.sql(dialect=DuckDB)}) IS TRUE FROM events ORDER BY number"
    found = [true for (true,) in table.execute(query).fetchall()]
    expected = judged(EVENTS, text)
    assert found == expected, (
        text,
        [event for event, one, other in zip(EVENTS, found, expected, strict=True) if one != other][:1],
    )


@given(st.randoms(use_true_random=False))
@settings(max_examples=examples(50))
def test_what_is_true_of_an_event_in_cel_is_true_in_sql(table: duckdb.DuckDBPyConnection, random: Random) -> None:
    held_against_each_other(table, random_truth(random))


@pytest.mark.parametrize(
    "text",
    [
        # An error beside what decides alone.
        "event.bot || true",
        "!(event.bot && false)",
        "!event.bot",
        "has(event.length.new)",
        "!has(event.length.new)",
        "event.bot ? event.minor : !event.minor",
        # At the ends of 64 bits.
        "event.vast + 1 > event.vast",
        "event.vast - 1 < event.vast",
        "event.vast - event.vast == 0",
        "-(event.page_id) <= 0",
        "event.page_id / event.length.new == event.page_id / event.length.new",
        "event.page_id % -2 == 1",
        "event.length.old % 7 < 0",
        # Characters are not bytes, nor pairs of UTF-16.
        "size(event.title) == 2",
        'event.title.startsWith("")',
        'event.title.endsWith("😀b")',
        '("é" + event.title).startsWith("é")',
        '(event.title + "😀").endsWith("😀")',
        'event.title.contains("")',
        'event.title < "é"',
        '"😀b" in event.tags',
        "event.score < event.page_id",
        'string(event.bot) == "true"',
    ],
)
def test_what_is_hard_is_the_same_too(table: duckdb.DuckDBPyConnection, text: str) -> None:
    held_against_each_other(table, text)


NULLABLE = {"type": "object", "properties": {"a": {"type": ["integer", "null"]}, "b": {"type": ["string", "null"]}}}


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ('event.title.matches("a.*")', 13, "matches"),
        ('event.tags.exists(tag, tag == "a")', 1, "exists"),
        ("event.absent == 1", 1, "no schema has absent"),
        ("event.length.absent == 1", 1, "no schema has length.absent"),
        ("event.length == null", 1, "an object"),
        ("event.title == null", 16, "null from missing"),
        ("event.title == 1", 13, "does not compare"),
        ("event.bot && event.title", 14, "neither true nor false"),
        ("event.score + 1.0 > 2.0", 13, "double"),
        ("event.vast * 2 > 1", 12, "64 bits"),
        ("event.vast < event.score", 12, "53 bits"),
        ("event.page_id / 0 == 1", 15, "by zero"),
        ("event.title in [event.user]", 16, "constants"),
        ("event.title in []", 16, "constants"),
        ("event.bot ? 1 : 'a'", 11, "one type"),
        ("timestamp(event.title) > timestamp(event.user)", 1, "timestamp"),
        ('b"a" == b"b"', 1, "constant"),
        ("1u == 1u", 1, "uint"),
        *((f'event.title == "a;{sign}b"', 16, "constant") for sign in (r"\000", r"\n", r"\r", r"\u2028")),
        (r'event.title.contains("\n--")', 22, "constant"),
        (r'event.title in ["a", "\n"]', 22, "constant"),
        (r'event["a\nb"] == "a"', 1, "a line break"),
        ("{'a': 1} == {'a': 1}", 1, "map"),
        ("timestamp > 1", 1, "it sees event"),
        ("event.bot ==\n  'a'", 11, "does not compare"),
    ],
)
def test_what_differs_is_refused_with_its_place(text: str, column: int, reason: str) -> None:
    with pytest.raises(InvalidExpression) as caught:
        translate(text, VARIABLES)
    assert reason in str(caught.value)
    assert caught.value.column == column


@pytest.mark.parametrize("text", ["event.a == 1", "event.b != 'a'", "event.a in [1]", "has(event.a)", "'a' == event.b"])
def test_null_is_refused_where_it_is_not_as_if_it_were_missing(text: str) -> None:
    with pytest.raises(InvalidExpression, match="null from missing"):
        translate(text, {"event": Variable(type_of(NULLABLE))})


def test_null_is_an_error_in_arithmetic_as_missing_is() -> None:
    for text in ("event.a + 1 > 2", "event.a < 1", "event.b.startsWith('a')"):
        translate(text, {"event": Variable(type_of(NULLABLE))})
        assert not any(judged([{"a": None, "b": None}, {}], text))


def test_a_name_in_a_path_of_json_is_that_name() -> None:
    fields = {name: Type("string") for name in ("a\\b", "a'b")}
    state = {"page": Variable(Type("object", fields=fields), json="$state")}

    def member(name: str) -> str:
        return translate(f"page[{json.dumps(name)}]", state).sql.sql(dialect=Flink)

    assert member("a\\b") == r"JSON_VALUE(`$state`, '$[''a\\b'']')"
    assert member("a'b") == r"JSON_VALUE(`$state`, '$[''a\''b'']')"


def test_flink_has_words_of_its_own() -> None:
    assert in_flink("size(event.title) > 1") == "(CAST(CHAR_LENGTH(`title`) AS BIGINT) > 1)"
    assert in_flink('event.title.contains("a")') == "(LOCATE('a', `title`) > 0)"
    assert in_flink("event.page_id / 2 == 1") == "((`page_id` / CAST(2 AS BIGINT)) = 1)"
    assert in_flink("event.length.new > -1.5") == "(`length`.`new` > -1.5e0)"


def test_what_is_of_one_type_in_one_schema_and_of_another_in_the_next() -> None:
    text, whole, number = Type("string"), Type("int", 0, 5), Type("number")
    assert common_type([whole, Type("int", -3, 2)]) == Type("int", -3, 5)
    assert common_type([whole, number]).kind == "number"
    assert common_type([whole, text]).kind == "none"
    joined = common_type([Type("object", fields={"a": whole}), Type("object", fields={"b": text})])
    assert set(joined.fields) == {"a", "b"}
