"""`gateway derive flink`: a derived stream as a script of Flink SQL, with equal results. Pure.

The script depends on the sequence of each partition alone, as the engine does. An event is late by the newest time of
its own partition, before any window sees it. The watermark, which is the least of all partitions, closes only complete
windows.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from gateway.catalog.derivation import Derivation, Expression, Lookup, Members, Window, topic_of
from gateway.catalog.stream import Stream
from gateway.derive.aggregate import Figure, figures
from gateway.derive.expression import read
from gateway.derive.flink_tables import (
    ARRIVAL,
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
    compacted_table,
    fails,
    interval,
    quoted,
    readers,
    sink_table,
    source_table,
    state_table,
    text,
)  # fmt: skip
from gateway.derive.sql import (
    DEPTH,
    DOUBLE,
    INT,
    STRING,
    Translated,
    Type,
    Variable,
    common_type,
    translate_tree,
    type_of,
)
from gateway.errors import InvalidExpression
from gateway.filters.syntax import parse
from gateway.filters.values import INT_MAX, INT_MIN
from gateway.schemas.flink import Flink

_CANARY = "(`meta`.`domain` = 'canary') IS NOT TRUE"
_SMALL = 2**40
"""Whole numbers up to here are added up as they are: there would have to be eight million of them in one window."""


@dataclass(frozen=True, slots=True)
class _Column:
    """A member of a row: its name, and what it is made of."""

    name: str
    value: Translated

    @property
    def sql(self) -> str:
        """As it stands behind SELECT."""
        return f"{written(self.value)} AS {quoted(self.name)}"


def written(value: Translated) -> str:
    """The expression in Flink's SQL."""
    return value.sql.sql(dialect=Flink)


class Script:
    """The script of one derived stream. `inputs` are the streams that it reads and looks into; `schema` and `uri` are
    those of its rows, where there are any. Raises Unsayable."""

    def __init__(
        self,
        stream: Stream,
        inputs: Sequence[Source],
        broker: Broker,
        schema: Mapping[str, object] | None,
        uri: str | None,
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
        event = common_type([type_of(source.document) for source in sources])
        self._variables: dict[str, Variable] = {
            "event": Variable(event),
            "topic": Variable(STRING, column=TOPIC),
            "partition": Variable(Type("int", 0, 2**31), column=PARTITION),
            "offset": Variable(Type("int", 0), column=OFFSET),
        }

    def text(self) -> str:
        """The statements, each with a semicolon at the end of its line."""
        derivation = self._derivation
        if derivation.passes:
            raise fails(derivation.line, "without select an event passes as it is, and SQL knows only the members that its "
                        "schema names: give it a select")  # fmt: skip
        body = {
            "select": self._select, "window": self._window, "dedup": self._dedup, "latest": self._latest,
            "lookup": self._lookup,
        }[derivation.operator]()  # fmt: skip
        return "\n\n".join([self._head(), *(f"{statement};" for statement in body), ""])

    def _head(self) -> str:
        version = self._derivation.version
        settings = {
            "pipeline.name": topic_of(self._stream.name, self._derivation),
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

    # What all operators begin with.

    def _tables(self, sink: Iterable[_Column], key: str | None) -> list[str]:
        source = source_table(self._sources, self._broker, self._stream.name, self._derivation, readers(self._inputs))
        columns = [(column.name, column.value.type) for column in sink]
        uri = self._uri is not None
        return [source, sink_table(self._stream.name, self._derivation, columns, key, self._broker, uri)]

    def _timed(self) -> str:
        over = f"PARTITION BY {quoted(TOPIC)}, {quoted(PARTITION)} ORDER BY {quoted(ARRIVAL)}"
        rows = "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
        return (
            "CREATE TEMPORARY VIEW `timed` AS\n"
            "-- An event is late by the newest time of its own partition, whatever the others do.\n"
            f"SELECT *, MAX({quoted(TIME)}) OVER ({over} {rows}) AS {quoted(NEWEST)}\nFROM `source`"
        )

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

    def _picked(self, keys: list[_Column], more: Iterable[str] = ()) -> str:
        """The view of the events that count, with their keys beside them."""
        columns = "".join(f", {column.sql}" for column in keys)
        conditions = [*self._conditions(), *(f"{written(column.value)} IS NOT NULL" for column in keys), *more]
        return f"CREATE TEMPORARY VIEW `picked` AS\nSELECT *{columns}\nFROM `timed`\nWHERE {' AND '.join(conditions)}"

    # Operators.

    def _select(self) -> list[str]:
        columns = self._members(self._derivation.select, "select")
        query = self._record_rows(columns, "`source`", self._conditions())
        return [*self._tables(columns, "source"), query]

    def _record_rows(self, columns: list[_Column], source: str, conditions: list[str]) -> str:
        """A row for each event, with the key that its record has."""
        conditions = [*conditions, *self._valid(columns, {column.name: written(column.value) for column in columns})]
        head = [*self._event_head(quoted(TIME)), quoted(KEY), f"CAST({quoted(TIME)} AS TIMESTAMP_LTZ(3))"]
        return self._insert(
            head, [column.sql for column in columns], _digested(self._record_digest(), source, conditions)
        )

    def _window(self) -> list[str]:
        window = self._derivation.window
        assert window is not None
        keys = self._keys(self._derivation.by, "by")
        made = self._figures()
        shown = self._shown(keys, made)
        tables = self._tables(shown, "own" if keys else None)
        # Not a view of its own: of one, Flink 2.3 forgets the brackets around the keys of a session.
        views, rows = (
            self._last_rows(window, keys, made) if window.kind == "last" else self._grouped_rows(window, keys, made)
        )
        conditions = []
        if window.kind != "last" and self._derivation.having is not None:
            conditions.append(self._having(shown))
        return [
            *tables,
            self._timed(),
            self._picked(keys, self._strict(window)),
            *views,
            self._window_insert(shown, keys, rows, conditions),
        ]

    def _strict(self, window: Window) -> list[str]:
        return [] if window.kind == "every" else [self._strictly()]

    def _grouped_rows(
        self, window: Window, keys: list[_Column], made: list[tuple[Figure, Translated]]
    ) -> tuple[list[str], str]:
        names = [quoted(key.name) for key in keys]
        end, condition = "`window_end`", ""
        if window.kind == "gap":
            # Flink joins sessions that touch: an event that comes exactly the gap later begins a new one here.
            partition = f" PARTITION BY ({', '.join(names)})" if names else ""
            if window.size < 2:
                raise fails(self._derivation.line, "a gap of 1ms has no counterpart in SQL")
            over = f"SESSION(TABLE `picked`{partition}, DESCRIPTOR({quoted(TIME)}), {interval(window.size - 1)})"
            end = f"`window_end` + {interval(1)}"
        elif window.step == window.size:
            over = f"TUMBLE(TABLE `picked`, DESCRIPTOR({quoted(TIME)}), {interval(window.size)})"
        elif window.size % window.step:
            raise fails(self._derivation.line, "Flink's windows have a size that is a multiple of every")
        else:
            over = f"HOP(TABLE `picked`, DESCRIPTOR({quoted(TIME)}), {interval(window.step)}, {interval(window.size)})"
        if window.kind == "every":
            condition = f"\nWHERE {self._on_time('window_end')}"
        selected = [
            *names,
            "`window_start`",
            f"{end} AS `end`",
            *(f"{written(value)} AS {quoted(figure.name)}" for figure, value in made),
        ]
        group = ", ".join([*names, "`window_start`", "`window_end`"])
        return [], f"(\nSELECT {', '.join(selected)}\nFROM TABLE({over}){condition}\nGROUP BY {group}\n)"

    def _last_rows(
        self, window: Window, keys: list[_Column], made: list[tuple[Figure, Translated]]
    ) -> tuple[list[str], str]:
        names = [quoted(key.name) for key in keys]
        partition = f"PARTITION BY {', '.join(names)} " if names else ""
        over = f"{partition}ORDER BY {quoted(TIME)} RANGE BETWEEN {interval(window.size)} PRECEDING AND CURRENT ROW"
        selected = [*names, quoted(TIME), *(f"{_over(value)} AS {quoted(figure.name)}" for figure, value in made)]
        same = [f"MIN({quoted(figure.name)}) AS {quoted(figure.name)}" for figure, _ in made]
        group = ", ".join([*names, "`window_start`", "`window_end`", "`window_time`"])
        start = f"{quoted(TIME)} - {interval(window.size)} AS `window_start`"
        shown = ", ".join([*names, start, f"{quoted(TIME)} AS `end`", *(quoted(figure.name) for figure, _ in made)])
        views = [
            f"CREATE TEMPORARY VIEW `counted` AS\nSELECT {', '.join(selected)}\nFROM `picked`\nWINDOW `w` AS ({over})",
            "CREATE TEMPORARY VIEW `single` AS\n"
            "-- The events of one time have the same figures, and are one row.\n"
            f"SELECT {', '.join([*names, f'`window_time` AS {quoted(TIME)}', *same])}\n"
            f"FROM TABLE(TUMBLE(TABLE `counted`, DESCRIPTOR({quoted(TIME)}), {interval(1)}))\nGROUP BY {group}",
        ]
        if self._derivation.having is None:
            return views, f"(\nSELECT {shown}\nFROM `single`\n)"
        holds = self._having(self._shown(keys, made), {_plain(key.name): key.name for key in keys})
        lag = f"OVER ({partition}ORDER BY {quoted(TIME)})"
        views += [
            f"CREATE TEMPORARY VIEW `held` AS\nSELECT *, ({holds}) IS TRUE AS `$holds`\nFROM `single`",
            "CREATE TEMPORARY VIEW `told` AS\n"
            f"SELECT *, LAG(`$holds`) {lag} AS `$held`, LAG({quoted(TIME)}) {lag} AS `$before`\nFROM `held`",
        ]
        # What was true at the key's event before counts as long as that lies in the window.
        still = f"`$held` AND `$before` >= {quoted(TIME)} - {interval(window.size)}"
        return views, f"(\nSELECT {shown}\nFROM `told`\nWHERE `$holds` AND ({still}) IS NOT TRUE\n)"

    def _shown(self, keys: list[_Column], made: list[tuple[Figure, Translated]]) -> list[_Column]:
        """The members of a window's row."""
        time = Translated(exp.Null(), STRING)
        return [
            *(_Column(_plain(key.name), key.value) for key in keys),
            _Column("window_start", time),
            _Column("window_end", time),
            *(_Column(figure.name, value) for figure, value in made),
        ]

    def _window_insert(self, shown: list[_Column], keys: list[_Column], rows: str, conditions: list[str]) -> str:
        values = {column.name: quoted(column.name) for column in shown}
        values |= {_plain(key.name): quoted(key.name) for key in keys}
        values |= {"window_start": clock("`window_start`"), "window_end": clock("`end`")}
        of_key = "".join(f" || {_length(key)}" for key in keys)
        moments = f"{_milliseconds('`window_start`')} || '|' || {_milliseconds('`end`')}"
        head = self._event_head("`end`")
        if keys:
            head.append(_record_key(keys))
        head.append("CAST(`end` AS TIMESTAMP_LTZ(3))")
        valid = self._valid(shown, values)
        digest = f"{text(self._prefix())}{of_key} || '|' || {moments}"
        members = [f"{values[column.name]} AS {quoted(column.name)}" for column in shown]
        return self._insert(head, members, _digested(digest, rows, [*conditions, *valid]))

    def _dedup(self) -> list[str]:
        dedup = self._derivation.dedup
        assert dedup is not None
        keys = [_Column(f"$by_{number}", self._key(each, "by of dedup")) for number, each in enumerate(dedup.by)]
        columns = self._members(self._derivation.select, "select")
        partition = f"PARTITION BY {', '.join(quoted(key.name) for key in keys)} ORDER BY {quoted(TIME)}"
        within = f"RANGE BETWEEN {interval(dedup.within)} PRECEDING AND CURRENT ROW"
        same = f"RANGE BETWEEN {interval(0)} PRECEDING AND CURRENT ROW"
        placed = f"CREATE TEMPORARY VIEW `placed` AS\nSELECT *, {self._place()} AS `$place`\nFROM `picked`"
        near = (
            f"CREATE TEMPORARY VIEW `near` AS\nSELECT *, COUNT(*) OVER ({partition} {within}) AS `$near`\nFROM `placed`"
        )
        peers = (
            "CREATE TEMPORARY VIEW `peers` AS\n"
            "-- Of events with the same time the first by its place counts, whichever came first.\n"
            f"SELECT *, COUNT(*) OVER `w` AS `$same`, MIN(`$place`) OVER `w` AS `$first`\nFROM `near`\nWINDOW `w` AS ({partition} {same})"
        )
        insert = self._record_rows(columns, "`peers`", ["`$near` = `$same`", "`$place` = `$first`"])
        return [
            *self._tables(columns, "source"),
            self._timed(),
            self._picked(keys, [self._strictly()]),
            placed,
            near,
            peers,
            insert,
        ]

    def _latest(self) -> list[str]:
        keys = self._keys(self._derivation.latest, "latest")
        members = self._members(self._derivation.select, "select")
        values = {
            **{_plain(key.name): quoted(key.name) for key in keys},
            **{each.name: written(each.value) for each in members},
        }
        for column in members:
            if column.value.type.kind == "list":
                raise fails(
                    self._derivation.line, f"{column.name} of select: a list has no counterpart in a compacted stream"
                )
        meta = f"JSON_OBJECT(KEY 'id' VALUE {_UUID}, KEY 'dt' VALUE {clock(quoted(TIME))}, KEY 'stream' VALUE {text(self._stream.name)})"
        head = [] if self._uri is None else [("$schema", text(self._uri))]
        pairs = ", ".join(f"KEY {text(name)} VALUE {value}" for name, value in [*head, ("meta", meta), *values.items()])
        row = f"JSON_OBJECT({pairs} ABSENT ON NULL)"
        valid = self._valid([*(_Column(_plain(key.name), key.value) for key in keys), *members], values)
        if self._derivation.delete is not None:
            gone = self._truth(self._derivation.delete, "delete")
            row = f"CASE WHEN {gone} THEN CAST(NULL AS STRING) ELSE {row} END"
            valid = [f"(({gone}) IS TRUE OR ({' AND '.join(valid)}))"] if valid else []
        placed = f"CREATE TEMPORARY VIEW `placed` AS\nSELECT *, {self._place()} AS `$place`, MD5({self._record_digest()}) AS `$digest`\nFROM `picked`"
        columns = [row, _record_key(keys), f"CAST({quoted(TIME)} AS TIMESTAMP_LTZ(3))"]
        where = f"\nWHERE {' AND '.join(valid)}" if valid else ""
        insert = f"{self._insert(columns, [], '`placed`')}{where}\nORDER BY {quoted(TIME)}, `$place`"
        source = source_table(self._sources, self._broker, self._stream.name, self._derivation, readers(self._inputs))
        sink = compacted_table(self._stream.name, self._derivation, self._broker)
        return [source, sink, self._timed(), self._picked(keys, [self._not_before()]), placed, insert]

    def _not_before(self) -> str:
        return f"{quoted(TIME)} >= {quoted(NEWEST)} - {interval(self._derivation.late)}"

    def _lookup(self) -> list[str]:
        lookups = self._derivation.lookups
        keys = [self._lookup_key(lookup) for lookup in lookups]
        statements = [self._timed(), f"{self._picked([], [self._not_before()])}"]
        columns = [
            *column_types(self._sources, self._derivation).items(),
            (KEY, "BYTES"),
            (TOPIC, "STRING"),
            (PARTITION, "BIGINT"),
            (OFFSET, "BIGINT"),
        ]
        before = "`picked`"
        for number, (lookup, key) in enumerate(zip(lookups, keys, strict=True)):
            statements += self._looked_into(number, lookup, key, columns, before)
            columns.append((f"$state_{number}", "STRING"))
            before = f"`found_{number}`"
        self._variables |= {
            lookup.name: Variable(type_of(self._states[lookup.stream].document), json=f"$state_{number}")
            for number, lookup in enumerate(lookups)
        }
        members = self._members(self._derivation.select, "select")
        insert = self._record_rows(members, before, [])
        return [*self._tables(members, "source"), *statements, insert]

    def _lookup_key(self, lookup: Lookup) -> str:
        parts = [_Column("", self._key(each, f"key of {lookup.name}")) for each in lookup.key]
        return _record_key(parts, [written(part.value) for part in parts])

    def _looked_into(
        self, number: int, lookup: Lookup, key: str, columns: Sequence[tuple[str, str]], before: str
    ) -> list[str]:
        """The events, each with the row that was the latest of its key at its time. A row of that very time is there."""
        names = ", ".join(quoted(name) for name, _ in columns)
        nothing = ", ".join(f"CAST(NULL AS {kind})" for _, kind in columns)
        state, over = (
            f"`state_{number}`",
            f"PARTITION BY {quoted(TOPIC)}, {quoted(PARTITION)} ORDER BY {quoted(ARRIVAL)}",
        )
        of_key = f"PARTITION BY `$looked` ORDER BY {quoted(TIME)} RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
        return [
            state_table(
                f"state_{number}",
                self._states[lookup.stream],
                self._broker,
                self._stream.name,
                self._derivation,
                readers(self._inputs),
            ),
            f"CREATE TEMPORARY VIEW `timed_{number}` AS\n"
            f"SELECT *, MAX({quoted(TIME)}) OVER ({over} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS {quoted(NEWEST)}\nFROM {state}",
            f"CREATE TEMPORARY VIEW `both_{number}` AS\n"
            f"SELECT {names}, {quoted(TIME)}, {key} AS `$looked`, TRUE AS `$is_event`, CAST(NULL AS STRING) AS `$change`\nFROM {before}\n"
            "UNION ALL\n"
            "-- A deletion is an empty text: LAST_VALUE passes over NULL, which is what an event has here.\n"
            f"SELECT {nothing}, {quoted(TIME)}, {quoted(KEY)}, FALSE, COALESCE(`$value`, '')\nFROM `timed_{number}`\n"
            f"WHERE {self._not_before()} AND {quoted(KEY)} IS NOT NULL AND (`$value` IS NULL OR `$value` IS JSON OBJECT)"
            " AND (JSON_VALUE(`$value`, '$.meta.domain') = 'canary') IS NOT TRUE",
            f"CREATE TEMPORARY VIEW `seen_{number}` AS\nSELECT *, LAST_VALUE(`$change`) OVER ({of_key}) AS `$last`\nFROM `both_{number}`",
            f"CREATE TEMPORARY VIEW `found_{number}` AS\n"
            f"SELECT {names}, {quoted(TIME)}, NULLIF(`$last`, '') AS `$state_{number}`\nFROM `seen_{number}`\nWHERE `$is_event`",
        ]

    # Parts.

    def _event_head(self, time: str) -> list[str]:
        schema = [] if self._uri is None else [text(self._uri)]
        return [*schema, f"ROW({_UUID}, {clock(time)}, {text(self._stream.name)})"]

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

    def _members(self, members: Members, part: str) -> list[_Column]:
        columns = []
        for name, expression in members:
            columns.append(_Column(name, _finite(self._translated(expression, f"{name} of {part}", shown=True))))
        return columns

    def _keys(self, members: Members, part: str) -> list[_Column]:
        return [_Column(f"$by_{name}", self._key(each, f"{name} of {part}")) for name, each in members]

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
            made.append((figure, _aggregate(figure, argument)))
        return made

    def _having(self, columns: list[_Column], renamed: Mapping[str, str] = {}) -> str:
        assert self._derivation.having is not None
        # The times of a window are texts in a row, and none in the tables.
        fields = {one.name: one.value.type for one in columns if not one.name.startswith("window_")}
        with self._placed(self._derivation.having, "having"):
            root = read(self._derivation.having)
            value = translate_tree(self._derivation.having.text, root, {"row": Variable(Type("object", fields=fields))})
        for column in value.sql.find_all(exp.Identifier):
            column.set("this", renamed.get(column.this, column.this))
        return written(value)

    def _truth(self, expression: Expression, what: str) -> str:
        value = self._translated(expression, what)
        if value.type.kind != "bool":
            raise fails(expression.line, f"{what}: it has to be true or false")
        return written(value)

    def _translated(self, expression: Expression, what: str, shown: bool = False) -> Translated:
        with self._placed(expression, what):
            return translate_tree(expression.text, parse(expression.text, DEPTH), self._variables, shown)

    def _placed(self, expression: Expression, what: str) -> _Placed:
        return _Placed(expression, what)

    def _valid(self, columns: list[_Column], values: Mapping[str, str]) -> list[str]:
        """A row that its schema does not allow is none."""
        required = self._schema.get("required")
        names = required if isinstance(required, list) else []
        return [f"{values[column.name]} IS NOT NULL" for column in columns if column.name in names]


class _Placed:
    """Says of an expression that SQL cannot have where it stands."""

    def __init__(self, expression: Expression, what: str) -> None:
        self._expression = expression
        self._what = what

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, InvalidExpression):
            raise fails(self._expression.line, f"{self._what}: {error}") from error


def _plain(name: str) -> str:
    return name.removeprefix("$by_")


def _aggregate(figure: Figure, argument: Translated | None) -> Translated:
    what, line = f"{figure.name} of select", figure.expression.line
    if argument is None:
        return Translated(exp.Count(this=exp.Star()), INT)
    kind, value = argument.type.kind, argument.sql
    if figure.function == "count":
        if kind != "bool":
            raise fails(line, f"{what}: count() counts what is true")
        one = exp.Case(ifs=[exp.If(this=value, true=exp.Literal.number("1"))])
        return Translated(exp.Count(this=one), INT)
    if figure.function in {"min", "max"}:
        if kind not in {"int", "number", "double", "string"}:
            raise fails(line, f"{what}: {figure.function}() in SQL is of numbers and texts")
        return _finite(Translated((exp.Min if figure.function == "min" else exp.Max)(this=value), argument.type))
    if kind != "int":
        raise fails(
            line, f"{what}: a sum of doubles depends on their order in SQL; {figure.function}() takes whole numbers"
        )
    if figure.function == "sum":
        return Translated(_whole_sum(argument), INT)
    mean = exp.Div(this=exp.Cast(this=_sum(argument), to=DOUBLE.sql), expression=exp.Count(this=value.copy()))
    return Translated(exp.Paren(this=mean), DOUBLE)


def _finite(value: Translated) -> Translated:
    """JSON has no other numbers: what is none is left out."""
    if value.type.kind != "double":
        return value
    reach = exp.Literal.number(f"{sys.float_info.max!r}")
    fits = exp.LTE(this=exp.Abs(this=value.sql), expression=reach)
    return Translated(exp.Paren(this=exp.Case(ifs=[exp.If(this=fits, true=value.sql.copy())])), value.type)


def _sum(argument: Translated) -> exp.Expression:
    """The sum: as a decimal where it may have more than 64 bits."""
    value = argument.sql.copy()
    return exp.Sum(this=value if _is_small(argument) else exp.Cast(this=value, to=exp.DataType.build("DECIMAL(19, 0)")))


def _whole_sum(argument: Translated) -> exp.Expression:
    """The sum, and none where it leaves 64 bits."""
    total = _sum(argument)
    if _is_small(argument):
        return total
    fits = exp.Between(this=total, low=exp.Literal.number(str(INT_MIN)), high=exp.Literal.number(str(INT_MAX)))
    return exp.Case(ifs=[exp.If(this=fits, true=exp.Cast(this=total.copy(), to=INT.sql))])


def _is_small(value: Translated) -> bool:
    return value.type.low >= -_SMALL and value.type.high <= _SMALL


def _over(value: Translated) -> str:
    """The same over the window `w` of each row."""
    tree = exp.Paren(this=value.sql.copy())
    for found in list(tree.find_all(exp.AggFunc)):
        found.replace(exp.Window(this=found.copy(), alias=exp.Identifier(this="w", quoted=True)))
    return tree.this.sql(dialect=Flink)


def _length(key: _Column) -> str:
    """A part of a key as the text that ids are made of."""
    shown = _as_text(quoted(key.name), key.value.type)
    sign = ":" if key.value.type.kind == "string" else "="
    return f"CAST(CHAR_LENGTH({shown}) AS STRING) || '{sign}' || {shown}"


def _as_text(value: str, known: Type) -> str:
    """A part of a key, which is NULL where there is none."""
    if known.kind == "string":
        return value
    if known.kind == "bool":
        return f"CASE WHEN {value} THEN 'true' WHEN NOT ({value}) THEN 'false' END"
    return f"CAST({value} AS STRING)"


def _digested(digest: str, source: str, conditions: Sequence[str]) -> str:
    """The rows, each with the digest that its id is made of."""
    where = f"\n  WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"(\n  SELECT *, MD5({digest}) AS `$digest`\n  FROM {source}{where}\n)"


def _record_key(keys: list[_Column], values: list[str] | None = None) -> str:
    """The key of a record, as the intake makes it: of the columns of these names, or of these values."""
    shown = values or [quoted(key.name) for key in keys]
    if len(keys) == 1:
        return _as_text(shown[0], keys[0].value.type)
    parts = [
        f"JSON_STRING({value})" if key.value.type.kind == "string" else _as_text(value, key.value.type)
        for key, value in zip(keys, shown, strict=True)
    ]
    return "'[' || " + " || ',' || ".join(parts) + " || ']'"


def _milliseconds(time: str) -> str:
    return f"CAST(EXTRACT(EPOCH FROM {time}) * 1000 + EXTRACT(MILLISECOND FROM {time}) AS STRING)"


_UUID = " || '-' || ".join(
    f"SUBSTRING(`$digest`, {start}, {length})" for start, length in ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
)
"""An id, of its digest."""
