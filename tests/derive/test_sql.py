"""CEL in SQL: held against an engine that runs in the process (DuckDB), where it says the same as Flink."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot.dialects.duckdb import DuckDB

from gateway.derive.sql import Variable, translate, type_of
from gateway.errors import InvalidExpression
from gateway.filters.compile import compile_filter
from gateway.filters.subject import Subject
from gateway.schemas.flink import Flink
from tests.derive.expressions import SCHEMA, random_event, random_truth

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


def judged(event: dict[str, object], text: str) -> bool:
    return compile_filter(text).matches(Subject(event, "topic", 0, 0, 0, None))


@given(st.randoms(use_true_random=False))
@settings(max_examples=200)
def test_what_is_true_of_an_event_in_cel_is_true_in_sql(table: duckdb.DuckDBPyConnection, random: Random) -> None:
    text = random_truth(random)
    try:
        translated = translate(text, VARIABLES)
    except InvalidExpression:
        return
    query = f"SELECT ({translated.sql.sql(dialect=DuckDB)}) IS TRUE FROM events ORDER BY number"
    found = [true for (true,) in table.execute(query).fetchall()]
    expected = [judged(event, text) for event in EVENTS]
    assert found == expected, (text, [event for event, one, other in zip(EVENTS, found, expected) if one != other][:1])
