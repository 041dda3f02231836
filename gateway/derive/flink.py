"""`gateway derive flink`: a derived stream as a script of Flink SQL, with equal results. Pure.

The script depends on the sequence of each partition alone, as the engine does. An event is late by the newest time of
its own partition, before any window sees it. The watermark, which is the least of all partitions, closes only complete
windows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlglot import exp

from gateway.catalog.derivation import Lookup, Window
from gateway.derive.aggregate import Figure
from gateway.derive.flink_frame import OF_WINDOWS, Frame
from gateway.derive.flink_parts import (
    UUID,
    Column,
    digested,
    identity_part,
    milliseconds,
    over_window,
    plain,
    record_key,
    written,
)
from gateway.derive.flink_tables import (
    KEY,
    OFFSET,
    PARTITION,
    TIME,
    TOPIC,
    clock,
    column_types,
    compacted_table,
    fails,
    interval,
    quoted,
    readers,
    state_table,
    text,
    view,
    with_newest,
)
from gateway.derive.sql_types import STRING, Translated, Variable, type_of


class Script(Frame):
    """The script of one derived stream."""

    def text(self) -> str:
        """The statements, each with a semicolon at the end of its line."""
        derivation = self._derivation
        if derivation.passes:
            reason = (
                "without select an event passes as it is, and SQL knows only what its schema names: give it a select"
            )
            raise fails(derivation.line, reason)
        body = {
            "select": self._select, "window": self._window, "dedup": self._dedup, "latest": self._latest,
            "lookup": self._lookup,
        }[derivation.operator]()  # fmt: skip
        return "\n\n".join([self._head(), *(f"{statement};" for statement in body), ""])

    def _select(self) -> list[str]:
        columns = self._members(self._derivation.select, "select")
        query = self._record_rows(columns, "`source`", self._conditions())
        return [*self._tables(columns, "source"), query]

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
            conditions.append(self._having(shown, keys))
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
        self, window: Window, keys: list[Column], made: list[tuple[Figure, Translated]]
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
            f"{end} AS `$end`",
            *(f"{written(value)} AS {quoted(figure.name)}" for figure, value in made),
        ]
        group = ", ".join([*names, "`window_start`", "`window_end`"])
        return [], f"(\nSELECT {', '.join(selected)}\nFROM TABLE({over}){condition}\nGROUP BY {group}\n)"

    def _last_rows(
        self, window: Window, keys: list[Column], made: list[tuple[Figure, Translated]]
    ) -> tuple[list[str], str]:
        for figure, _ in made:
            if figure.name in OF_WINDOWS:
                raise fails(figure.expression.line, f"{figure.name} of select: Flink has a column of that name here")
        names = [quoted(key.name) for key in keys]
        partition = f"PARTITION BY {', '.join(names)} " if names else ""
        over = f"{partition}ORDER BY {quoted(TIME)} RANGE BETWEEN {interval(window.size)} PRECEDING AND CURRENT ROW"
        selected = [*names, quoted(TIME), *(f"{over_window(value)} AS {quoted(figure.name)}" for figure, value in made)]
        same = [f"MIN({quoted(figure.name)}) AS {quoted(figure.name)}" for figure, _ in made]
        group = ", ".join([*names, "`window_start`", "`window_end`", "`window_time`"])
        start = f"{quoted(TIME)} - {interval(window.size)} AS `window_start`"
        shown = ", ".join([*names, start, f"{quoted(TIME)} AS `$end`", *(quoted(figure.name) for figure, _ in made)])
        views = [
            view("counted", f"SELECT {', '.join(selected)}\nFROM `picked`\nWINDOW `w` AS ({over})"),
            view(
                "single",
                "-- The events of one time have the same figures, and are one row.\n"
                f"SELECT {', '.join([*names, f'`window_time` AS {quoted(TIME)}', *same])}\n"
                f"FROM TABLE(TUMBLE(TABLE `counted`, DESCRIPTOR({quoted(TIME)}), {interval(1)}))\nGROUP BY {group}",
            ),
        ]
        if self._derivation.having is None:
            return views, f"(\nSELECT {shown}\nFROM `single`\n)"
        holds = self._having(self._shown(keys, made), keys)
        lag = f"OVER ({partition}ORDER BY {quoted(TIME)})"
        views += [
            view("held", f"SELECT *, ({holds}) IS TRUE AS `$holds`\nFROM `single`"),
            view(
                "told",
                f"SELECT *, LAG(`$holds`) {lag} AS `$held`, LAG({quoted(TIME)}) {lag} AS `$before`\nFROM `held`",
            ),
        ]
        # What was true at the key's event before counts as long as that lies in the window.
        still = f"`$held` AND `$before` >= {quoted(TIME)} - {interval(window.size)}"
        return views, f"(\nSELECT {shown}\nFROM `told`\nWHERE `$holds` AND ({still}) IS NOT TRUE\n)"

    def _shown(self, keys: list[Column], made: list[tuple[Figure, Translated]]) -> list[Column]:
        """The members of a window's row."""
        time = Translated(exp.Null(), STRING)
        return [
            *(Column(plain(key.name), key.value) for key in keys),
            Column("window_start", time),
            Column("window_end", time),
            *(Column(figure.name, value) for figure, value in made),
        ]

    def _window_insert(self, shown: list[Column], keys: list[Column], rows: str, conditions: list[str]) -> str:
        values = {column.name: quoted(column.name) for column in shown}
        values |= {plain(key.name): quoted(key.name) for key in keys}
        values |= {"window_start": clock("`window_start`"), "window_end": clock("`$end`")}
        of_key = "".join(f" || {identity_part(key)}" for key in keys)
        moments = f"{milliseconds('`window_start`')} || '|' || {milliseconds('`$end`')}"
        head = self._event_head("`$end`")
        if keys:
            head.append(record_key(keys))
        head.append("CAST(`$end` AS TIMESTAMP_LTZ(3))")
        valid = self._valid(shown, values)
        digest = f"{text(self._prefix())}{of_key} || '|' || {moments}"
        members = [f"{values[column.name]} AS {quoted(column.name)}" for column in shown]
        return self._insert(head, members, digested(digest, rows, [*conditions, *valid]))

    def _dedup(self) -> list[str]:
        dedup = self._derivation.dedup
        assert dedup is not None
        keys = [Column(f"$by_{number}", self._key(each, "by of dedup")) for number, each in enumerate(dedup.by)]
        columns = self._members(self._derivation.select, "select")
        partition = f"PARTITION BY {', '.join(quoted(key.name) for key in keys)} ORDER BY {quoted(TIME)}"
        within = f"RANGE BETWEEN {interval(dedup.within)} PRECEDING AND CURRENT ROW"
        same = f"RANGE BETWEEN {interval(0)} PRECEDING AND CURRENT ROW"
        placed = view("placed", f"SELECT *, {self._place()} AS `$place`\nFROM `picked`")
        near = view("near", f"SELECT *, COUNT(*) OVER ({partition} {within}) AS `$near`\nFROM `placed`")
        peers = view(
            "peers",
            "-- Of events with the same time the first by its place counts, whichever came first.\n"
            "SELECT *, COUNT(*) OVER `w` AS `$same`, MIN(`$place`) OVER `w` AS `$first`\n"
            f"FROM `near`\nWINDOW `w` AS ({partition} {same})",
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
            **{plain(key.name): quoted(key.name) for key in keys},
            **{each.name: written(each.value) for each in members},
        }
        for column in members:
            if column.value.type.kind == "list":
                raise fails(
                    self._derivation.line, f"{column.name} of select: a list has no counterpart in a compacted stream"
                )
        meta = {"id": UUID, "dt": clock(quoted(TIME)), "stream": text(self._stream.name)}
        head = {} if self._uri is None else {"$schema": text(self._uri)}
        row = _json({**head, "meta": _json(meta), **values})
        valid = self._valid([*(Column(plain(key.name), key.value) for key in keys), *members], values)
        if self._derivation.delete is not None:
            gone = self._truth(self._derivation.delete, "delete")
            row = f"CASE WHEN {gone} THEN CAST(NULL AS STRING) ELSE {row} END"
            valid = [f"(({gone}) IS TRUE OR ({' AND '.join(valid)}))"] if valid else []
        digest = f"MD5({self._record_digest()}) AS `$digest`"
        placed = view("placed", f"SELECT *, {self._place()} AS `$place`, {digest}\nFROM `picked`")
        columns = [row, record_key(keys), f"CAST({quoted(TIME)} AS TIMESTAMP_LTZ(3))"]
        where = f"\nWHERE {' AND '.join(valid)}" if valid else ""
        insert = f"{self._insert(columns, [], '`placed`')}{where}\nORDER BY {quoted(TIME)}, `$place`"
        source = self._source()
        sink = compacted_table(self._stream.name, self._derivation, self._broker)
        return [source, sink, self._timed(), self._picked(keys, [self._not_before()]), placed, insert]

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
        parts = [Column("", self._key(each, f"key of {lookup.name}")) for each in lookup.key]
        return record_key(parts, [written(part.value) for part in parts])

    def _looked_into(
        self, number: int, lookup: Lookup, key: str, columns: Sequence[tuple[str, str]], before: str
    ) -> list[str]:
        """The events, each with the row that was the latest of its key at its time, or is of that very time."""
        names = ", ".join(quoted(name) for name, _ in columns)
        nothing = ", ".join(f"CAST(NULL AS {kind})" for _, kind in columns)
        of_key = f"PARTITION BY `$looked` ORDER BY {quoted(TIME)} RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
        source, parallel = self._states[lookup.stream], readers(self._inputs)
        events = f"{names}, {quoted(TIME)}, {key} AS `$looked`, TRUE AS `$is_event`, CAST(NULL AS STRING) AS `$change`"
        changes = f"{nothing}, {quoted(TIME)}, {quoted(KEY)}, FALSE, COALESCE(`$value`, '')"
        counting = [
            self._not_before(),
            f"{quoted(KEY)} IS NOT NULL",
            "(`$value` IS NULL OR `$value` IS JSON OBJECT)",
            "(JSON_VALUE(`$value`, '$.meta.domain') = 'canary') IS NOT TRUE",
        ]
        return [
            state_table(f"state_{number}", source, self._broker, self._stream.name, self._derivation, parallel),
            view(f"timed_{number}", with_newest(f"state_{number}")),
            view(
                f"both_{number}",
                f"SELECT {events}\nFROM {before}\nUNION ALL\n"
                "-- A deletion is an empty text: LAST_VALUE passes over NULL, which is what an event has here.\n"
                f"SELECT {changes}\nFROM `timed_{number}`\nWHERE {' AND '.join(counting)}",
            ),
            view(
                f"seen_{number}",
                f"SELECT *, LAST_VALUE(`$change`) OVER ({of_key}) AS `$last`\nFROM `both_{number}`",
            ),
            view(
                f"found_{number}",
                f"SELECT {names}, {quoted(TIME)}, NULLIF(`$last`, '') AS `$state_{number}`\n"
                f"FROM `seen_{number}`\nWHERE `$is_event`",
            ),
        ]


def _json(members: Mapping[str, str]) -> str:
    """An object of JSON, without what is NULL."""
    return (
        f"JSON_OBJECT({', '.join(f'KEY {text(name)} VALUE {value}' for name, value in members.items())} ABSENT ON NULL)"
    )
