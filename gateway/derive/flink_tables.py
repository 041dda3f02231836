"""The tables of a script for Flink: what a derived stream reads, and what it writes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlglot import exp

from gateway.catalog.derivation import Derivation, topic_of
from gateway.catalog.stream import Stream
from gateway.derive.sql import UNWRITABLE
from gateway.derive.sql_types import Type, type_of
from gateway.errors import GatewayError
from gateway.intake.validate import LARGEST_SECONDS
from gateway.schemas.flink import Flink
from gateway.schemas.tables import NoTable, event_columns

TOPIC, PARTITION, OFFSET, KEY = "$topic", "$partition", "$offset", "$key"
ARRIVAL, TIME, NEWEST = "$arrival", "$time", "$newest"
EPOCH = "TIMESTAMP '0001-01-02 00:00:00'"
"""Before it is only the time of what has none."""
_NO_TIME = "TIMESTAMP '0001-01-01 00:00:00'"
TRANSACTION_MINUTES = 15
"""How long a transaction may be open: what the brokers allow where nobody set them otherwise."""


_PLACES = (
    f"`{TOPIC}` STRING METADATA FROM 'topic' VIRTUAL",
    f"`{PARTITION}` BIGINT METADATA FROM 'partition' VIRTUAL",
    f"`{OFFSET}` BIGINT METADATA FROM 'offset' VIRTUAL",
    f"`{ARRIVAL}` AS PROCTIME()",
)
_KEYED = {"key.format": "raw", "key.fields": KEY, "value.fields-include": "EXCEPT_KEY"}


class Unsayable(GatewayError):
    """What a declaration says and SQL cannot say the same, with the line of the configuration; 0 for none."""

    def __init__(self, reason: str, line: int = 0) -> None:
        super().__init__(reason)
        self.line = line


@dataclass(frozen=True, slots=True)
class Source:
    """A stream that is read, and the dereferenced schema of its events."""

    stream: Stream
    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Broker:
    """Where Kafka is. `options` are those of its clients, such as `security.protocol`."""

    servers: str
    options: Mapping[str, str] = field(default_factory=dict)


def fails(line: int, reason: str) -> Unsayable:
    """A mistake with its place."""
    return Unsayable(reason, line)


def quoted(name: str) -> str:
    """A name as SQL has it."""
    return "`" + name.replace("`", "``") + "`"


def text(value: str) -> str:
    """A text as SQL has it."""
    return "'" + value.replace("'", "''") + "'"


def interval(milliseconds: int) -> str:
    """A duration as SQL has it."""
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"INTERVAL '{days} {hours:02}:{minutes:02}:{seconds:02}.{rest:03}' DAY(3) TO SECOND(3)"


def view(name: str, query: str) -> str:
    """The statement that names a query."""
    return f"CREATE TEMPORARY VIEW {quoted(name)} AS\n{query}"


def with_newest(table: str) -> str:
    """The rows of a table of records, each with the newest time of its partition by then."""
    rows = "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
    over = f"PARTITION BY {quoted(TOPIC)}, {quoted(PARTITION)} ORDER BY {quoted(ARRIVAL)} {rows}"
    return f"SELECT *, MAX({quoted(TIME)}) OVER ({over}) AS {quoted(NEWEST)}\nFROM {quoted(table)}"


def clock(time: str) -> str:
    """A time as events have it."""
    return f"DATE_FORMAT({time}, 'yyyy-MM-dd''T''HH:mm:ss.SSS''Z''')"


def readers(sources: Sequence[Source]) -> int:
    """How many read each source: one that has no partition tells no time, and everything would wait for it."""
    return min(source.stream.partitions for source in sources)


def source_table(
    sources: Sequence[Source], broker: Broker, name: str, derivation: Derivation, parallel: int, begin: int | None
) -> str:
    """The table of all that is read, from `begin` (ms) on. Raises Unsayable."""
    columns = [f"{quoted(column)} {kind}" for column, kind in column_types(sources, derivation).items()]
    columns += [
        f"{quoted(KEY)} BYTES",
        *_PLACES,
        f"{quoted(TIME)} AS COALESCE({_time(sources, derivation)}, {_NO_TIME})",
        # An event at the very end of what may come belongs to a window that must not be closed yet.
        f"WATERMARK FOR {quoted(TIME)} AS {quoted(TIME)} - {interval(derivation.late + 1)}",
    ]
    options = {
        **_source_options(sources, broker, name, derivation, parallel),
        **({} if begin is None else {"scan.startup.mode": "timestamp", "scan.startup.timestamp-millis": str(begin)}),
        **_KEYED,
        "value.format": "json",
        "value.json.ignore-parse-errors": "true",
    }
    return _table("source", columns, options)


def sink_table(
    name: str,
    derivation: Derivation,
    columns: Sequence[tuple[str, Type]],
    key: str | None,
    broker: Broker,
    uri: bool = True,
) -> str:
    """The table of what is written. `key`: `own` is made of the row, `source` is that of what it was made of."""
    head = [f"{quoted('$schema')} STRING"] if uri else []
    head.append("`meta` ROW<`id` STRING, `dt` STRING, `stream` STRING>")
    if key is not None:
        head.append(f"{quoted(KEY)} {'BYTES' if key == 'source' else 'STRING'}")
    head.append("`$timestamp` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'")
    members = [f"{quoted(member)} {kind.sql.sql(dialect=Flink)}" for member, kind in columns]
    options = {
        **_sink_options(name, derivation, broker),
        **(_KEYED if key is not None else {}),
        "value.format": "json",
        "value.json.encode.ignore-null-fields": "true",
    }
    return _table("sink", [*head, *members], options)


def compacted_table(name: str, derivation: Derivation, broker: Broker) -> str:
    """The table of what is written to a compacted topic: a value, or none where its key is deleted."""
    columns = ["`$value` STRING", f"{quoted(KEY)} STRING", "`$timestamp` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'"]
    options = {
        **_sink_options(name, derivation, broker),
        **_KEYED,
        "value.format": "raw",
        # The order of time is that of one writer.
        "sink.parallelism": "1",
    }
    return _table("sink", columns, options)


def state_table(table: str, source: Source, broker: Broker, name: str, derivation: Derivation, parallel: int) -> str:
    """The table of a stream that is looked into: each change, a deletion being one without a value. Its time is that of
    its record, which the gateway gives it, and which deletions have too."""
    columns = [
        "`$value` STRING",
        f"{quoted(KEY)} STRING",
        *_PLACES,
        "`$timestamp` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL",
        f"{quoted(TIME)} AS CAST(`$timestamp` AS TIMESTAMP(3))",
        f"WATERMARK FOR {quoted(TIME)} AS {quoted(TIME)} - {interval(derivation.late + 1)}",
    ]
    options = {**_source_options([source], broker, name, derivation, parallel), **_KEYED, "value.format": "raw"}
    return _table(table, columns, options)


def _source_options(
    sources: Sequence[Source], broker: Broker, name: str, derivation: Derivation, parallel: int
) -> dict[str, str]:
    return {
        "connector": "kafka",
        "topic": ";".join(topic for source in sources for topic in source.stream.topics),
        **_connection(broker),
        "properties.group.id": f"derive.{topic_of(name, derivation.version)}",
        "properties.isolation.level": "read_committed",
        "scan.startup.mode": "earliest-offset",
        "scan.parallelism": str(parallel),
    }


def _sink_options(name: str, derivation: Derivation, broker: Broker) -> dict[str, str]:
    return {
        "connector": "kafka",
        "topic": topic_of(name, derivation.version),
        **_connection(broker),
        "sink.delivery-guarantee": "exactly-once",
        # Nobody else may have it: whoever begins with the same one ends the transactions of the other.
        "sink.transactional-id-prefix": f"gateway.{name}.v{derivation.version}",
        "properties.transaction.timeout.ms": str(TRANSACTION_MINUTES * 60_000),
    }


def _table(name: str, columns: Sequence[str], options: Mapping[str, str]) -> str:
    inside = ",\n  ".join(columns)
    given = ",\n  ".join(f"{text(key)} = {text(value)}" for key, value in options.items())
    return f"CREATE TABLE {quoted(name)} (\n  {inside}\n) WITH (\n  {given}\n)"


def _connection(broker: Broker) -> dict[str, str]:
    return {
        "properties.bootstrap.servers": broker.servers,
        **{f"properties.{key}": value for key, value in broker.options.items()},
    }


def column_types(sources: Sequence[Source], derivation: Derivation) -> dict[str, str]:
    """The columns of what is read, as SQL has them."""
    return {name: kind.sql(dialect=Flink) for name, kind in _columns(sources, derivation).items()}


def _columns(sources: Sequence[Source], derivation: Derivation) -> dict[str, exp.DataType]:
    """Those of all schemas; what is not the same in each is read as a text."""
    found: dict[str, exp.DataType] = {}
    for source in sources:
        try:
            columns = event_columns(source.document)
        except NoTable as error:
            raise fails(derivation.line, f"{source.stream.name}: {error}") from None
        for name, kind in columns.items():
            if name.startswith("$") and name != "$schema":
                raise fails(derivation.line, f"{source.stream.name} has a member {name}, and names with $ are taken")
            if not UNWRITABLE.isdisjoint(name + kind.sql(dialect=Flink)):
                reason = "has a member whose name has a line break, which has no counterpart in SQL"
                raise fails(derivation.line, f"{source.stream.name} {reason}")
            found[name] = kind if found.get(name, kind) == kind else _joined(found[name], kind)
    meta = found.get("meta")
    parts = list(meta.expressions) if meta is not None and meta.this == exp.DType.STRUCT else []
    if "domain" not in [part.name for part in parts]:
        # By it canaries are known, whatever the schema says.
        domain = exp.Identifier(this="domain", quoted=True)
        parts.append(exp.ColumnDef(this=domain, kind=exp.DataType(this=exp.DType.TEXT)))
    found["meta"] = exp.DataType(this=exp.DType.STRUCT, expressions=parts, nested=True)
    return found


def _joined(one: exp.DataType, other: exp.DataType) -> exp.DataType:
    """The type of a column that has two."""
    if one.this == other.this == exp.DType.STRUCT:
        members = {part.name: part for part in one.expressions}
        for part in other.expressions:
            there = members.get(part.name)
            kind = part.args["kind"] if there is None else _same(there.args["kind"], part.args["kind"])
            members[part.name] = exp.ColumnDef(this=part.this.copy(), kind=kind.copy())
        return exp.DataType(this=exp.DType.STRUCT, expressions=list(members.values()), nested=True)
    if {one.this, other.this} == {exp.DType.BIGINT, exp.DType.DOUBLE}:
        return exp.DataType(this=exp.DType.DOUBLE)
    return exp.DataType(this=exp.DType.TEXT)


def _same(one: exp.DataType, other: exp.DataType) -> exp.DataType:
    return one if one == other else _joined(one, other)


def _time(sources: Sequence[Source], derivation: Derivation) -> str:
    """The time of an event: that of its stream's `timestamp_field`, else `meta.dt`."""
    times = {
        topic: _time_of(source, derivation) for source in sources for topic in source.stream.topics
    }  # fmt: skip
    if len(set(times.values())) == 1:
        return next(iter(times.values()))
    return f"CASE {quoted(TOPIC)} {' '.join(f'WHEN {text(topic)} THEN {time}' for topic, time in times.items())} END"


def _time_of(source: Source, derivation: Derivation) -> str:
    path = source.stream.timestamp_field or "meta.dt"
    known = type_of(source.document)
    for name in path.split("."):
        known = known.fields.get(name, Type("none", reason="is in no schema"))
    column = ".".join(map(quoted, path.split(".")))
    if known.kind == "string":
        return _read_time(column)
    if known.kind == "int":
        seconds = f"ABS({column}) < {LARGEST_SECONDS}"
        milliseconds = f"CASE WHEN {seconds} THEN {column} * 1000 ELSE {column} END"
        return f"CAST(TO_TIMESTAMP_LTZ({milliseconds}, 3) AS TIMESTAMP(3))"
    reason = known.reason or "is neither a text nor a whole number by its schema"
    raise fails(derivation.line, f"the time of {source.stream.name}, {path}, {reason}")


def _read_time(column: str) -> str:
    """A text of RFC 3339, in UTC, without what is less than a millisecond."""
    day, clock_time = f"LEFT({column}, 10)", f"SUBSTRING({column}, 12, 8)"
    fraction = f"RPAD(COALESCE(REGEXP_EXTRACT({column}, '^.{{19}}[.,]([0-9]{{1,3}})', 1), ''), 3, '0')"
    local = f"TO_TIMESTAMP({day} || ' ' || {clock_time} || '.' || {fraction})"
    ahead = f"CAST(SUBSTRING({column}, CHAR_LENGTH({column}) - 4, 2) AS INT) * 60 + CAST(RIGHT({column}, 2) AS INT)"
    sign = f"CASE WHEN SUBSTRING({column}, CHAR_LENGTH({column}) - 5, 1) = '-' THEN 1 ELSE -1 END"
    shape = "[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}([.,][0-9]+)?"
    return (
        f"CASE WHEN REGEXP({column}, '^{shape}[Zz]?$') THEN {local}"
        f" WHEN REGEXP({column}, '^{shape}[+-][0-9]{{2}}:[0-9]{{2}}$')"
        f" THEN TIMESTAMPADD(MINUTE, ({sign}) * ({ahead}), {local}) END"
    )
