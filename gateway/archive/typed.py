"""Values of records as columns, by Arrow. A value that does not fit its columns leaves them null; `_raw` has it.

Arrow's reader of JSON takes many values at once, in lines. It reads what is no line as none, and `{}{}` as two, so that
rows would slip without a word. So it is given only values that are one object, and a block that it refuses is halved
until the bad ones are alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.json as pj

from gateway.archive.columns import Shape

_LONGEST_INTEGER = 2**63
_MARK = {b"gateway": b"json"}
"""Metadata of a field that holds JSON text, which tells it from one that holds texts."""

_SCALARS = {
    "json": pa.string(),
    "text": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "time": pa.timestamp("us", tz="UTC"),
    "date": pa.date32(),
}
_KINDS = {kind: name for name, kind in _SCALARS.items() if name != "json"}


def arrow_field(name: str, shape: Shape) -> Any:
    """A column, or a part of one, for Arrow."""
    return pa.field(name, _arrow_type(shape), metadata=_MARK if shape.kind == "json" else None)


def _arrow_type(shape: Shape) -> Any:
    if shape.kind == "struct":
        return pa.struct([arrow_field(name, part) for name, part in shape.members.items()])
    if shape.kind == "list":
        assert shape.item is not None
        return pa.list_(arrow_field("element", shape.item))
    return _SCALARS[shape.kind]


def shape_of(field: Any) -> Shape:
    """The shape that a field of Arrow was made of."""
    kind = field.type
    if pa.types.is_struct(kind):
        return Shape("struct", {kind.field(n).name: shape_of(kind.field(n)) for n in range(kind.num_fields)})
    if pa.types.is_list(kind):
        return Shape("list", item=shape_of(kind.value_field))
    if _is_marked(field):
        return Shape("json")
    return Shape(_KINDS.get(kind, "json"))  # type: ignore[arg-type]


def _is_marked(field: Any) -> bool:
    return bool(field.metadata) and field.metadata.get(b"gateway", b"").strip(b'"') == b"json"


class Typed:
    """Makes columns of values. `columns` has, for each, the field of an event that it is of, and its type."""

    def __init__(self, columns: Mapping[str, tuple[str, Shape]]) -> None:
        self._columns = columns
        plain = [arrow_field(field, shape) for field, shape in columns.values() if field and shape.is_plain]
        self._plain = pa.schema(plain)
        self._options = (
            pj.ReadOptions(use_threads=False, block_size=1 << 30),
            pj.ParseOptions(explicit_schema=self._plain, unexpected_field_behavior="ignore"),
        )

    def arrays(self, values: Sequence[bytes | None]) -> list[Any]:
        """An array for each column, as long as `values`."""
        events = [_event(value) for value in values]
        lines, rows = [], []
        for number, (value, event) in enumerate(zip(values, events, strict=True)):
            if event is not None and value is not None:
                lines.append(_line(value))
                rows.append(number)
        table = self._read(lines) if self._plain.names and lines else None
        places = None
        if table is not None and len(rows) < len(values):
            by_number = {row: place for place, row in enumerate(rows)}
            places = pa.array([by_number.get(number) for number in range(len(values))], pa.int64())
        arrays = []
        for field, shape in self._columns.values():
            kind = _arrow_type(shape)
            if field and not shape.is_plain:
                arrays.append(_by_python(events, field, shape, kind))
            elif not field or table is None:
                arrays.append(pa.nulls(len(values), kind))
            else:
                column = table[field].combine_chunks()
                arrays.append(column if places is None else column.take(places))
        return arrays

    def _read(self, lines: list[bytes]) -> Any:
        """The lines as a table of as many rows."""
        with suppress(pa.ArrowException, ValueError):
            table = pj.read_json(pa.BufferReader(b"\n".join(lines)), *self._options)
            if table.num_rows == len(lines):
                return table
        if len(lines) == 1:
            return pa.table([pa.nulls(1, field.type) for field in self._plain], schema=self._plain)
        middle = len(lines) // 2
        return pa.concat_tables([self._read(lines[:middle]), self._read(lines[middle:])])


def _event(value: bytes | None) -> dict[str, Any] | None:
    """The value, if it is one JSON object."""
    if not value:
        return None
    try:
        event = orjson.loads(value)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def _line(value: bytes) -> bytes:
    """The value on one line: between tokens a line break is a space, and within texts there is none."""
    return value.replace(b"\n", b" ").replace(b"\r", b" ") if b"\n" in value or b"\r" in value else value


def _by_python(events: Sequence[dict[str, Any] | None], field: str, shape: Shape, kind: Any) -> Any:
    """A column that Arrow's reader does not make."""
    return pa.array([None if event is None else _fitting(event.get(field), shape) for event in events], kind)


def _fitting(value: Any, shape: Shape) -> Any:
    """The value as the shape has it; None where it does not fit."""
    if value is None:
        return None
    if shape.kind == "json":
        return _json_text(value)
    if shape.kind == "struct":
        if not isinstance(value, dict):
            return None
        return {name: _fitting(value.get(name), part) for name, part in shape.members.items()}
    if shape.kind == "list":
        assert shape.item is not None
        return [_fitting(each, shape.item) for each in value] if isinstance(value, list) else None
    return _scalar(value, shape.kind)


def _scalar(value: Any, kind: str) -> Any:
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if kind in ("integer", "number"):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        if kind == "number":
            return float(value)
        return value if isinstance(value, int) and -_LONGEST_INTEGER <= value < _LONGEST_INTEGER else None
    if not isinstance(value, str):
        return None
    if kind == "text":
        return value
    with suppress(ValueError, OverflowError):
        if kind == "date":
            return date.fromisoformat(value)
        found = datetime.fromisoformat(value)
        return found if found.tzinfo is not None else None
    return None


def _json_text(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # integers beyond 64 bits come as floats, so this is depth alone
        return json.dumps(value)
