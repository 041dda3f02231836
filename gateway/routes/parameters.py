"""Reads the request of a stream, from query parameters and headers."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from starlette.datastructures import QueryParams

from gateway.advice.streams import advisor_of
from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.description.streams import PARAMETERS as DESCRIBED
from gateway.errors import InvalidExpression, InvalidFields, InvalidPosition, Problem
from gateway.feed.selection import Selection
from gateway.filters.compile import Filter, FilterBounds, compile_filter
from gateway.filters.fields import Fields, compile_fields
from gateway.filters.rows import Rows, compile_rows, rows_of
from gateway.model.position import COMPACT_BYTES, DEFAULT_IDS, Ids, RequestedPosition, parse_position
from gateway.model.record import TopicPartition
from gateway.model.setting import integer
from gateway.routes.negotiate import accepts_gzip, choose_format
from gateway.routes.settled import is_fixed
from gateway.schemas.repository import SchemaRepository
from gateway.subscription.origin import Origin
from gateway.subscription.subscription import Request
from gateway.times import parse_time
from gateway.wire.csv import CommaSeparated
from gateway.wire.format import Format
from gateway.wire.sse import SSE

PARAMETERS = tuple(DESCRIBED)
LARGEST_LIMIT = 2**63 - 1
REMEMBERED = 1024
"""Requests of which is remembered what their words mean."""
REMEMBERED_LENGTH = 1024
"""Characters of a request that is remembered."""


@dataclass(frozen=True)
class RequestBounds(FilterBounds):
    """The bounds of a request, and of its filter."""

    maximum_streams: int = integer(100, "names", "stream names per request", 1, 10_000)
    last_event_id_max: int = integer(65536, "bytes", "longest `Last-Event-ID` that is accepted", 256, 1 << 19)
    compact_ids: int = integer(
        COMPACT_BYTES,
        "bytes",
        "ids that may be longer than this as JSON are compact, unless the client asks for a form",
        0,
        1 << 30,
    )


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of a request, except for its start and end."""

    selection: Selection
    format: Format
    gzip: bool
    limit: int | None
    overlaps: Mapping[str, int]
    ids: Ids
    values: Mapping[str, str]
    """All parameters as they came."""
    successors: Mapping[str, str]
    """The topics of derived streams, by those of their earlier versions."""
    streams: tuple[Stream, ...]


def read_request(
    names: str,
    query: bytes,
    headers: Mapping[str, str],
    catalog: Catalog,
    bounds: RequestBounds,
    now: int,
    schemas: SchemaRepository | None = None,
) -> tuple[Request, str]:
    """The request, and the name of what its position came in; `now` in milliseconds. What it names and `schemas`
    exclude is among its warnings. Raises Problem for whatever does not fit."""
    accept, coding = headers.get("accept"), headers.get("accept-encoding")
    position = headers.get("last-event-id", "")
    size = len(names) + len(query) + len(accept or "") + len(coding or "")
    if size > REMEMBERED_LENGTH:
        asked = _read(names, query, accept, coding, catalog, bounds, schemas)
        return _request(asked, position, bounds, schemas, now)
    if len(position) <= REMEMBERED_LENGTH:
        whole = _whole_once(names, query, accept, coding, position, catalog, bounds, schemas)
        if whole is not None:
            return whole
    asked = _read_once(names, query, accept, coding, catalog, bounds, schemas)
    return _request(asked, position, bounds, schemas, now)


def _whole(
    names: str,
    query: bytes,
    accept: str | None,
    coding: str | None,
    position: str,
    catalog: Catalog,
    bounds: RequestBounds,
    schemas: SchemaRepository | None,
) -> tuple[Request, str] | None:
    """The request of these words; None where it depends on the time at which it comes."""
    asked = _read_once(names, query, accept, coding, catalog, bounds, schemas)
    if "since" in asked.values or "until" in asked.values:
        return None
    return _request(asked, position, bounds, schemas, 0)


_whole_once = lru_cache(REMEMBERED)(_whole)
"""The same: thousands that come back after a failure of the network ask for the same, from the same position on."""


def _request(
    asked: Asked, position: str, bounds: RequestBounds, schemas: SchemaRepository | None, now: int
) -> tuple[Request, str]:
    """The request of these options; `position` is that in its header."""
    values, topics = asked.values, asked.selection.topics
    since, until = _time(values, "since", now), _time(values, "until", now)
    if since is not None and until is not None and until <= since:
        raise _bad("until", "it must be after `since`")
    name, text = position_text(values, position)
    requested = _requested(name, text, topics | asked.successors.keys(), topics, bounds)
    former = {partition: at for partition, at in requested.items() if partition.topic in asked.successors}
    origin = Origin(
        requested={partition: at for partition, at in requested.items() if partition not in former},
        since=None if since is None or since > now else since,
        overlaps=asked.overlaps,
        former=former,
        successors=asked.successors if former else {},
    )
    fixed = not origin.requested and all(is_fixed(values.get(end, "")) for end in ("since", "until"))
    warnings = () if schemas is None else advised(schemas, asked.streams, values, asked.selection.filter, ("fields",))
    request = Request(asked.selection, asked.format, origin, until, asked.limit, asked.gzip, asked.ids, fixed, warnings)
    return request, name


def advised(
    schemas: SchemaRepository,
    streams: Sequence[Stream],
    values: Mapping[str, str],
    asked: Filter | None,
    paths: Sequence[str],
) -> tuple[bytes, ...]:
    """The lines of the header that tells what the filter, and these parameters that are paths, may not mean."""
    return tuple(advice.header for advice in advisor_of(schemas).advise(streams, values, asked, paths))


def _read(
    names: str,
    query: bytes,
    accept: str | None,
    coding: str | None,
    catalog: Catalog,
    bounds: RequestBounds,
    schemas: SchemaRepository | None,
) -> Asked:
    streams = catalog.resolve(names, bounds.maximum_streams)
    values = _single_values(QueryParams(query).multi_items())
    limit = _limit(values)
    form: Format
    fields: Fields | Rows | None
    chosen = choose_format(accept, finite=limit is not None or bool(values.get("until", "").strip()))
    form, fields = (chosen, _fields(values)) if chosen is not None else _table(values, streams, schemas)
    selection = Selection(
        topics=frozenset(topic for stream in streams for topic in stream.topics),
        filter=read_filter(values, bounds),
        fields=fields,
        canary=_switch(values, "canary"),
    )
    ids = read_ids(values, bounds)
    if form is not SSE:
        ids = DEFAULT_IDS  # There are none.
    # One that another process has seen already is no earlier version, and comes as soon as it is in force here too.
    successors = {
        other: stream.topics[0]
        for stream in streams
        for other in (*stream.former_topics, *stream.awaited)
        if other not in selection.topics
    }
    return Asked(selection, form, accepts_gzip(coding), limit, _overlaps(streams), ids, values, successors, streams)


_read_once = lru_cache(REMEMBERED)(_read)
"""The same: what is asked for is mostly the same, whatever the position is."""


def _overlaps(streams: Sequence[Stream]) -> dict[str, int]:
    overlaps: dict[str, int] = {}
    for stream in streams:
        for topic in stream.topics:
            overlaps[topic] = max(stream.resume_overlap, overlaps.get(topic, 0))
    return overlaps


def _bad(parameter: str, detail: str) -> Problem:
    return Problem(400, "Bad request", f"`{parameter}`: {detail}", parameter)


def _single_values(query: Sequence[tuple[str, str]]) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, value in query:
        if name not in PARAMETERS:
            shown = name[:100]
            close = difflib.get_close_matches(shown, PARAMETERS, 2, 0.5)
            hint = f"; did you mean {' or '.join(close)}?" if close else ""
            known = ", ".join(PARAMETERS)
            raise Problem(
                400, "Bad request", f"there is no parameter {shown!r}{hint} (the parameters are: {known})", name
            )
        if name in values:
            raise _bad(name, "it is given more than once; send it once")
        values[name] = value
    if "last_event_id" in values and "lastEventId" in values:
        raise _bad("lastEventId", "it is `last_event_id` in another spelling; send only one of them")
    return values


def _time(values: Mapping[str, str], name: str, now: int) -> int | None:
    text = values.get(name)
    if text is None or not text.strip():
        return None
    try:
        return parse_time(text, now)
    except ValueError as error:
        raise _bad(name, str(error)) from None


def _limit(values: Mapping[str, str]) -> int | None:
    text = values.get("limit")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20 and 1 <= int(text) <= LARGEST_LIMIT):
        raise _bad("limit", f"{text[:100]!r} is not a number of events; send an integer from 1")
    return int(text)


def _switch(values: Mapping[str, str], name: str) -> bool:
    text = values.get(name, "false")
    if text not in ("true", "false"):
        raise _bad(name, f"{text[:100]!r} must be `true` or `false`")
    return text == "true"


def read_ids(values: Mapping[str, str], bounds: RequestBounds) -> Ids:
    """The form of ids that is asked for. Raises Problem."""
    match values.get("ids"):
        case None:
            return Ids(None, bounds.compact_ids)
        case "json":
            return Ids("json", bounds.compact_ids)
        case "compact":
            return Ids("compact", bounds.compact_ids)
        case text:
            raise _bad("ids", f"{text[:100]!r} must be `json` or `compact`")


def read_filter(values: Mapping[str, str], bounds: FilterBounds) -> Filter | None:
    """The filter that is asked for. Raises Problem."""
    if "filter" not in values:
        return None
    try:
        return compile_filter(values["filter"], bounds)
    except InvalidExpression as error:
        raise _bad("filter", str(error)) from None


def read_member(values: Mapping[str, str], name: str) -> tuple[str, ...] | None:
    """The path of one member of events, in a parameter of this name. Raises Problem."""
    if name not in values:
        return None
    path = values[name].strip()
    try:
        found = compile_fields(path)
    except InvalidFields as error:
        raise _bad(name, str(error)) from None
    if "," in found.text:
        raise _bad(name, "it is the path of one member, such as user or meta.domain")
    return tuple(found.text.split("."))


def _fields(values: Mapping[str, str]) -> Fields | None:
    if "fields" not in values:
        return None
    try:
        return compile_fields(values["fields"])
    except InvalidFields as error:
        raise _bad("fields", str(error)) from None


def _table(
    values: Mapping[str, str], streams: Sequence[Stream], schemas: SchemaRepository | None
) -> tuple[Format, Rows]:
    """CSV with the columns that are named, or those of the schemas."""
    try:
        if "fields" in values:
            rows = compile_rows(values["fields"])
        else:
            rows = rows_of([] if schemas is None else advisor_of(schemas).columns(streams))
    except InvalidFields as error:
        raise _bad("fields", str(error)) from None
    return CommaSeparated(rows.header), rows


def position_text(values: Mapping[str, str], header: str) -> tuple[str, str]:
    """The position that counts as the client wrote it, behind the name of the header or parameter it came in."""
    if header.strip():
        return "Last-Event-ID", header
    name = "lastEventId" if "lastEventId" in values else "last_event_id"
    return name, values.get(name, "")


def _requested(
    name: str, text: str, topics: frozenset[str], shown: frozenset[str], bounds: RequestBounds
) -> dict[TopicPartition, RequestedPosition]:
    if not text.strip():
        return {}
    if len(text) > bounds.last_event_id_max:
        raise _bad(
            name,
            f"it is longer than `last_event_id_max` allows ({bounds.last_event_id_max} bytes); with `ids=compact`, ids "
            "are shorter",
        )
    try:
        requested = parse_position(text.encode())
    except (InvalidPosition, UnicodeEncodeError) as error:
        raise _bad(name, str(error)) from None
    for partition in requested:
        if partition.topic not in topics:
            known = ", ".join(sorted(shown))
            detail = f"`{name}`: the topic {partition.topic[:100]!r} is not in this subscription, which has {known}"
            raise Problem(404, "Not found", detail, name)
    return requested


def check_partitions(request: Request, counts: Mapping[str, int], name: str) -> None:
    """Raises Problem(404) where a position names a partition that an existing topic does not have."""
    for partition in request.origin.requested:
        count = counts.get(partition.topic)
        if count is not None and partition.partition >= count:
            has = "partition 0 alone" if count == 1 else f"partitions 0 to {count - 1}"
            detail = f"`{name}`: {partition.topic} has {has}, not {partition.partition}"
            raise Problem(404, "Not found", detail, name)
