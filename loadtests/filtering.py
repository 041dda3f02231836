"""What thousands of different filters cost, in this process and without sockets.

    python -m loadtests.filtering
    python -m loadtests.filtering --filters 10000 --kind indexed --rate 100 --seconds 10

Events like the demo's, of a thousand wikis, are appended to a log in memory at the rate asked for. A hub reads them,
and a broadcast delivers them to clients with a different filter each, whose connections throw the bytes away. So
everything counts that the gateway does but the system calls: reading, parsing, evaluating, making frames, heartbeats.
`percent` is CPU seconds for each second of the stream. `none` is one client without a filter, to compare with.

The events of some clients are counted and held against the filter itself: a run with one too few or too many is a
failed one (exit status 1).
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import gc
import json
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from gateway.clock import SystemClock
from gateway.demo.wiki import WikiSample
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.trouble import demand
from gateway.feed.cache import BlockCache
from gateway.feed.live import Broadcast
from gateway.feed.live_clients import LiveClient
from gateway.feed.packer import Plain
from gateway.feed.selection import Selection
from gateway.filters.compile import compile_filter
from gateway.filters.subject import Subject
from gateway.hub.hub import Hub
from gateway.hub.options import HubOptions
from gateway.hub.segment import Segment
from gateway.model.event import parse_event
from gateway.model.record import NewRecord
from gateway.wire.sse import SSE
from loadtests.client import MeasurementError

TOPIC = "wiki.change"
WIKIS = 1000
SAMPLED = 50
CACHE_BYTES = 67_108_864
HEARTBEAT = 15.0
LATE_SECONDS = 120
FIRST_TIME = 1_700_000_000_000
WARM_EVENTS = 20

INDEXED = (
    "!event.bot",
    "event.bot",
    'event.type == "edit"',
    "event.namespace == 0",
    "event.namespace in [0, 4]",
    "has(event.length) && event.length.new > 1000",
    'event.user.startsWith("A")',
    'event.comment != ""',
    'event.title.contains("e")',
    'event.title.matches("^[A-M]")',
)
"""What stands beside `event.wiki == "…"`."""

PLAIN = (
    "event.length.new - event.length.old > {}",
    'event.title.contains("{}")',
    'event.title.matches("[0-9]{}$")',
    'event.comment.endsWith(" {}") || event.user.endsWith("{}")',
    "event.id % 1000 == {} && !event.bot",
    "size(event.title) + size(event.comment) == {}",
    "has(event.log_params) && event.log_params.curid % 1000 > {}",
    'event.meta.uri.startsWith("https://en") && event.revision.new % 1000 < {}',
)
"""No equality that an index could use."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run has cost."""

    kind: str
    filters: int
    rate: int
    deliveries: int
    percent: float
    us_per_event: float
    longest_ms: float
    connect_seconds: float
    kb_per_client: float


def expressions(kind: str, count: int) -> list[str | None]:
    """So many different filters; None for no filter."""
    if kind == "none":
        return [None] * count
    if kind == "indexed":
        texts = [f'event.wiki == "{wiki(number % WIKIS)}" && {INDEXED[number // WIKIS % len(INDEXED)]}'
                 + (f" && event.id > {number}" if number >= WIKIS * len(INDEXED) else "")
                 for number in range(count)]  # fmt: skip
    else:
        texts = [PLAIN[number % len(PLAIN)].replace("{}", str(number)) for number in range(count)]
    assert len(set(texts)) == count
    return list(texts)


def wiki(number: int) -> str:
    """The name of one of the wikis."""
    return f"wiki{number:03d}"


def events(count: int) -> list[bytes]:
    """Changes of a thousand wikis; the n-th most active has 1/n of the changes of the first."""
    chance = random.Random(1)
    sample = WikiSample(1, FIRST_TIME)
    weights = list(accumulate(1 / (rank + 1) for rank in range(WIKIS)))
    names = [wiki(number) for number in range(WIKIS)]
    values = []
    for number in range(count):
        change, _ = sample.next(FIRST_TIME + 10 * number)
        [change["wiki"]] = chance.choices(names, cum_weights=weights)
        values.append(json.dumps(change, ensure_ascii=False, separators=(",", ":")).encode())
    return values


class Nowhere:
    """A connection that counts the events and throws them away."""

    __slots__ = ("events",)

    def __init__(self) -> None:
        self.events = 0

    def write(self, data: bytes) -> None:
        """Take some frames."""
        self.events += data.count(b"event: message\n")

    def get_write_buffer_size(self) -> int:
        """Everything is read at once."""
        return 0


class Watched(Broadcast):
    """Remembers how long the longest delivery took: so long is nothing else done."""

    longest = 0.0

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub, BlockCache(CACHE_BYTES), SystemClock(), HEARTBEAT)
        hub.deliver, hub.renew = self.deliver, self.renew

    def deliver(self, segment: Segment) -> None:
        begun = time.perf_counter()
        super().deliver(segment)
        self.longest = max(self.longest, time.perf_counter() - begun)


async def measure(kind: str, count: int, rate: int, seconds: float) -> Cost:
    """One run."""
    values = events(WARM_EVENTS + int(rate * seconds))
    log = MemoryLog()
    log.create_topic(TOPIC)
    hub = Hub(log, {TOPIC: False}, SystemClock(), HubOptions())
    broadcast = Watched(hub)
    tasks = [asyncio.create_task(hub.run()), asyncio.create_task(broadcast.beat())]
    try:
        await hub.filled.wait()
        memory, begun = resident(), time.process_time()
        texts = expressions(kind, count)
        clients = [connect(broadcast, text) for text in texts]
        connecting, memory = time.process_time() - begun, resident() - memory
        await produce(hub, log, values[:WARM_EVENTS], rate)
        gc.collect()
        broadcast.longest = 0.0
        begun = time.process_time()
        await produce(hub, log, values[WARM_EVENTS:], rate)
        used = time.process_time() - begun
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    check(texts, clients, values)
    total = len(values) - WARM_EVENTS
    return Cost(
        kind, count, rate, sum(pipe.events for pipe in clients), 100 * used * rate / total, 1e6 * used / total,
        1000 * broadcast.longest, connecting, memory / count / 1024,
    )  # fmt: skip


def connect(broadcast: Broadcast, text: str | None) -> Nowhere:
    """A client with a filter of its own."""
    pipe = Nowhere()
    selection = Selection(frozenset([TOPIC]), compile_filter(text) if text else None)
    broadcast.join(selection, SSE).add(LiveClient(pipe, Plain()), broadcast.clock.monotonic())
    return pipe


async def produce(hub: Hub, log: MemoryLog, values: list[bytes], rate: int) -> None:
    """Append at the rate, and wait until the hub has delivered all of it."""
    begun = time.monotonic()
    for number, value in enumerate(values):
        await asyncio.sleep(max(0.0, begun + number / rate - time.monotonic()))
        log.append_now(TOPIC, [NewRecord(value)])
    async with asyncio.timeout(LATE_SECONDS):
        [partition] = hub.partitions([TOPIC])
        end = demand(await log.bounds([partition]))[partition].end
        while hub.ring.end(partition) < end or hub.ring.open.items:
            await hub.change()


def check(texts: list[str | None], clients: list[Nowhere], values: list[bytes]) -> None:
    """The sampled clients must have had each event that matches their filter."""
    subjects = [Subject(parse_event(value), TOPIC, 0, 0, 0, None) for value in values]
    step = max(1, len(texts) // SAMPLED)
    for text, pipe in zip(texts[::step], clients[::step], strict=True):
        judge = compile_filter(text) if text else None
        wanted = sum(judge is None or judge.matches(subject) for subject in subjects)
        if pipe.events != wanted:
            raise MeasurementError(f"{pipe.events} of {wanted} events for {text}")


def resident() -> int:
    """Bytes of memory of this process."""
    gc.collect()
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def show(results: list[Cost]) -> None:
    """A table, then JSON."""
    rows = [dataclasses.asdict(result) for result in results]
    cells = [[f"{value:,.1f}" if isinstance(value, float) else f"{value}" for value in row.values()] for row in rows]
    names = [name.replace("_", " ") for name in rows[0]]
    widths = [max(len(cell) for cell in column) for column in zip(names, *cells, strict=True)]
    for line in [names, *cells]:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))
    print(json.dumps(rows))


def parse(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.filtering", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--kind", choices=["none", "indexed", "plain"], help="one run; by default, the three of them")
    parser.add_argument("--filters", type=int, default=1000)
    parser.add_argument("--rate", type=int, default=100, metavar="EVENTS/S")
    parser.add_argument("--seconds", type=float, default=10)
    return parser.parse_args(given)


def main() -> int:
    """Measure, and show it. Each run has a process of its own, so that none pays for the memory of another."""
    arguments = parse()
    common = ["--rate", str(arguments.rate), "--seconds", str(arguments.seconds)]
    if arguments.kind is None:
        for kind, count in (("none", 1), ("indexed", 10_000), ("plain", 1000)):
            command = [sys.executable, "-m", "loadtests.filtering", "--kind", kind, "--filters", str(count), *common]
            if subprocess.run(command, check=False).returncode:
                return 1
        return 0
    try:
        show([asyncio.run(measure(arguments.kind, arguments.filters, arguments.rate, arguments.seconds))])
    except MeasurementError as failure:
        print(f"FAILED: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
