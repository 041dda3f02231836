"""An event on one line of a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from rich.cells import cell_len
from rich.text import Text

from gateway.filters.fields import written_json
from gateway.tail.columns import LONGEST_VALUE, Path, flags, look_up
from gateway.tail.local_time import show_local_time
from gateway.text import printable

_STYLES = ("bold", "green", "cyan", "blue", "dim", "yellow")
"""Of the columns in their order; the first is what the event is about."""
WIDEST = 40
"""Characters up to which a column is as wide as its widest value."""
MOST_COLUMNS = 1_000
"""Columns whose widths are remembered."""


class LineWriter:
    """Makes lines whose columns stand below each other: each is as wide as its widest value so far, within a bound.
    `stream`: whether the line names the stream."""

    def __init__(self, stream: bool = True) -> None:
        self._stream = stream
        self._widths: dict[Path, int] = {}
        self._stream_width = 0

    def line(
        self, event: Mapping[str, Any], time: int | None, stream: str, columns: Sequence[Path], asked: bool, now: int
    ) -> Text:
        """`time` and `now` are in milliseconds. Requested columns are always there, even empty ones. Of suggested
        ones, missing values are blank, and flags that are true stand at the end."""
        line = Text(no_wrap=True, overflow="ellipsis", end="")
        shown = " " * len(show_local_time(now, now)) if time is None else show_local_time(time, now)
        line.append(shown, "dim")
        if self._stream:
            name = _shown(stream)
            self._stream_width = max(self._stream_width, min(cell_len(name), WIDEST))
            line.append(f"  {name}{self._blank(cell_len(name), self._stream_width)}", "magenta")
        for number, path in enumerate(columns):
            self._append(line, path, look_up(event, path), _STYLES[number % len(_STYLES)], asked)
        if not asked:
            for name in flags(event):
                line.append(f"  {_shown(name)}", "red")
        line.rstrip()
        return line

    def _append(self, line: Text, path: Path, value: Any, style: str, asked: bool) -> None:
        missing = value in (None, "") and not asked
        named = isinstance(value, (int, float, bool)) and not missing
        label = f"{_shown('.'.join(path))}=" if named else ""
        text = "" if missing else _shown(value)
        size = cell_len(label) + cell_len(text)
        if len(self._widths) < MOST_COLUMNS or path in self._widths:
            self._widths[path] = max(self._widths.get(path, 0), min(size, WIDEST))
        blank = self._blank(size, self._widths.get(path, 0))
        line.append("  ")
        line.append(label, "dim")
        line.append(text, "yellow" if named else style)
        line.append(blank)

    @staticmethod
    def _blank(size: int, width: int) -> str:
        return " " * max(0, width - size)


def _shown(value: Any) -> str:
    if isinstance(value, str):
        text = value
    elif value is None:
        return "–"
    elif isinstance(value, int):
        text = str(value).lower()
    else:
        text = _json_text(value)
    text = printable(" ".join(text[: 4 * LONGEST_VALUE].split()))
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def _json_text(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # orjson writes no lone surrogates, and nothing that is nested deep.
        return written_json(value)
