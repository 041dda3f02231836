"""The events of a measurement. Each has its number and the time it was made (ns) at its head, which reader.c reads."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import orjson

from gateway.demo.wiki import WikiSample

PADDED_BYTES = 1200
_META = b'"$schema":"/wiki/change/1.0.0","meta":{"stream":"load"}'
SEED = 20_26
WIKIS = 1000
_BEGIN = 1_700_000_000_000

Payload = Callable[[int], bytes]
"""The event of a number; asked for in order, from 0."""


def padded(seq: int) -> bytes:
    """An event of PADDED_BYTES, most of it padding: the cheapest to make."""
    head = b'{"seq":%d,"sent":%d,%s,"pad":"' % (seq, time.time_ns(), _META)
    return head + b"x" * (PADDED_BYTES - len(head) - 2) + b'"}'


def wiki_events() -> Callable[[int], dict[str, Any]]:
    """Events of real shape and size, spread over WIKIS wikis: the same for everybody who asks."""
    sample = WikiSample(SEED, _BEGIN)

    def make(seq: int) -> dict[str, Any]:
        event, _ = sample.next(_BEGIN + seq * 10)
        event["wiki"] = f"wiki{seq * 7919 % WIKIS:04}"
        return event

    return make


def wiki() -> Payload:
    """`wiki_events` with a head."""
    events = wiki_events()
    return lambda seq: b'{"seq":%d,"sent":%d,%s' % (seq, time.time_ns(), orjson.dumps(events(seq))[1:])


KINDS: dict[str, Callable[[], Payload]] = {"padded": lambda: padded, "wiki": wiki}
