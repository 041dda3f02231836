"""The product's constants made small, so that a short run comes to all that they bound."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

from gateway.feed import feed, live, live_clients
from gateway.hub import history, last, ordered, pace, past
from gateway.subscription import aligned, response_writer, seen
from gateway.wire import gzip

CHOICES: dict[tuple[object, str], tuple[float, ...]] = {
    (ordered, "FETCH_RECORDS"): (3, 50, 1000),
    (ordered, "WAITING_BYTES"): (300, 10_000, 4_194_304),
    (history, "FETCH_RECORDS"): (2, 20, 2000),
    (last, "MAXIMUM_LOOK_BACK"): (65536,),
    (pace, "BURST_SECONDS"): (0.0, 0.01, 1.0),
    (pace, "SHARED"): (0, 2),
    (live_clients, "BUFFER_LIMIT"): (1500, 65536),
    (live, "BLOCK_LIMIT"): (3000, 262_144),
    (feed, "MAXIMUM_CHAINS"): (1, 256),
    (seen, "MOST_SEEN"): (1_000_000,),
    (response_writer, "WRITE_BYTES"): (700, 65536),
    (past, "SEGMENT_RECORDS"): (4, 16, 128),
    (past, "MOST_RECORDS"): (9, 512),
    (past, "SEGMENT_BYTES"): (300, 2000, 524_288),
    (history, "HISTORY_BYTES"): (1, 1000, 2_097_152),
    (aligned, "WRITE_BYTES"): (700, 65536),
    (aligned, "STEP_SEGMENTS"): (1, 16),
    (gzip, "KEY_INTERVAL"): (3, 32),
}


@contextmanager
def scaled(random: Random) -> Iterator[None]:
    """Choose a size for each constant, until the end of the block."""
    before = {place: getattr(*place) for place in CHOICES}
    try:
        for place, choices in CHOICES.items():
            setattr(*place, random.choice(choices))
        yield
    finally:
        for place, value in before.items():
            setattr(*place, value)
