"""Makes an event of a browser's report (Reporting API: `type`, `age`, `url`, `user_agent`, `body`). Pure."""

from __future__ import annotations

from typing import Any, TypeGuard

from gateway.catalog.stream import Stream
from gateway.intake.insert import insert_members
from gateway.intake.validate import InvalidEvent
from gateway.schemas.repository import SchemaRepository
from gateway.times import iso_time


def is_report(event: object) -> TypeGuard[dict[str, Any]]:
    """Whether this is no event already."""
    return isinstance(event, dict) and "$schema" not in event and "meta" not in event


def as_event(
    text: bytes, report: dict[str, Any], stream: Stream, schemas: SchemaRepository, now_ms: int
) -> tuple[bytes, dict[str, Any]]:
    """The report with the `$schema` and `meta` of the stream that takes reports; its own members stay as they are.
    Raises InvalidEvent."""
    schema = schemas.taken_by(stream)
    if schema is None:
        # Without its name: it may be private, and browsers show no token.
        raise InvalidEvent("the stream that takes reports of browsers has no schema")
    age = report.get("age")
    age = age if type(age) is int and 0 <= age <= now_ms else 0
    members = {"$schema": schema.uri, "meta": {"stream": stream.name, "dt": iso_time(now_ms - age)}}
    return insert_members(text, members), {**members, **report}
