"""Worlds of a log that loses what it had: its end, over which it is then written on, and its beginning.

A client keeps what it got by partition and offset, and gives up what a gap says is not there any more. So in the end it
has just what the log has. Meanwhile nothing comes that the log lost long ago, and no gap tells of what is there.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict, deque
from dataclasses import dataclass, field
from random import Random

from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.eventlog.memory.log import MemoryLog
from gateway.model.record import NewRecord, TopicPartition
from tests.kit.events import numbered
from tests.simulation.connection import Connection
from tests.simulation.frames import Decoder, Frame
from tests.simulation.loop import StandsStillError, run
from tests.simulation.process import EPOCH, Process
from tests.simulation.scale import scaled

PARTITIONS = [TopicPartition("alpha", 0), TopicPartition("alpha", 1), TopicPartition("beta", 0)]
STREAMS = ["alpha", "both"]
KINDS = (["cut", "cut"], ["cut", "cut"], ["mark"], ["delete"])
"""What else happens. Never both markers and cuts: an id at whose offset a marker stands is trusted, as if its record
was compacted away, so that a cut would go unseen. And at times no cuts, by which the ring forgets everything."""
SLACK = 15.0
"""Seconds after which nothing comes from memory that the log has lost: the longest interval between two looks, the
longest outage, the waits after it."""
HEALING = 90.0
TRACE = 12


class LossError(Exception):
    """A world in which a promise was broken."""


@dataclass(slots=True)
class Content:
    """A partition as it is, and as it was."""

    records: dict[int, int] = field(default_factory=dict)
    """The number of the event at each offset."""
    start: int = 0
    end: int = 0
    lost: dict[int, float] = field(default_factory=dict)
    """When the log lost each event."""
    cuts: list[int] = field(default_factory=list)

    def lose(self, offsets: list[int], now: float) -> None:
        for offset in offsets:
            self.lost[self.records.pop(offset)] = now


class Follower:
    """A client of all events of a stream, over many connections."""

    def __init__(self, world: World, name: int) -> None:
        self.world = world
        self.random = random = Random(f"{world.seed} client {name}")
        self.stream = random.choice(STREAMS)
        self.since = random.random() < 0.7
        self.idles = random.random() < 0.3
        """It reads now and then, so that what comes may be old."""
        self.trace: deque[str] = deque(maxlen=TRACE)
        self.begin()

    def begin(self) -> None:
        """It knows nothing yet, or any more."""
        self.identifier = ""
        self.got: dict[TopicPartition, dict[int, int]] = defaultdict(dict)
        self.read: dict[TopicPartition, int] = {}
        """The offset that was read last."""
        self.from_offset: dict[TopicPartition, int] = dict.fromkeys(PARTITIONS, 0) if self.since else {}
        """Where it began."""

    def take(self, frame: Frame) -> None:
        """Each id moves on; an event moves one partition to its location."""
        self.trace.append(f"{self.world.now:.3f} {frame.event} {frame.identifier} {frame.data!r:.80}")
        self.world.note(self.trace[-1])
        gap = frame.document if frame.event == "gap" else None
        if gap is not None:
            self._take_gap(TopicPartition(gap["topic"], gap["partition"]), **gap)
        moved = []
        for partition, entry in frame.entries.items():
            if entry.offset is None:
                continue  # The log was away, and nobody could ask it.
            before = self.read.get(partition)
            # Over markers, which are no records, it may go back.
            back = range(entry.offset + 1, (before if before is not None else -1) + 1)
            assert self.world.written[partition].isdisjoint(back), f"{partition} goes back from {before}: {entry}"
            self.from_offset.setdefault(partition, entry.offset + 1)
            self.read[partition] = entry.offset
            if entry.offset != before:
                moved.append(partition)
        self.identifier = frame.identifier
        if frame.event == "message" and frame.document is not None:
            self._take_event(frame.document["n"], moved)

    def _take_event(self, number: int, moved: list[TopicPartition]) -> None:
        partition, offset = self.world.locations[number]
        content = self.world.contents[partition]
        assert partition in moved, f"event {number} moves {moved}"
        assert self.read[partition] == offset, f"event {number} moves {partition} to {self.read[partition]}"
        assert number not in self.got[partition].values(), f"event {number} came again"
        lost = content.lost.get(number, self.world.now)
        assert self.idles or self.world.now - lost <= SLACK, f"event {number}, lost since {lost:.3f}, comes from memory"
        self.got[partition][offset] = number

    def _take_gap(self, partition: TopicPartition, /, requested: int, resumed: int, reason: str, **_: object) -> None:
        content = self.world.contents[partition]
        self.world.gaps += 1
        if reason == "expired":
            between = [offset for offset in range(requested + 1, resumed) if offset in content.records]
            assert not between, f"{between} of {partition} are there, and told as expired"
            assert resumed <= max(content.start, *content.cuts, 0) or resumed <= content.end
            return
        assert reason == "unknown", reason
        assert any(cut <= requested for cut in content.cuts), f"{partition} was never cut back below {requested}"
        self.got[partition] = {offset: number for offset, number in self.got[partition].items() if offset < resumed}
        self.read[partition] = resumed - 1
        self.from_offset[partition] = min(self.from_offset.get(partition, resumed), resumed)

    @property
    def missing(self) -> str:
        """What it must have, and has not, or the reverse."""
        for partition in self.partitions:
            content = self.world.contents[partition]
            first = max(content.start, self.from_offset.get(partition, content.end))
            wanted = {offset: number for offset, number in content.records.items() if offset >= first}
            have = {offset: number for offset, number in self.got[partition].items() if offset >= first}
            if wanted != have or partition not in self.from_offset:
                there = sorted(wanted.items() - have.items())[:5]
                return f"{partition}: not got {there}, got {sorted(have.items() - wanted.items())[:5]}"
        return ""

    @property
    def partitions(self) -> list[TopicPartition]:
        return [partition for partition in PARTITIONS if self.stream in ("both", partition.topic)]

    async def run(self) -> None:
        """Connect, stay, leave, and again."""
        while not self.world.over:
            await self._stay()
            await asyncio.sleep(self.random.choice([0.0, 3.0, 40.0]) if not self.world.calm else 0.1)
            if self.random.random() < 0.3:
                self.begin()

    async def _stay(self) -> None:
        decoder, frames = Decoder(False, False), deque[Frame]()
        process = self.random.choice(self.world.processes)
        idles = self.idles and not self.world.calm
        connection = Connection(process, True, None if idles else lambda data: frames.extend(decoder.feed(data)))
        headers = {"accept": "text/event-stream"} | ({"last-event-id": self.identifier} if self.identifier else {})
        connection.request(self.stream, {"since": "0"} if self.since else {}, headers)
        leaves_at = self.world.now + self.random.choice([0.5, 5.0, 60.0, 300.0])
        while self.world.now < leaves_at and not connection.ended and not connection.lost:
            await asyncio.sleep(self.random.choice([0.01, 0.5]))
            if idles and self.random.random() < 0.1:
                frames.extend(decoder.feed(connection.take(self.random.choice([300, 10**6]))))
            while frames:
                self.take(frames.popleft())
            if self.world.over or (idles and self.world.calm):
                break
        connection.lose()


class World:
    """Everything that a seed decides."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = random = Random(f"losses {seed}")
        self.log = MemoryLog(lambda: EPOCH)
        self.contents = {partition: Content() for partition in PARTITIONS}
        self.locations: list[tuple[TopicPartition, int]] = []
        """Where each event was written, by its number."""
        self.written: dict[TopicPartition, set[int]] = {partition: set() for partition in PARTITIONS}
        """Every offset that ever was one of an event."""
        self.kinds = ["append", "append", "append", "delete", "down", *random.choice(KINDS)]
        self.gaps = 0
        self.over = self.calm = False
        self._digest = hashlib.blake2b(digest_size=12)
        self.catalog = Catalog([Stream("alpha", ("alpha",)), Stream("both", ("alpha", "beta"))])
        self.log.create_topic("alpha", 2)
        self.log.create_topic("beta", 1)
        self.append(random.choice([0, 20, 300]))
        self.processes = [self._start(number) for number in range(random.choice([1, 2]))]
        self.clients = [Follower(self, number) for number in range(random.choice([1, 3, 6]))]

    def _start(self, number: int) -> Process:
        process = Process(f"process {number}", self.catalog, self.log, Random(self.random.random()))
        process.log.heal()
        return process

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def note(self, what: str) -> None:
        self._digest.update(what.encode())

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    # What happens to the log.

    def append(self, count: int, partition: TopicPartition | None = None) -> None:
        """Events whose times rise, over all partitions: an id that the log has lost says by its time what it means."""
        for _ in range(count):
            chosen = partition or self.random.choice(PARTITIONS)
            content, number = self.contents[chosen], len(self.locations)
            value = numbered(number, text="x" * self.random.choice([0, 0, 300]))
            [(_, offset)] = self.log.append_now(
                chosen.topic, [NewRecord(value, None, self.time_of(number), chosen.partition)]
            )
            assert offset == content.end
            content.records[offset] = number
            self.written[chosen].add(offset)
            content.end += 1
            self.locations.append((chosen, offset))

    def time_of(self, number: int) -> int:
        """The time of an event (ms)."""
        return EPOCH + 10 * number

    def disturb(self) -> None:
        """One thing happens."""
        random, partition = self.random, self.random.choice(PARTITIONS)
        content = self.contents[partition]
        kind = random.choice(self.kinds)
        self.note(f"{self.now:.3f} {kind} {partition}")
        if kind == "append":
            self.append(random.choice([1, 3, 40]))
        elif kind == "cut":
            end = max(content.start, content.end - random.choice([0, 1, 5, 30, 10**6]))
            content.lose([offset for offset in content.records if offset >= end], self.now)
            self.log.cut(*partition, end)
            content.end = end
            content.cuts.append(end)
            self.append(random.choice([0, 0, 1, 5, 60]), partition)
        elif kind == "delete":
            start = random.randint(content.start, content.end)
            content.lose([offset for offset in content.records if offset < start], self.now)
            self.log.truncate(*partition, start)
            content.start = start
        elif kind == "mark":
            self.log.mark(*partition, 2)
            content.end += 2
        else:
            asyncio.get_running_loop().create_task(self._take_down(random.choice(self.processes)))

    async def _take_down(self, process: Process) -> None:
        process.log.down = True
        await asyncio.sleep(self.random.choice([0.05, 1.0, 3.0]))
        process.log.down = False

    # The course of a world.

    async def live(self) -> None:
        """All of it."""
        running = [asyncio.create_task(client.run()) for client in self.clients]
        story = asyncio.create_task(self._story())
        await asyncio.wait([story, *running], return_when=asyncio.FIRST_COMPLETED)
        self.over = True
        failed = [task for task in running if task.done() and task.exception() is not None]
        if failed:
            story.cancel()
        await asyncio.wait([story, *running])
        for process in self.processes:
            await process.stop()
        for task in (*failed, story):
            task.result()

    async def _story(self) -> None:
        await asyncio.sleep(2.0)
        for _ in range(self.random.choice([5, 30, 80])):
            self.disturb()
            await asyncio.sleep(self.random.choice([0.0, 0.0, 0.01, 0.5, 3.0, 30.0, 30.0]))
        await asyncio.sleep(4.0)
        for partition in PARTITIONS:
            self.append(1, partition)
        self.calm = True
        deadline = self.now + HEALING + 2 * SLACK
        while late := [client for client in self.clients if client.missing]:
            if self.now > deadline:
                lines = "\n  ".join(late[0].trace)
                raise LossError(f"a client of {late[0].stream} does not agree: {late[0].missing}\n  {lines}")
            await asyncio.sleep(0.2)


def simulate_losses(seed: int, kind: type[World] = World) -> tuple[str, int]:
    """Run one world; its digest, and the gaps that were told. Raises LossError where a promise is broken."""

    async def main() -> tuple[str, int]:
        world = kind(seed)
        try:
            await world.live()
        except AssertionError as error:
            raise LossError(str(error)) from error
        return world.digest, world.gaps

    with scaled(Random(f"losses scale {seed}")):
        try:
            return run(main())
        except StandsStillError as error:
            raise LossError(str(error)) from error
        except LossError as error:
            raise LossError(f"seed {seed}: {error}") from error
