"""The query to a server: which streams, and which of their events."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import quote

from gateway.client.errors import InvalidQuery
from gateway.times import milliseconds_of, parse_time

_HOST = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?(?:/\S*)?", re.ASCII)
Time = datetime | timedelta | str | int
"""A time with its zone, a span back from now, the forms of a URL (ISO 8601, `10m`), or milliseconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Query:
    """The parameters of a request. Times are milliseconds since the epoch."""

    since: int | None = None
    until: int | None = None
    limit: int | None = None
    filter: str | None = None
    fields: str | None = None
    canary: bool = False


def server_address(server: str) -> str:
    """The address of a server; one that is written without a scheme is reached by HTTP."""
    text = server.strip().rstrip("/")
    return text if "://" in text or not _HOST.fullmatch(text) else f"http://{text}"


def stream_address(server: str, streams: str | Sequence[str]) -> str:
    """The address of streams on a server."""
    names = streams if isinstance(streams, str) else ",".join(streams)
    if not names:
        raise InvalidQuery("no stream is named")
    # Of a command line, in a locale without the letters, the bytes that were typed.
    return f"{server.rstrip('/')}/v2/stream/{quote(names, safe=',*:@', errors='surrogateescape')}"


def milliseconds(name: str, time: Time | None, now: int) -> int | None:
    """A time as a server takes it; `now` in milliseconds. Raises InvalidQuery."""
    try:
        match time:
            case None:
                return None
            case datetime() if time.tzinfo is None:
                raise ValueError(f"{time} has no zone; write datetime.now(UTC), or .astimezone() for local time")
            case datetime():
                return max(0, milliseconds_of(time))
            case timedelta():
                return max(0, now + -time // timedelta(milliseconds=1))
            case _:
                return parse_time(str(time), now)
    except (ValueError, OverflowError) as error:
        raise InvalidQuery(f"{name}: {error}") from None


def make_query(
    now: int,
    since: Time | None,
    until: Time | None,
    limit: int | None,
    expression: str | None,
    fields: str | Sequence[str] | None,
    canary: bool,
) -> Query:
    """A query of what a caller has written. Raises InvalidQuery."""
    begin, end = milliseconds("since", since, now), milliseconds("until", until, now)
    if begin is not None and end is not None and end <= begin:
        raise InvalidQuery("until is not after since")
    if limit is not None and limit < 1:
        raise InvalidQuery(f"limit: {limit} events are none; write 1 or more, or leave it out")
    paths = fields if fields is None or isinstance(fields, str) else ",".join(fields)
    return Query(begin, end, limit, expression, paths, canary)
