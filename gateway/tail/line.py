"""An event on one line of a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from rich.text import Text

from gateway.tail.columns import LONGEST_VALUE, Path, flags, look_up
from gateway.tail.local_time import show_local_time
from gateway.text import printable

_STYLES = ("bold", "green", "cyan", "blue", "dim", "yellow")
"""Of the columns in their order; the first is what the event is about."""


def event_line(
    event: Mapping[str, Any], time: int | None, stream: str, columns: Sequence[Path], asked: bool, now: int
) -> Text:
    """`time` and `now` are in milliseconds. Requested columns are always there, even empty ones. Of suggested ones,
    missing values are left out, and flags that are true stand at the end."""
    line = Text(no_wrap=True, overflow="ellipsis", end="")
    shown = " " * len(show_local_time(now, now)) if time is None else show_local_time(time, now)
    line.append(shown, "dim")
    line.append(f"  {printable(stream)}", "magenta")
    for number, path in enumerate(columns):
        value = look_up(event, path)
        if value in (None, "") and not asked:
            continue
        line.append("  ")
        if isinstance(value, (int, float, bool)):
            line.append(f"{printable('.'.join(path))}=", "dim")
            line.append(_shown(value), "yellow")
        else:
            line.append(_shown(value), _STYLES[number % len(_STYLES)])
    if not asked:
        for name in flags(event):
            line.append(f"  {printable(name)}", "red")
    return line


def _shown(value: Any) -> str:
    if isinstance(value, str):
        text = value
    elif value is None:
        return "–"
    else:
        text = orjson.dumps(value).decode() if not isinstance(value, int) else str(value).lower()
    text = printable(" ".join(text[: 4 * LONGEST_VALUE].split()))
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"
