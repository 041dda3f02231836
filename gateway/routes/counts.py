"""`GET /v2/streams/{names}/counts`: how many events there were, by time, and which values a member had."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gateway.clock import Clock
from gateway.cooperative import FairLock
from gateway.counts.counting import Counting, Query
from gateway.counts.grid import MOST_BUCKETS, USUAL_BUCKETS, Grid, by_buckets, by_step, read_step, written_step
from gateway.counts.reading import STEPS_A_SECOND
from gateway.counts.tally import Counted
from gateway.description.counts import PARAMETERS
from gateway.errors import FilterExhausted, LogError, Problem
from gateway.feed.judge import Charge
from gateway.feed.selection import Selection
from gateway.filters.compile import Filter
from gateway.routes.access import Viewers
from gateway.routes.admission import Admission
from gateway.routes.answers import json_answer
from gateway.routes.catalog import PRIVATE
from gateway.routes.parameters import RequestBounds, advised, read_filter, read_member
from gateway.routes.view_request import bad, single_values
from gateway.schemas.repository import SchemaRepository
from gateway.times import iso_time, parse_time

USUAL_SINCE = "1h"
USUAL_VALUES = 20
MOST_VALUES = 100
RETRY_SECONDS = "5"


class CountRoute:
    """Counts the events of streams that a client may read."""

    def __init__(
        self,
        counting: Counting,
        viewers: Viewers,
        bounds: RequestBounds,
        clock: Clock,
        schemas: Callable[[], SchemaRepository],
        admission: Admission | None,
    ) -> None:
        self._counting = counting
        self._viewers = viewers
        self._bounds = bounds
        self._clock = clock
        self._schemas = schemas
        self._admission = admission
        self._reading = FairLock()
        """Of requests that have a filter, which may take milliseconds to compile."""

    async def counts(self, request: Request) -> Response:
        """See the module."""
        grant = await self._viewers.reader(request.scope)
        names = request.path_params["names"]
        streams = self._viewers.readable(grant).resolve(names, self._bounds.maximum_streams)
        values = single_values(request.scope["query_string"], tuple(PARAMETERS))
        grid = read_grid(values, self._clock.now())
        most = _number(values, "values", USUAL_VALUES, MOST_VALUES)
        by = read_member(values, "by")
        payer, charge = "", None
        if self._admission is not None:
            payer, _, charge = await self._admission.begin_work(request.scope)
        topics = frozenset(topic for stream in streams for topic in stream.topics)
        selection = Selection(topics, await self._read_filter(values, charge) if "filter" in values else None)
        try:
            found = await self._counting.count(Query(selection, grid, by, most), payer, charge)
        except FilterExhausted as error:
            raise error.problem from error
        except LogError as error:
            detail = "the log cannot be read now; try again"
            raise Problem(503, "Unavailable", detail, headers={"retry-after": RETRY_SECONDS}) from error
        response = json_answer(document(found, by), headers=PRIVATE if grant.by_token else {})
        for warning in advised(self._schemas(), streams, values, selection.filter, ("by",)):
            response.headers.append("gateway-warning", warning.decode())
        return response

    async def _read_filter(self, values: Mapping[str, str], charge: Charge | None) -> Filter | None:
        """One after the other, and paid for by the time that it takes. Raises Problem."""
        async with self._reading:
            begun = time.thread_time()
            try:
                return read_filter(values, self._bounds)
            finally:
                if charge is not None:
                    charge(int((time.thread_time() - begun) * STEPS_A_SECOND))


def document(found: Counted, by: tuple[str, ...] | None) -> dict[str, object]:
    """The answer as JSON."""
    answer: dict[str, object] = {
        "step": written_step(found.grid.step),
        "from": iso_time(found.grid.start),
        "to": iso_time(found.grid.end),
        "scanned": found.scanned,
        "exact": found.exact,
        "counts": found.counts,
    }
    if by is not None:
        answer["values"] = [{"value": orjson.Fragment(value), "count": count} for value, count in found.values]
    return answer


def read_grid(values: Mapping[str, str], now: int) -> Grid:
    """The buckets that are asked for; `now` in milliseconds. Raises Problem."""
    since, until = _time(values, "since", USUAL_SINCE, now), _time(values, "until", "", now)
    if until <= since:
        if "until" in values and values["until"].strip():
            raise bad("until", "it must be after `since`")
        raise bad("since", "it must be before now, where no `until` is given")
    if "step" in values and "buckets" in values:
        raise bad("buckets", "`step` says how long a bucket is; send only one of the two")
    if "step" not in values:
        return by_buckets(since, until, _number(values, "buckets", USUAL_BUCKETS, MOST_BUCKETS))
    step = read_step(values["step"])
    if step is None:
        raise bad("step", f"{values['step'][:100]!r} is not the length of a bucket; write it as in 30s, 1m or 1h")
    grid = by_step(since, until, step)
    if grid.length > MOST_BUCKETS:
        least = written_step(by_buckets(since, until, MOST_BUCKETS - 1).step)
        raise bad("step", f"that are {grid.length} buckets, and {MOST_BUCKETS} are allowed; {least} would do")
    return grid


def _time(values: Mapping[str, str], name: str, default: str, now: int) -> int:
    text = values.get(name, "").strip() or default
    try:
        return parse_time(text, now) if text else now
    except ValueError as error:
        raise bad(name, str(error)) from None


def _number(values: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = values.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise bad(name, f"{text[:100]!r} is not a number from 1 to {most}")
    return int(text)
