"""An event on one line of a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from rich.text import Text

from gateway.printable import printable
from gateway.tail.columns import LONGEST_VALUE, Path, flags, look_up

_STYLES = ("bold", "green", "cyan", "blue", "dim", "yellow")
"""Of the columns in their order; the first is what the event is about."""


def event_line(
    event: Mapping[str, Any], time: int | None, stream: str, columns: Sequence[Path], asked: bool, now: int
) -> Text:
    """`time` and `now` in milliseconds. Where the columns were asked for, each is there, be it empty; where they were
    suggested, what is missing is left out and flags that are true stand at the end."""
    line = Text(no_wrap=True, overflow="ellipsis", end="")
    line.append(_time(time, now), "dim")
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


def _time(time: int | None, now: int) -> str:
    """In the zone of the machine; with the date where that is not today's."""
    if time is None:
        return "            "
    try:
        local = datetime.fromtimestamp(time / 1000).astimezone()
    except (ValueError, OverflowError, OSError):
        # A record may carry any number; what no calendar has is shown as it is.
        return str(time)
    today = datetime.fromtimestamp(now / 1000).astimezone().date() == local.date()
    return local.strftime("" if today else "%Y-%m-%d ") + local.isoformat(timespec="milliseconds")[11:23]


def _shown(value: Any) -> str:
    if isinstance(value, str):
        text = value
    elif value is None:
        return "–"
    else:
        text = orjson.dumps(value).decode() if not isinstance(value, int) else str(value).lower()
    text = printable(" ".join(text[: 4 * LONGEST_VALUE].split()))
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"
