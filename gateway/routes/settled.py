"""Answers about the past that will not change any more, and so may be kept by caches."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib.metadata import version

from gateway.errors import LogError
from gateway.eventlog.trouble import demand
from gateway.hub.hub import Hub
from gateway.model.setting import integer, seconds
from gateway.subscription.origin import Start
from gateway.subscription.subscription import Request
from gateway.wire.sse import SSE

_SPAN = re.compile(r"\s*\d+(ms|s|m|h|d|w)\s*", re.ASCII)


@dataclass(frozen=True)
class SettleOptions:
    """From when on the past is settled, and how long it is kept."""

    settle_time: float = seconds(
        3600.0, "age after which no late records are expected, so that finished ranges may be cached", 1, 31_536_000
    )
    settled_max_age: int = integer(
        86_400, "seconds", "`max-age` of answers about settled ranges; 0: none is cached", 0, 31_536_000
    )


def is_fixed(text: str) -> bool:
    """Whether a time means the same whenever it is asked for: a span back from now does not."""
    return bool(text.strip()) and _SPAN.fullmatch(text) is None


def etag_of(*parts: bytes) -> str:
    """A strong validator (RFC 9110 section 8.8.3) of what these bytes tell."""
    digest = hashlib.blake2b(digest_size=12)
    for part in parts:
        digest.update(b"%d:" % len(part) + part)
    return f'"{digest.hexdigest()}"'


def is_known(etag: str, if_none_match: str | None) -> bool:
    """Whether the client has what this validator is of (RFC 9110 section 13.1.2)."""
    if if_none_match is None:
        return False
    given = [one.strip().removeprefix("W/") for one in if_none_match.split(",")]
    # A proxy that compresses makes another validator of it, or a weak one.
    return "*" in given or etag.removeprefix("W/") in given


async def range_validator(options: SettleOptions, hub: Hub, request: Request, start: Start | None) -> str | None:
    """The validator of a range that is settled; None of any other. It names where the range begins and ends in each
    partition, so it is another once retention has taken records of it. It is weak: heartbeats come by the clock."""
    until = request.until
    if start is None or until is None or not request.fixed or request.format is SSE or not options.settled_max_age:
        return None
    if until > hub.clock.now() - options.settle_time * 1000 or start.waiting or start.untold:
        return None
    partitions = list(start.next_offsets)
    try:
        bounds = demand(await hub.log.bounds(partitions))
        found = demand(await hub.log.find(dict.fromkeys(partitions, until)))
    except LogError:
        return None
    selection = request.selection
    ends = [
        f"{partition} {offset} {found[partition] if found[partition] is not None else bounds[partition].end}"
        for partition, offset in sorted(start.next_offsets.items())
    ]
    asked = (
        None if selection.filter is None else selection.filter.text,
        None if selection.fields is None else selection.fields.text,
        selection.canary,
        request.limit,
        request.origin.since,
        until,
        request.format.content_type,
        request.gzip,
        hub.discovery.log_identity,
        version("event-gateway"),
        # Whoever asks a cache again is not told for ever that nothing has changed: records may have been erased.
        hub.clock.now() // (1000 * options.settled_max_age),
    )
    return f"W/{etag_of(repr(asked).encode(), *(end.encode() for end in ends))}"
