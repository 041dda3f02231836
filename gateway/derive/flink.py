"""`gateway derive flink`: a derived stream as a script of Flink SQL, with equal results. Pure.

What follows from each partition's own sequence alone follows from it there too: an event is late by the newest time of
its own partition before any window sees it, and the watermark, which is the least of all partitions, only closes what
is complete.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from gateway.catalog.derivation import Derivation, Expression, Members, Window, topic_of
from gateway.catalog.stream import Stream
from gateway.derive.aggregate import Figure, figures
from gateway.derive.expression import read
from gateway.derive.flink_tables import (
    ARRIVAL, EPOCH, KEY, NEWEST, OFFSET, PARTITION, TIME, TOPIC, Broker, Source, Unsayable, clock, fails, interval,
    quoted, sink_table, source_table, text,
)  # fmt: skip
from gateway.derive.sql import BOOL, DOUBLE, INT, STRING, Translated, Type, Variable, common_type, translate_tree, type_of
from gateway.errors import InvalidExpression
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
    """The script of one derived stream. `schema` is that of its rows, where there is one; raises Unsayable."""

    def __init__(
        self, stream: Stream, sources: Sequence[Source], broker: Broker, schema: Mapping[str, object] | None, uri: str | None
    ) -> None:
        if stream.derive is None:
            raise Unsayable(f"{stream.name} is not derived: it has no derive")
        self._stream = stream
        self._derivation: Derivation = stream.derive
        self._sources = sources
        self._broker = broker
        self._schema = schema or {}
        self._uri = uri
        event = common_type([type_of(source.document) for source in sources])
        self._variables = {
            "event": Variable(event),
            "topic": Variable(STRING, column=TOPIC),
            "partition": Variable(INT, column=PARTITION),
            "offset": Variable(INT, column=OFFSET),
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
            "execution.checkpointing.interval": "1 s",
            "execution.checkpointing.mode": "EXACTLY_ONCE",
        }
        if self._derivation.window is not None and self._derivation.window.kind == "last":
            settings["state.backend.type"] = "hashmap"
        lines = [f"SET '{key}' = '{value}';" for key, value in settings.items()]
        return f"-- {self._stream.name}, version {version}: made of {', '.join(self._derivation.sources)}.\n" + "\n".join(lines)

    # What all operators begin with.

    def _tables(self, sink: Iterable[_Column], key: str | None) -> list[str]:
        source = source_table(self._sources, self._broker, self._stream.name, self._derivation)
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
        bars = f"CAST({quoted(PARTITION)} AS STRING) || '|' || CAST({quoted(OFFSET)} AS STRING)"
        identity = _uuid(f"{text(self._prefix())} || {quoted(TOPIC)} || '|' || {bars}")
        conditions = [*conditions, *self._valid(columns, {column.name: written(column.value) for column in columns})]
        head = [*self._event_head(identity, quoted(TIME)), quoted(KEY), f"CAST({quoted(TIME)} AS TIMESTAMP_LTZ(3))"]
        return self._insert(head, [column.sql for column in columns], source, conditions)

    def _window(self) -> list[str]:
        window = self._derivation.window
        assert window is not None
        keys = self._keys(self._derivation.by, "by")
        made = self._figures()
        shown = [*(_Column(_plain(key.name), key.value) for key in keys),
                 _Column("window_start", Translated(exp.Null(), STRING)),
                 _Column("window_end", Translated(exp.Null(), STRING)),
                 *(_Column(figure.name, value) for figure, value in made)]  # fmt: skip
        tables = self._tables(shown, "own" if keys else None)
        rows = self._last_rows(window, keys, made) if window.kind == "last" else self._grouped_rows(window, keys, made)
        conditions = []
        if window.kind != "last" and self._derivation.having is not None:
            conditions.append(self._having(shown))
        return [*tables, self._timed(), self._picked(keys, self._strict(window)), *rows, self._window_insert(shown, keys, conditions)]

    def _strict(self, window: Window) -> list[str]:
        return [] if window.kind == "every" else [self._strictly()]

    def _grouped_rows(self, window: Window, keys: list[_Column], made: list[tuple[Figure, Translated]]) -> list[str]:
        names = [quoted(key.name) for key in keys]
        end, condition = "`window_end`", ""
        if window.kind == "gap":
            # Flink joins sessions that touch: an event that comes exactly the gap later begins a new one here.
            partition = f" PARTITION BY {', '.join(names)}" if names else ""
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
        selected = [*names, "`window_start`", f"{end} AS `end`", *(f"{written(value)} AS {quoted(figure.name)}" for figure, value in made)]
        group = ", ".join([*names, "`window_start`", "`window_end`"])
        return [
            f"CREATE TEMPORARY VIEW `rows` AS\nSELECT {', '.join(selected)}\nFROM TABLE({over}){condition}\nGROUP BY {group}"
        ]

    def _last_rows(self, window: Window, keys: list[_Column], made: list[tuple[Figure, Translated]]) -> list[str]:
        names = [quoted(key.name) for key in keys]
        partition = f"PARTITION BY {', '.join(names)} " if names else ""
        over = f"{partition}ORDER BY {quoted(TIME)} RANGE BETWEEN {interval(window.size)} PRECEDING AND CURRENT ROW"
        selected = [*names, quoted(TIME), *(f"{_over(value)} AS {quoted(figure.name)}" for figure, value in made)]
        counted = f"CREATE TEMPORARY VIEW `counted` AS\nSELECT {', '.join(selected)}\nFROM `picked`\nWINDOW `w` AS ({over})"
        shown = [*names, f"{quoted(TIME)} - {interval(window.size)} AS `window_start`", f"{quoted(TIME)} AS `end`",
                 *(quoted(figure.name) for figure, _ in made)]  # fmt: skip
        if self._derivation.having is None:
            raise fails(self._derivation.line, "last without having has no counterpart in SQL: of events of one time Flink tells each")
        columns = [*(_Column(_plain(key.name), key.value) for key in keys), *(_Column(figure.name, value) for figure, value in made)]
        holds = self._having(columns, {_plain(key.name): key.name for key in keys})
        held = (
            f"CREATE TEMPORARY VIEW `held` AS\nSELECT *, ({holds}) IS TRUE AS `$holds`\nFROM `counted`"
        )
        before = (
            "CREATE TEMPORARY VIEW `told` AS\n"
            f"SELECT *, LAG(`$holds`) OVER ({partition}ORDER BY {quoted(TIME)}) AS `$held`\nFROM `held`"
        )
        rows = f"CREATE TEMPORARY VIEW `rows` AS\nSELECT {', '.join(shown)}\nFROM `told`\nWHERE `$holds` AND `$held` IS NOT TRUE"
        return [counted, held, before, rows]

    def _window_insert(self, shown: list[_Column], keys: list[_Column], conditions: list[str]) -> str:
        values = {column.name: quoted(column.name) for column in shown}
        values |= {_plain(key.name): quoted(key.name) for key in keys}
        values |= {"window_start": clock("`window_start`"), "window_end": clock("`end`")}
        of_key = "".join(f" || {_length(key)}" for key in keys)
        moments = f"{_milliseconds('`window_start`')} || '|' || {_milliseconds('`end`')}"
        head = self._event_head(_uuid(f"{text(self._prefix())}{of_key} || '|' || {moments}"), "`end`")
        if keys:
            head.append(_record_key(keys))
        head.append("CAST(`end` AS TIMESTAMP_LTZ(3))")
        valid = self._valid(shown, values)
        return self._insert(head, [f"{values[column.name]} AS {quoted(column.name)}" for column in shown], "`rows`", [*conditions, *valid])

    def _dedup(self) -> list[str]:
        dedup = self._derivation.dedup
        assert dedup is not None
        keys = [_Column(f"$by_{number}", self._key(each, "by of dedup")) for number, each in enumerate(dedup.by)]
        columns = self._members(self._derivation.select, "select")
        partition = f"PARTITION BY {', '.join(quoted(key.name) for key in keys)} ORDER BY {quoted(TIME)}"
        topics = [topic for source in self._sources for topic in source.stream.topics]
        ranks = " ".join(f"WHEN {text(topic)} THEN {text(f'{rank:05}')}" for rank, topic in enumerate(topics))
        place = (
            f"(CASE {quoted(TOPIC)} {ranks} END || LPAD(CAST({quoted(PARTITION)} AS STRING), 10, '0')"
            f" || LPAD(CAST({quoted(OFFSET)} AS STRING), 19, '0'))"
        )
        within = f"RANGE BETWEEN {interval(dedup.within)} PRECEDING AND CURRENT ROW"
        same = f"RANGE BETWEEN {interval(0)} PRECEDING AND CURRENT ROW"
        placed = f"CREATE TEMPORARY VIEW `placed` AS\nSELECT *, {place} AS `$place`\nFROM `picked`"
        near = f"CREATE TEMPORARY VIEW `near` AS\nSELECT *, COUNT(*) OVER ({partition} {within}) AS `$near`\nFROM `placed`"
        peers = (
            "CREATE TEMPORARY VIEW `peers` AS\n"
            "-- Of events with the same time the first by its place counts, whichever came first.\n"
            f"SELECT *, COUNT(*) OVER `w` AS `$same`, MIN(`$place`) OVER `w` AS `$first`\nFROM `near`\nWINDOW `w` AS ({partition} {same})"
        )
        insert = self._record_rows(columns, "`peers`", ["`$near` = `$same`", "`$place` = `$first`"])
        return [*self._tables(columns, "source"), self._timed(), self._picked(keys, [self._strictly()]), placed, near, peers, insert]

    def _latest(self) -> list[str]:
        raise fails(self._derivation.line, "latest has no counterpart here yet")

    def _lookup(self) -> list[str]:
        raise fails(self._derivation.line, "lookup has no counterpart here yet")

    # Parts.

    def _event_head(self, identity: str, time: str) -> list[str]:
        schema = [] if self._uri is None else [text(self._uri)]
        return [*schema, f"ROW({identity}, {clock(time)}, {text(self._stream.name)})"]

    def _insert(self, head: list[str], members: list[str], source: str, conditions: list[str]) -> str:
        where = f"\nWHERE {' AND '.join(conditions)}" if conditions else ""
        columns = ",\n  ".join([*head, *members])
        return f"INSERT INTO `sink`\nSELECT\n  {columns}\nFROM {source}{where}"

    def _prefix(self) -> str:
        return f"{self._stream.name}|{self._derivation.version}|"

    def _members(self, members: Members, part: str) -> list[_Column]:
        columns = []
        for name, expression in members:
            value = self._translated(expression, f"{name} of {part}")
            columns.append(_Column(name, value))
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
        fields = {column.name: column.value.type for column in columns}
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

    def _translated(self, expression: Expression, what: str) -> Translated:
        with self._placed(expression, what):
            return translate_tree(expression.text, read(expression), self._variables)

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
        return Translated((exp.Min if figure.function == "min" else exp.Max)(this=value), argument.type)
    if kind != "int":
        raise fails(line, f"{what}: a sum of doubles depends on their order in SQL; {figure.function}() takes whole numbers")
    if figure.function == "sum":
        return Translated(_whole_sum(argument), INT)
    mean = exp.Div(this=exp.Cast(this=_sum(argument), to=DOUBLE.sql), expression=exp.Count(this=value.copy()))
    return Translated(exp.Paren(this=mean), DOUBLE)


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
    return -_SMALL <= value.type.low and value.type.high <= _SMALL


def _over(value: Translated) -> str:
    """The same over the window `w` of each row."""
    tree = exp.Paren(this=value.sql.copy())
    for found in list(tree.find_all(exp.AggFunc)):
        found.replace(exp.Window(this=found.copy(), alias=exp.Identifier(this="w", quoted=True)))
    return tree.this.sql(dialect=Flink)


def _length(key: _Column) -> str:
    """A part of a key as the text that ids are made of."""
    shown = _text_of(key)
    return f"CAST(CHAR_LENGTH({shown}) AS STRING) || ':' || {shown}"


def _text_of(key: _Column) -> str:
    name = quoted(key.name)
    if key.value.type.kind == "string":
        return name
    if key.value.type.kind == "bool":
        return f"CASE WHEN {name} THEN 'true' ELSE 'false' END"
    return f"CAST({name} AS STRING)"


def _record_key(keys: list[_Column]) -> str:
    """The key of a record, as the intake makes it."""
    if len(keys) == 1:
        return _text_of(keys[0])
    parts = [f"JSON_STRING({quoted(key.name)})" if key.value.type.kind == "string" else _text_of(key) for key in keys]
    return "'[' || " + " || ',' || ".join(parts) + " || ']'"


def _milliseconds(time: str) -> str:
    return f"CAST(EXTRACT(EPOCH FROM {time}) * 1000 + EXTRACT(MILLISECOND FROM {time}) AS STRING)"


def _uuid(of: str) -> str:
    return f"REGEXP_REPLACE(MD5({of}), '(.{{8}})(.{{4}})(.{{4}})(.{{4}})(.{{12}})', '$1-$2-$3-$4-$5')"
