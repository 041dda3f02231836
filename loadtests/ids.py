"""What ids cost: bytes of an event on the wire, and the processor's time for one that is delivered live.

    python -m loadtests.ids                  a table, as it stands in loadtests/IDS.md

The parts are those of the server: a ring, a feed over it, its blocks and their chain of gzip; each event is a segment
of its own, which is the dearest there is. The bytes are written to a socket of this machine, whose other end a thread
reads. Time is that of the thread which makes and writes.
"""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import orjson

from gateway.demo.wiki import WikiSample
from gateway.feed.cache import BlockCache
from gateway.feed.feed import Feed
from gateway.feed.selection import Selection
from gateway.feed.timeline import Timeline
from gateway.hub.ring import Ring
from gateway.model.position import ConsumedPosition, Ids, PositionEncoder
from gateway.model.record import TopicPartition
from gateway.wire.sse import SSE

PARTITIONS = (1, 12, 100, 700)
FORMS: tuple[Literal["json", "compact"], ...] = ("json", "compact")
EVENTS = 3_000
WARM = 300
"""Events before those that are measured."""
FIRST_TIME = 1_790_000_000_000
OFFSET = 90_000_000
"""About where a partition of a large topic stands; each some way from the others."""


class Cost(NamedTuple):
    """Of one event: bytes of its id, of its frame, and of that in the chain of gzip; µs to make it and to write it."""

    identifier: float
    plain: float
    gzip: float
    make: float
    write: float


def places_of(partitions: int) -> list[TopicPartition]:
    """Up to 12 are topics of one partition, as those of Wikimedia are; more are one topic."""
    if partitions <= 12:
        return [TopicPartition(f"eqiad.mediawiki.page-{number:02}", 0) for number in range(partitions)]
    return [TopicPartition("eqiad.mediawiki.recentchange", number) for number in range(partitions)]


def events() -> list[bytes]:
    """Those of the sample feed, about 1.2 KB each."""
    sample = WikiSample(7, FIRST_TIME)
    return [orjson.dumps(sample.next(FIRST_TIME + 50 * number)[0]) for number in range(EVENTS)]


def measure(
    partitions: int, form: Literal["json", "compact"], data: list[bytes], send: Callable[[bytes], None]
) -> Cost:
    """Deliver the events one by one, each in a partition at random."""
    places = places_of(partitions)
    chosen = random.Random(7)
    ring = Ring(1 << 28)
    for number, place in enumerate(places):
        ring.add(
            place,
            ConsumedPosition(OFFSET + 7919 * number, FIRST_TIME - chosen.randrange(60_000), 1),
            OFFSET + 7919 * number + 1,
        )
    encoder = PositionEncoder(dict.fromkeys(places, False), ids=Ids(form))
    selection = Selection(frozenset(place.topic for place in places))
    feed = Feed(selection, SSE, Timeline(encoder, ring), ring, BlockCache(1 << 24))
    identifiers = plain = gzip = 0
    make = write = 0.0
    for number, value in enumerate(data):
        place = places[chosen.randrange(partitions)]
        ring.append(place, ring.end(place), FIRST_TIME + 50 * number, None, value, canary=False)
        segment = ring.close()
        assert segment is not None
        begun = time.thread_time()
        block = feed.block(segment.number)
        assert block is not None
        chunk = block.chunk
        made = time.thread_time()
        send(chunk)
        written = time.thread_time()
        chained = feed.chained(block)
        assert chained is not None
        if number >= WARM:
            identifiers += len(feed.timeline.end())
            plain += len(chunk)
            gzip += len(chained[0])
            make += made - begun
            write += written - made
    count = len(data) - WARM
    return Cost(identifiers / count, plain / count, gzip / count, 1e6 * make / count, 1e6 * write / count)


def listener() -> tuple[Callable[[bytes], None], Callable[[], None]]:
    """Sends to a socket that is read; and ends that."""
    server = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(server.getsockname())
    reading, _ = server.accept()

    def read() -> None:
        while reading.recv(1 << 20):
            pass

    thread = threading.Thread(target=read, daemon=True)
    thread.start()

    def end() -> None:
        client.close()
        thread.join(5.0)
        reading.close()
        server.close()

    return client.sendall, end


def rows() -> Iterator[tuple[int, str, Cost]]:
    """All that is measured."""
    data = events()
    for partitions in PARTITIONS:
        for form in FORMS:
            send, end = listener()
            try:
                yield partitions, form, measure(partitions, form, data, send)
            finally:
                end()


def main() -> None:
    """Print the table."""
    print("| partitions | ids | bytes of an id | bytes an event | with gzip | µs to make | µs to write |")
    print("|---|---|---|---|---|---|---|")
    for partitions, form, cost in rows():
        sizes = f"{cost.identifier:,.0f} | {cost.plain:,.0f} | {cost.gzip:,.0f}"
        print(f"| {partitions} | {form} | {sizes} | {cost.make:.1f} | {cost.write:.1f} |", flush=True)


if __name__ == "__main__":
    main()
