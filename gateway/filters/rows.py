"""Events as rows of a table in CSV (RFC 4180): a column for each path."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from gateway import json_text
from gateway.errors import InvalidFields
from gateway.filters.fields import LOSSLESS, NEGATIVE_ZERO, compile_fields, written_json

END = "\r\n"
_QUOTED = re.compile(r'[",\r\n]')
_MISSING = object()


class Rows:
    """Makes a row of an event. `text` tells it from other lists of columns, and from `fields` that cut events."""

    __slots__ = ("_paths", "text")

    def __init__(self, columns: Sequence[str]) -> None:
        self._paths = [tuple(column.split(".")) for column in columns]
        self.text = "csv:" + ",".join(columns)

    @property
    def header(self) -> bytes:
        """The first line: the paths."""
        return _line([".".join(path) for path in self._paths])

    def cut(self, value: bytes, event: dict[str, Any]) -> bytes:
        """The row of an event. `event` is the result of `parse_event` for `value`. A text stands as it is, what is
        missing or null is empty, and objects and arrays are JSON. A path applies to each element of an array, which
        gives an array. Every number keeps its exact meaning."""
        found = [_look_up(event, path) for path in self._paths]
        exact = any(map(_has_double, found)) or NEGATIVE_ZERO.search(value) is not None
        if exact:
            as_written = LOSSLESS.parse(value)
            found = [_look_up(as_written, path) for path in self._paths]
        return _line([_cell(one, exact) for one in found])

    def __repr__(self) -> str:
        return f"Rows({self.text!r})"


def compile_rows(text: str) -> Rows:
    """The columns that a `fields` parameter names, in its order, each once. Raises InvalidFields."""
    compile_fields(text)
    return Rows(list(dict.fromkeys(path.strip() for path in text.split(","))))


def rows_of(columns: Sequence[str]) -> Rows:
    """The same of members at the top of an event. Raises InvalidFields where there are none."""
    if not columns:
        raise InvalidFields("it says which columns there are, since no schema of these streams does: fields=title,user")
    # A name with a dot or a comma is no path, and cannot be asked for either.
    return Rows([column for column in columns if "." not in column and "," not in column])


def _look_up(value: Any, path: tuple[str, ...]) -> Any:
    for depth, name in enumerate(path):
        if isinstance(value, list):
            rest = path[depth:]
            found = [_look_up(element, rest) for element in value]
            return [one for one in found if one is not _MISSING]
        if not isinstance(value, dict) or name not in value:
            return _MISSING
        value = value[name]
    return value


def _has_double(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_double, value.values()))
    return any(map(_has_double, value)) if isinstance(value, list) else value.__class__ is float


def _cell(value: Any, exact: bool) -> str:
    if value is _MISSING or value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if not exact:
        with suppress(TypeError):  # A lone surrogate, or what is nested too deeply for it.
            return json_text.dumps(value).decode()
    return written_json(value)


def _line(cells: Sequence[str]) -> bytes:
    quoted = ['"' + cell.replace('"', '""') + '"' if _QUOTED.search(cell) else cell for cell in cells]
    # A line with one empty cell is none to most readers.
    text = (",".join(quoted) if quoted != [""] else '""') + END
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
