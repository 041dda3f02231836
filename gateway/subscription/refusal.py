"""The answer to a subscription that is not served."""

from __future__ import annotations

from gateway.errors import Problem
from gateway.model.position import PositionEncoder


def id_too_long(encoder: PositionEncoder, most: int) -> Problem:
    """The ids of a subscription may exceed the length that is accepted in a request."""
    ways = ["fewer streams", f"a larger `last_event_id_max` (it is {most} bytes)"]
    if not encoder.compact:
        ways.insert(0, "`ids=compact`")
    count = len(encoder.partitions)
    detail = (
        f"an id that holds the position in {count} partitions may take {encoder.longest} bytes, and could not be sent "
        f"back; possible remedies: {', '.join(ways[:-1])}, or {ways[-1]}"
    )
    return Problem(400, "Bad request", detail, "streams" if encoder.compact else "ids")
