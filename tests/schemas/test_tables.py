"""`gateway schemas sql`: tables for events."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlglot
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.commands.cli import main
from gateway.schemas.flink import Flink
from gateway.schemas.repository import SchemaRepository
from gateway.schemas.shape import span_of
from gateway.schemas.tables import DIALECTS, MOST_COLUMNS, SYSTEM_COLUMNS, NoTable, create_table, table_name
from gateway.schemas.validator import compile_validator
from tests.conftest import absent
from tests.effort import examples
from tests.schemas.kit import SCHEMAS
from tests.services.registry import small_registry

PROJECT = SchemaRepository([Path(__file__).parents[2] / "config" / "schemas"])
SCHEMA: dict[str, Any] = {
    "type": "object",
    "allOf": [{"properties": {"$schema": {"type": "string"}}, "required": ["$schema"]}],
    "properties": {
        "id": {"type": "integer"},
        "large": {"type": "integer", "maximum": 2**64},
        "share": {"type": "number"},
        "bot": {"type": "boolean"},
        "key": {"type": "string", "format": "uuid"},
        "dt": {"type": "string", "format": "date-time"},
        "day": {"type": "string", "format": "date"},
        "kind": {"enum": ["edit", "new"]},
        "old": {"type": ["integer", "null"]},
        "mixed": {"type": ["string", "integer"]},
        "any": {},
        "user": {"type": "object", "properties": {"na`me": {"type": "string"}, 'a"b': {"type": "integer"}}},
        "tags": {"type": "array", "items": {"type": "string"}},
        "links": {"type": "array", "items": {"type": "object", "properties": {"to": {"type": "string"}}}},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "free": {"type": "object"},
        "pair": {"type": "array", "prefixItems": [{}, {}]},
    },
    "required": ["id", "old", "any"],
    "then": {"properties": {"id": {"type": "string"}, "log": {"type": "integer"}}, "required": ["log"]},
    "oneOf": [
        {"anyOf": [{"properties": {"branch": {"type": "boolean"}, "log": {"type": "integer"}}}]},
        {"properties": {"two": {"type": "string"}}},
        {"properties": {"two": {"type": "integer"}}},
    ],
}
EXPECTED = {
    "postgres": """\
"id" BIGINT NOT NULL, "large" DECIMAL(38, 0), "share" DOUBLE PRECISION, "bot" BOOLEAN, "key" UUID, "dt" TIMESTAMPTZ,
"day" DATE, "kind" TEXT, "old" BIGINT, "mixed" JSONB, "any" JSONB, "user" JSONB, "tags" TEXT[], "links" JSONB,
"labels" JSONB, "free" JSONB, "pair" JSONB, "$schema" TEXT NOT NULL, "branch" BOOLEAN, "log" BIGINT, "two" JSONB""",
    "duckdb": """\
"id" BIGINT NOT NULL, "large" DECIMAL(38, 0), "share" DOUBLE, "bot" BOOLEAN, "key" UUID, "dt" TIMESTAMPTZ,
"day" DATE, "kind" TEXT, "old" BIGINT, "mixed" JSON, "any" JSON, "user" STRUCT("na`me" TEXT, "a""b" BIGINT),
"tags" TEXT[], "links" STRUCT("to" TEXT)[], "labels" MAP(TEXT, TEXT), "free" JSON, "pair" JSON,
"$schema" TEXT NOT NULL, "branch" BOOLEAN, "log" BIGINT, "two" JSON""",
    "spark": """\
`id` BIGINT NOT NULL, `large` DECIMAL(38, 0), `share` DOUBLE, `bot` BOOLEAN, `key` STRING, `dt` TIMESTAMP,
`day` DATE, `kind` STRING, `old` BIGINT, `mixed` STRING, `any` STRING, `user` STRUCT<`na``me`: STRING, `a"b`: BIGINT>,
`tags` ARRAY<STRING>, `links` ARRAY<STRUCT<`to`: STRING>>, `labels` MAP<STRING, STRING>, `free` STRING, `pair` STRING,
`$schema` STRING NOT NULL, `branch` BOOLEAN, `log` BIGINT, `two` STRING""",
    "flink": """\
`id` BIGINT NOT NULL, `large` DECIMAL(38, 0), `share` DOUBLE, `bot` BOOLEAN, `key` STRING, `dt` TIMESTAMP_LTZ(3),
`day` DATE, `kind` STRING, `old` BIGINT, `mixed` STRING, `any` STRING, `user` ROW<`na``me` STRING, `a"b` BIGINT>,
`tags` ARRAY<STRING>, `links` ARRAY<ROW<`to` STRING>>, `labels` MAP<STRING, STRING>, `free` STRING, `pair` STRING,
`$schema` STRING NOT NULL, `branch` BOOLEAN, `log` BIGINT, `two` STRING""",
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_columns_of_each_dialect(dialect: str) -> None:
    columns = create_table(SCHEMA, dialect, "t").partition("(\n")[2].removesuffix("\n);")
    assert " ".join(columns.split()) == " ".join(EXPECTED[dialect].split())


@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_dialect_reads_it_again(dialect: str) -> None:
    read: Any = Flink if dialect == "flink" else dialect
    for table in ("t", 'or"der `x`'):
        statement = create_table(SCHEMA, dialect, table)
        (parsed,) = sqlglot.parse(statement, read=read)
        assert isinstance(parsed, sqlglot.exp.Create)
        assert parsed.find(sqlglot.exp.Table).name == table  # type: ignore[union-attr]
        assert len(parsed.this.expressions) == 21


@pytest.mark.parametrize("title", PROJECT.titles())
def test_duckdb_takes_the_events(title: str, tmp_path: Path) -> None:
    schema = PROJECT.get(title)
    assert schema is not None
    file = tmp_path / "events.ndjson"
    file.write_text("".join(json.dumps(example) + "\n" for example in schema.examples), encoding="utf-8")
    with duckdb.connect() as connection:
        connection.execute(create_table(schema.document, "duckdb", "t"))
        kinds = {row[0]: row[1] for row in connection.execute("DESCRIBE t").fetchall()}
        # A value that does not fit its column is an error.
        read = "read_json($1, format = 'newline_delimited', columns = $2)"
        connection.execute(f"INSERT INTO t SELECT * FROM {read}", [str(file), kinds])
        stored = connection.execute('SELECT "$schema", meta.id FROM t').fetchall()
    assert [(uri, str(identity)) for uri, identity in stored] == [
        (one["$schema"], one["meta"]["id"]) for one in schema.examples
    ]


@pytest.mark.long
@given(st.dictionaries(st.text(min_size=1, max_size=5).filter(str.isprintable), SCHEMAS, min_size=1, max_size=4))
@settings(max_examples=examples(100), deadline=None)
def test_duckdb_takes_every_table(fields: dict[str, Any]) -> None:
    document = {"type": "object", "properties": fields}
    if len({name.casefold() for name in fields}) < len(fields):
        with pytest.raises(NoTable, match="same name"):
            create_table(document, "duckdb", "t")
        return
    with duckdb.connect() as connection:
        connection.execute(create_table(document, "duckdb", "t"))
        assert [row[0] for row in connection.execute("DESCRIBE t").fetchall()] == list(fields)


@pytest.mark.parametrize(
    ("dialect", "document", "told"),
    [
        ("spark", {"type": "object"}, "names no fields"),
        ("spark", {"properties": {"": {}}}, "cannot be a name"),
        ("duckdb", {"properties": {"u": {"type": "object", "properties": {"a": {}, "A": {}}}}}, "a and A (in /u)"),
        ("postgres", {"properties": {"é" * 32: {}}}, "longer than 63 bytes"),
        (
            "postgres",
            {"properties": {"a": {}, "ctid": {}, "xmin": {}}},
            "'ctid' and 'xmin' cannot be a column: each table",
        ),
        ("postgres", {"anyOf": [{"properties": {"tableoid": {}}}]}, "'tableoid' cannot be a column"),
        ("postgres", {"properties": {f"c{number}": {} for number in range(1601)}}, "1601 fields, and a table has 1600"),
    ],
)
def test_what_is_no_table(dialect: str, document: dict[str, Any], told: str) -> None:
    with pytest.raises(NoTable) as refused:
        create_table(document, dialect, "t")
    assert told in str(refused.value)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_system_column_is_one_in_postgresql_alone_and_in_no_structure(dialect: str) -> None:
    inner = {"properties": {"row": {"type": "object", "properties": {"xmin": {}}}, "XMIN": {}, "oid": {}}}
    assert create_table(inner, dialect, "t")
    if dialect != "postgres":
        assert create_table({"properties": {name: {} for name in SYSTEM_COLUMNS}}, dialect, "t")


BIGINT, DECIMAL = "BIGINT", "DECIMAL(38, 0)"


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "integer"}, BIGINT),
        ({"type": "integer", "maximum": 2**63 - 1}, BIGINT),
        ({"type": "integer", "minimum": -(2**63)}, BIGINT),
        ({"type": "integer", "maximum": 2**63}, DECIMAL),
        ({"type": "integer", "minimum": -(2**63) - 1}, DECIMAL),
        ({"type": "integer", "exclusiveMaximum": 2**63}, BIGINT),
        ({"type": "integer", "exclusiveMaximum": 2**63 + 1}, DECIMAL),
        ({"type": "integer", "exclusiveMinimum": -(2**63) - 1}, BIGINT),
        ({"type": "integer", "exclusiveMinimum": -(2**63) - 2}, DECIMAL),
        ({"type": "integer", "maximum": 2**63, "exclusiveMaximum": True}, BIGINT),
        ({"type": "integer", "minimum": -(2**63) - 1, "exclusiveMinimum": True}, BIGINT),
        ({"type": "integer", "maximum": 2.0**63}, DECIMAL),
        ({"type": "integer", "maximum": 9.5}, BIGINT),
        ({"enum": [1, 2**64]}, DECIMAL),
        ({"enum": [1, 2], "type": "integer", "maximum": 1e40}, BIGINT),
        ({"const": -(2**64)}, DECIMAL),
        ({"const": 1e20}, DECIMAL),
        ({"type": ["integer", "null"], "exclusiveMaximum": 2**64}, DECIMAL),
        ({"anyOf": [{"type": "integer", "maximum": 2**64}, {"type": "null"}]}, DECIMAL),
        ({"oneOf": [{"type": "integer"}, {"type": "integer", "enum": [2**64]}]}, DECIMAL),
        ({"type": "integer", "allOf": [{"maximum": 2**64}, {"maximum": 5}]}, BIGINT),
        ({"type": "integer", "maximum": 10**38 - 1}, DECIMAL),
        ({"type": "integer", "maximum": 10**38}, None),
        ({"type": "integer", "minimum": -(10**38)}, None),
        ({"type": "integer", "maximum": 1e40}, None),
        ({"type": "integer", "maximum": float("inf")}, None),
    ],
)
def test_whole_numbers_fit_their_column(schema: dict[str, Any], expected: str | None) -> None:
    vast = {"postgres": "DECIMAL", "duckdb": "JSON", "spark": "STRING", "flink": "STRING"}
    for dialect in DIALECTS:
        for part in (schema, {"type": "array", "items": schema}):
            statement = create_table({"properties": {"n": part}}, dialect, "t")
            kind = statement.partition(" ")[2].partition("\n  ")[2].removesuffix("\n);").partition(" ")[2]
            told = kind.removeprefix("ARRAY<").removesuffix(">").removesuffix("[]")
            if part is not schema and dialect == "postgres" and kind == "JSONB":
                continue
            assert told == (expected or vast[dialect]), (dialect, part)


BOUNDS = st.one_of(
    *(st.integers(-(2**exponent) - 2, 2**exponent + 2) for exponent in (3, 63, 70)),
    st.sampled_from([2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**38 - 1, 10**38, 10**40]),
)
KEYWORDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


def within(bounds: dict[str, int], values: list[int]) -> tuple[dict[str, Any], list[int]]:
    """A schema of these, and whole numbers near its bounds that it allows."""
    schema = {"type": "integer", **bounds, **({"enum": values} if values else {})}
    validator = compile_validator(schema, "2020-12")
    # Where a side has no bound, nothing says how far numbers go there.
    low, high = (bound is not None for bound in span_of(schema))
    near = [*values, *(number + step for number in bounds.values() for step in (-1, 0, 1))]
    near = [number for number in near if (low or number >= -(2**63)) and (high or number < 2**63)]
    return schema, [number for number in near if validator.is_valid(number)]


@pytest.mark.long
@given(st.dictionaries(st.sampled_from(KEYWORDS), BOUNDS, min_size=1), st.lists(BOUNDS, max_size=2))
@settings(max_examples=examples(100), deadline=None)
def test_duckdb_stores_every_whole_number_that_its_bounds_allow(bounds: dict[str, int], values: list[int]) -> None:
    schema, allowed = within(bounds, values)
    with duckdb.connect() as connection:
        connection.execute(create_table({"properties": {"n": schema}}, "duckdb", "t"))
        for number in allowed:
            connection.execute("INSERT INTO t VALUES ($1)", [str(number)])
        stored = connection.execute("SELECT CAST(n AS TEXT) FROM t").fetchall()
    assert [int(text) for (text,) in stored] == allowed


def told_by_postgres(statements: list[str]) -> list[Any]:
    """The rows of each, or the text of the error."""
    node = shutil.which("node") or absent("there is no node")
    room = Path(__file__).parent / "postgres"
    if not (room / "node_modules").is_dir():
        absent("PostgreSQL for Node is not installed")
    ran = subprocess.run(
        [node, "run.mjs"],
        cwd=room,
        input=json.dumps(statements),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    told: list[Any] = json.loads(ran.stdout)
    assert len(told) == len(statements)
    return told


@pytest.mark.long
def test_postgresql_takes_every_table_and_every_whole_number_that_its_bounds_allow() -> None:
    """It takes seconds to start, so all is asked at once."""
    documents = [SCHEMA, *(found.document for title in PROJECT.titles() if (found := PROJECT.get(title)) is not None)]
    documents += [{"properties": {f"c{number}": {} for number in range(MOST_COLUMNS)}}]
    documents += [{"properties": {name: {} for name in ("oid", "XMIN", "rowid", "user", "select", 'a"b', "$1")}}]
    numbers: list[tuple[dict[str, Any], list[int]]] = []

    @given(st.dictionaries(st.text(min_size=1, max_size=5), SCHEMAS, min_size=1, max_size=4))
    @settings(max_examples=examples(50), deadline=None, database=None)
    def collect_tables(fields: dict[str, Any]) -> None:
        taken = {name: part for name, part in fields.items() if "\0" not in name and name not in SYSTEM_COLUMNS}
        documents.append({"properties": taken or {"a": {}}})

    @given(st.dictionaries(st.sampled_from(KEYWORDS), BOUNDS, min_size=1), st.lists(BOUNDS, max_size=2))
    @settings(max_examples=examples(50), deadline=None, database=None)
    def collect_numbers(bounds: dict[str, int], values: list[int]) -> None:
        numbers.append(within(bounds, values))

    collect_tables()
    collect_numbers()
    statements = [create_table(document, "postgres", f"t{number}") for number, document in enumerate(documents)]
    for number, (schema, allowed) in enumerate(numbers):
        statements.append(create_table({"properties": {"n": schema}}, "postgres", f"n{number}"))
        statements += [f"INSERT INTO n{number} VALUES ('{value}') RETURNING n::text" for value in allowed]
    taken = [f'CREATE TABLE "{name}" ("{name}" TEXT)' for name in sorted(SYSTEM_COLUMNS)]
    told = dict(zip([*statements, *taken], told_by_postgres([*statements, *taken]), strict=True))
    assert all("conflicts with a system column" in told.pop(statement) for statement in taken)
    wrong = {statement: said for statement, said in told.items() if isinstance(said, str)}
    assert not wrong
    stored = [rows[0]["n"] for statement, rows in told.items() if statement.startswith("INSERT")]
    assert stored == [str(value) for _, allowed in numbers for value in dict.fromkeys(allowed)]


ANYTHING: dict[str, Any] = {}
INTEGER, TEXT = {"type": "integer"}, {"type": "string"}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"additionalProperties": INTEGER}, "MAP(TEXT, BIGINT)"),
        ({"patternProperties": {"^x": INTEGER}}, "JSON"),
        ({"patternProperties": {"^x": INTEGER}, "additionalProperties": True}, "JSON"),
        ({"patternProperties": {"^x": INTEGER}, "additionalProperties": ANYTHING}, "JSON"),
        ({"patternProperties": {"^x": INTEGER}, "additionalProperties": False}, "MAP(TEXT, BIGINT)"),
        ({"patternProperties": {"^x": INTEGER, "^y": INTEGER}, "additionalProperties": INTEGER}, "MAP(TEXT, BIGINT)"),
        ({"patternProperties": {"^x": INTEGER}, "additionalProperties": TEXT}, "JSON"),
        ({"patternProperties": {"^x": INTEGER, "^y": TEXT}, "additionalProperties": False}, "JSON"),
        ({"patternProperties": {"^x": INTEGER}, "unevaluatedProperties": False}, "MAP(TEXT, BIGINT)"),
        ({"unevaluatedProperties": INTEGER}, "MAP(TEXT, BIGINT)"),
        ({"patternProperties": {"^x": INTEGER}, "unevaluatedProperties": False, "anyOf": [ANYTHING]}, "JSON"),
        ({"additionalProperties": False}, "JSON"),
    ],
)
def test_an_object_of_any_names_is_a_map_where_all_its_values_fit(schema: dict[str, Any], expected: str) -> None:
    statement = create_table({"properties": {"o": {"type": "object", **schema}}}, "duckdb", "t")
    assert f'"o" {expected}\n' in statement


def test_names_that_differ_in_capitals() -> None:
    document = {"properties": {"a": {"type": "string"}, "A": {"type": "string"}}}
    assert '"A" TEXT' in create_table(document, "postgres", "t")
    assert table_name("wiki/page-create") == "wiki_page_create"


def test_as_it_is_typed() -> None:
    directory = str(Path(__file__).parents[2] / "config" / "schemas")

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, ["schemas", "sql", *arguments, "--schemas", directory])
        return result.exit_code, result.output

    status, output = run("wiki/change", "--dialect", "duckdb")
    assert status == 0
    assert output.startswith('CREATE TABLE "wiki_change" (\n  "id" BIGINT NOT NULL,')
    status, output = run("/wiki/change", "--dialect", "flink", "--version", "1.0.0", "--table", "changes")
    assert output.startswith("CREATE TABLE `changes` (")
    assert run("wiki/chagne", "--dialect", "spark") == (
        1,
        "gateway schemas sql: there is no schema 'wiki/chagne'; did you mean wiki/change?\n",
    )
    assert (
        "has no version '9.9.9'; there are 1.0.0 and latest"
        in run("wiki/change", "--dialect", "spark", "--version", "9.9.9")[1]
    )
    assert run("wiki/change", "--dialect", "oracle")[0] == 2


def test_the_table_of_a_registrys_schema_is_printed(tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    with small_registry() as registry:
        registry.add("orders-value", {"type": "record", "name": "O", "fields": [{"name": "n", "type": "long"}]})
        config.write_text(f"schema_registry: {{url: '{registry.url}'}}\nstreams: {{orders: {{format: avro}}}}\n")
        arguments = ["--dialect", "duckdb", "--config", str(config), "--schemas", str(tmp_path)]
        result = CliRunner().invoke(main, ["schemas", "sql", "registry/orders-value", *arguments])
        assert (result.exit_code, result.output) == (
            0,
            'CREATE TABLE "registry_orders_value" (\n  "n" BIGINT NOT NULL\n);\n',
        )
        result = CliRunner().invoke(main, ["schemas", "sql", "registry/order-value", *arguments])
        assert "did you mean registry/orders-value" in result.output
    config.write_text("streams: {orders: {}}\n")
    result = CliRunner().invoke(main, ["schemas", "sql", "registry/orders-value", *arguments])
    assert "names no schema_registry" in result.output
