"""Content negotiation (RFC 9110 section 12.5): the format and the coding that a client gets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from gateway.errors import Problem
from gateway.wire.format import Format
from gateway.wire.ndjson import JSON_LINES, NDJSON
from gateway.wire.sse import SSE

Offer = TypeVar("Offer")

LONGEST = 4096
"""Characters of a header that are read."""

PROBLEMS = ("application/problem+json", "application/problem+xml")
"""The media types of RFC 9457."""

_OFFERS: tuple[tuple[str, Format | None], ...] = (
    ("text/event-stream", SSE),
    ("application/x-ndjson", NDJSON),
    ("application/json", JSON_LINES),
)
_VIEW_OFFERS: tuple[tuple[str, Format | None], ...] = (
    ("application/json", None),
    ("text/event-stream", SSE),
    ("application/x-ndjson", NDJSON),
)


def choose_format(accept: str | None, finite: bool = False) -> Format | None:
    """The format with the highest q; a tie goes to the one named first here. None is CSV, which needs columns, and is
    there for ranges that are finite alone. Raises Problem(406)."""
    if accept is None or not accept.strip():
        return SSE
    ranges = _weighted(accept)
    if ranges and all(name in PROBLEMS for name, _ in ranges):
        # That is how it likes errors, and says nothing of events: so do clients that openapi-generator makes, which ask
        # for whatever has `json` in its name.
        return SSE
    if not finite and _quality_of("text/csv", ranges) > 0 and not any(_quality_of(name, ranges) for name, _ in _OFFERS):
        detail = "text/csv is available for ranges that end: send `limit` or `until`"
        raise Problem(406, "Not acceptable", detail, "Accept")
    return _best(ranges, (*_OFFERS, ("text/csv", None)) if finite else _OFFERS)


def choose_view_format(accept: str | None) -> Format | None:
    """The same for a view, which is a page (None) where nothing else is preferred."""
    ranges = _weighted(accept or "*/*")
    if ranges and all(name in PROBLEMS for name, _ in ranges):
        return None
    return _best(ranges or [("*/*", 1.0)], _VIEW_OFFERS)


def _best(ranges: list[tuple[str, float]], offered: Sequence[tuple[str, Offer]]) -> Offer:
    best: tuple[float, Offer] | None = None
    for media_type, form in offered:
        quality = _quality_of(media_type, ranges)
        if quality > 0 and (best is None or quality > best[0]):
            best = (quality, form)
    if best is None:
        offers = ", ".join(media_type for media_type, _ in offered)
        raise Problem(406, "Not acceptable", f"this is available as {offers}", "Accept")
    return best[1]


def prefers_json(accept: str | None) -> bool:
    """Whether a client prefers JSON to a page for people; without a preference it gets the page."""
    ranges = _weighted(accept or "*/*")
    return _quality_of("application/json", ranges) > _quality_of("text/html", ranges)


def prefers_events(accept: str | None) -> bool:
    """Whether a client prefers server-sent events to a JSON document; without a preference it gets the document."""
    ranges = _weighted(accept or "*/*")
    return _quality_of("text/event-stream", ranges) > _quality_of("application/json", ranges)


def accepts_gzip(accept_encoding: str | None) -> bool:
    """Whether the client takes gzip, and likes it no less than no coding at all."""
    if accept_encoding is None:
        return False
    codings = dict(_weighted(accept_encoding))
    quality = codings.get("gzip", codings.get("x-gzip", codings.get("*", 0.0)))
    return quality > 0 and quality >= codings.get("identity", 0.0)


def _quality_of(media_type: str, ranges: list[tuple[str, float]]) -> float:
    """The q of the most specific range that covers the type."""
    main = media_type.partition("/")[0]
    weights = dict(ranges)
    for candidate in (media_type, f"{main}/*", "*/*"):
        if candidate in weights:
            return weights[candidate]
    return 0.0


def _weighted(header: str) -> list[tuple[str, float]]:
    found = []
    if len(header) > LONGEST:
        # The part that is cut off may mean something else than the whole.
        header = header[:LONGEST].rpartition(",")[0]
    for part in header.split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        if name:
            found.append((name.lower(), _quality(parameters)))
    return found


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip().lower() == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0
