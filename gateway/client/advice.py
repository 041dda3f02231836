"""Warnings of a server about a query, which may not mean what it says: the header `gateway-warning`."""

from __future__ import annotations

import re
from collections.abc import Iterable

from gateway.text import printable, span
from gateway.times import read_http_date

WARNING = "gateway-warning"
"""The header, a line for each warning."""
MOST_WARNINGS = 16
LONGEST_WARNING = 1_000
"""Characters. A server is not trusted with more of either."""
CLOCK_OFF = 60_000
"""Milliseconds between the clocks of machine and server that are told."""
_ESCAPES = re.compile(r"(?:\\u[0-9a-fA-F]{4})+")
_PLACE = re.compile(r"(\w+): line (\d{1,9}), column (\d{1,9}): (.*)", re.DOTALL)


class QueryWarning(UserWarning):
    """A part of the query that no event of these streams can have, such as a misspelt member of `filter`; or a clock
    that is off, where the query has times.

    `parameter` is the name of the parameter, `line` and `column` the place in it, from 1; empty and 0 where the server
    names none. `detail` is the rest of the message.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        found = _PLACE.fullmatch(text)
        self.parameter = found[1] if found else ""
        self.line = int(found[2]) if found else 0
        self.column = int(found[3]) if found else 0
        self.detail = found[4] if found else text


def clock_warning(date: str, now: int) -> QueryWarning | None:
    """What is to be said of the machine's clock (ms), by which spans such as `5m` are reckoned, where the header `Date`
    of an answer shows that it is off."""
    time = read_http_date(date)
    if time is None:
        return None
    ahead = now - time
    if abs(ahead) < CLOCK_OFF:
        return None
    told = f"{span(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} the server's"
    return QueryWarning(f"the clock of this machine is {told}, and spans such as 5m are counted back from it")


def read_warnings(lines: Iterable[str]) -> list[QueryWarning]:
    """The warnings in the lines of the header, each once."""
    texts = dict.fromkeys(_unescaped(line[:LONGEST_WARNING]) for line in lines)
    return [QueryWarning(text) for text in list(texts)[:MOST_WARNINGS]]


def _unescaped(line: str) -> str:
    return printable(_ESCAPES.sub(_characters, line))


def _characters(match: re.Match[str]) -> str:
    units = bytes.fromhex(match[0].replace("\\u", ""))
    return units.decode("utf-16-be", "replace")
