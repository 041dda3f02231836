"""The common parts of Flink scripts of all operators: their sources, the events that count, and the form of a row.
Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gateway.catalog.derivation import Derivation, Expression, Members, topic_of
from gateway.catalog.derive_part import OWN_MEMBERS
from gateway.catalog.stream import Stream
from gateway.derive.aggregate import Figure, figures
from gateway.derive.flink_parts import UUID, Column, Placed, aggregate, digested, finite, plain, rename, written
from gateway.derive.flink_tables import (
    EPOCH,
    KEY,
    NEWEST,
    OFFSET,
    PARTITION,
    TIME,
    TOPIC,
    Broker,
    Source,
    Unsayable,
    clock,
    column_types,
    fails,
    interval,
    quoted,
    readers,
    sink_table,
    source_table,
    text,
    view,
    with_newest,
)
from gateway.derive.sql import DEPTH, translate_tree
from gateway.derive.sql_types import STRING, Translated, Type, Variable, common_type, type_of
from gateway.filters.syntax import parse

OF_WINDOWS = ("window_start", "window_end", "window_time")
"""Columns that Flink adds to what it puts into windows."""
_CANARY = "(`meta`.`domain` = 'canary') IS NOT TRUE"


class Frame:
    """Parts of the script of one derived stream. `inputs` are the streams that it reads and looks into; `schema` and
    `uri` are those of its rows, where there are any. Events before `begin` (ms) are not read. Raises Unsayable."""

    def __init__(
        self,
        stream: Stream,
        inputs: Sequence[Source],
        broker: Broker,
        schema: Mapping[str, object] | None,
        uri: str | None,
        begin: int | None = None,
    ) -> None:
        if stream.derive is None:
            raise Unsayable(f"{stream.name} is not derived: it has no derive")
        self._stream = stream
        self._derivation: Derivation = stream.derive
        by_name = {source.stream.name: source for source in inputs}
        sources = self._sources = [by_name[name] for name in self._derivation.sources]
        self._states = by_name
        self._inputs = [by_name[name] for name in self._derivation.inputs]
        self._broker = broker
        self._schema = schema or {}
        self._uri = uri
        self._begin = begin
        event = common_type([type_of(source.document) for source in sources])
        self._variables: dict[str, Variable] = {
            "event": Variable(event),
            "topic": Variable(STRING, column=TOPIC),
            "partition": Variable(Type("int", 0, 2**31), column=PARTITION),
            "offset": Variable(Type("int", 0), column=OFFSET),
        }

    def _head(self) -> str:
        version = self._derivation.version
        settings = {
            "pipeline.name": topic_of(self._stream.name, self._derivation.version),
            "table.local-time-zone": "UTC",
            "table.exec.source.idle-timeout": "0 ms",
            # That of the sources: what goes to more of them between here and there does not keep a partition's order.
            "table.exec.resource.default-parallelism": str(readers(self._inputs)),
            "execution.checkpointing.interval": "1 s",
            "execution.checkpointing.mode": "EXACTLY_ONCE",
        }
        if self._derivation.window is not None and self._derivation.window.kind == "last":
            settings["state.backend.type"] = "hashmap"
        lines = [f"SET '{key}' = '{value}';" for key, value in settings.items()]
        return (
            f"-- {self._stream.name}, version {version}: made of {', '.join(self._derivation.sources)}.\n"
            + "\n".join(lines)
        )

    def _tables(self, sink: Iterable[Column], key: str | None) -> list[str]:
        source = self._source()
        columns = [(column.name, column.value.type) for column in sink]
        uri = self._uri is not None
        return [source, sink_table(self._stream.name, self._derivation, columns, key, self._broker, uri)]

    def _source(self) -> str:
        parallel = readers(self._inputs)
        return source_table(self._sources, self._broker, self._stream.name, self._derivation, parallel, self._begin)

    def _timed(self) -> str:
        comment = "-- An event is late by the newest time of its own partition, whatever the others do."
        return view("timed", f"{comment}\n{with_newest('source')}")

    def _conditions(self) -> list[str]:
        conditions = [f"{quoted(TIME)} > {EPOCH}", _CANARY]
        if self._derivation.where is not None:
            conditions.append(self._truth(self._derivation.where, "where"))
        return conditions

    def _on_time(self, what: str = TIME) -> str:
        return f"{quoted(what)} > {quoted(NEWEST)} - {interval(self._derivation.late)}"

    def _strictly(self) -> str:
        """The condition for an event that is on time by its own time."""
        if self._derivation.late == 0:
            raise fails(self._derivation.line, "late: 0s has no counterpart in SQL here; it takes 1ms or more")
        return self._on_time()

    def _picked(self, keys: list[Column], more: Iterable[str] = ()) -> str:
        """The view of the events that count, with their keys beside them."""
        columns = ", ".join([*self._kept(), *(column.sql for column in keys)])
        conditions = [*self._conditions(), *(f"{written(column.value)} IS NOT NULL" for column in keys), *more]
        return view("picked", f"SELECT {columns}\nFROM `timed`\nWHERE {' AND '.join(conditions)}")

    def _kept(self) -> list[str]:
        """The columns of an event that counts. Rows of a window have the names that Flink's windows have."""
        names = column_types(self._sources, self._derivation)
        if self._derivation.window is None or names.keys().isdisjoint(OF_WINDOWS):
            return ["*"]
        places = map(quoted, (KEY, TOPIC, PARTITION, OFFSET, TIME, NEWEST))
        return [*(f"{quoted(name)} AS {quoted(_apart(name))}" for name in names), *places]

    def _record_rows(self, columns: list[Column], source: str, conditions: list[str]) -> str:
        """A row for each event, with the key that its record has."""
        conditions = [*conditions, *self._valid(columns, {column.name: written(column.value) for column in columns})]
        head = [*self._event_head(quoted(TIME)), quoted(KEY), f"CAST({quoted(TIME)} AS TIMESTAMP_LTZ(3))"]
        return self._insert(
            head, [column.sql for column in columns], digested(self._record_digest(), source, conditions)
        )

    def _not_before(self) -> str:
        return f"{quoted(TIME)} >= {quoted(NEWEST)} - {interval(self._derivation.late)}"

    def _event_head(self, time: str) -> list[str]:
        schema = [] if self._uri is None else [text(self._uri)]
        return [*schema, f"ROW({UUID}, {clock(time)}, {text(self._stream.name)})"]

    def _insert(self, head: list[str], members: list[str], source: str) -> str:
        columns = ",\n  ".join([*head, *members])
        return f"INSERT INTO `sink`\nSELECT\n  {columns}\nFROM {source}"

    def _record_digest(self) -> str:
        """What the id of a row is made of that is made of one record."""
        place = f"CAST({quoted(PARTITION)} AS STRING) || '|' || CAST({quoted(OFFSET)} AS STRING)"
        return f"{text(self._prefix())} || {quoted(TOPIC)} || '|' || {place}"

    def _place(self) -> str:
        """What orders the records of one time, as a text."""
        topics = [topic for source in self._sources for topic in source.stream.topics]
        ranks = " ".join(f"WHEN {text(topic)} THEN '{rank:05}'" for rank, topic in enumerate(topics))
        return (
            f"(CASE {quoted(TOPIC)} {ranks} END || LPAD(CAST({quoted(PARTITION)} AS STRING), 10, '0')"
            f" || LPAD(CAST({quoted(OFFSET)} AS STRING), 19, '0'))"
        )

    def _prefix(self) -> str:
        return f"{self._stream.name}|{self._derivation.version}|"

    def _members(self, members: Members, part: str) -> list[Column]:
        columns = []
        for name, expression in members:
            columns.append(Column(name, finite(self._translated(expression, f"{name} of {part}", shown=True))))
        return columns

    def _keys(self, members: Members, part: str) -> list[Column]:
        return [Column(f"$by_{name}", self._key(each, f"{name} of {part}")) for name, each in members]

    def _key(self, expression: Expression, what: str) -> Translated:
        value = self._translated(expression, what)
        if value.type.kind not in {"string", "int", "bool"}:
            raise fails(expression.line, f"{what}: a key is a text, a whole number or a boolean")
        return value

    def _figures(self) -> list[tuple[Figure, Translated]]:
        made = []
        for figure in figures(self._derivation.select):
            argument = None
            if figure.argument is not None:
                with self._placed(figure.expression, f"{figure.name} of select"):
                    argument = translate_tree(figure.expression.text, figure.argument, self._variables)
                rename(argument, _apart)
            made.append((figure, aggregate(figure, argument)))
        return made

    def _having(self, columns: list[Column], keys: list[Column]) -> str:
        assert self._derivation.having is not None
        # The times of a window are texts in a row, and none in the tables.
        fields = {one.name: one.value.type for one in columns if one.name not in OWN_MEMBERS}
        with self._placed(self._derivation.having, "having"):
            root = parse(self._derivation.having.text, DEPTH)
            value = translate_tree(self._derivation.having.text, root, {"row": Variable(Type("object", fields=fields))})
        own = {plain(key.name): key.name for key in keys}
        rename(value, lambda name: own.get(name, name))
        return written(value)

    def _truth(self, expression: Expression, what: str) -> str:
        value = self._translated(expression, what)
        if value.type.kind != "bool":
            raise fails(expression.line, f"{what}: it has to be true or false")
        return written(value)

    def _translated(self, expression: Expression, what: str, shown: bool = False) -> Translated:
        with self._placed(expression, what):
            return translate_tree(expression.text, parse(expression.text, DEPTH), self._variables, shown)

    def _placed(self, expression: Expression, what: str) -> Placed:
        return Placed(expression, what)

    def _valid(self, columns: list[Column], values: Mapping[str, str]) -> list[str]:
        """A row that its schema does not allow is none."""
        required = self._schema.get("required")
        names = required if isinstance(required, list) else []
        return [f"{values[column.name]} IS NOT NULL" for column in columns if column.name in names]


def _apart(name: str) -> str:
    """The column of a member of the event, beside those of a window."""
    return f"${name}" if name in OF_WINDOWS else name
