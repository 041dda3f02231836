"""A world: a log, the processes that serve it, their clients, and everything that can go wrong between them.

A world follows from its seed alone. First there is chaos; then the faults stop, each partition gets a last event, and
within a bounded time every client must have come to it; then the clients leave, and nothing may be left of them.
"""

from __future__ import annotations

import asyncio
import hashlib
from random import Random
from typing import Any

import orjson

from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.eventlog.memory.log import MemoryLog
from gateway.model.record import TopicPartition
from tests.simulation.client import Client
from tests.simulation.faults import FORBIDDEN, LEADERLESS, FaultyLog
from tests.simulation.loop import VirtualLoop
from tests.simulation.process import EPOCH, Process, VirtualClock
from tests.simulation.result import FailureError, Result
from tests.simulation.truth import Stored, Truth

KINDS = ("refused", "unreadable", "hidden")
"""How a partition or topic is sick."""
HEALING = 90.0
"""Seconds after the end of all faults in which every client must have everything: a few heartbeats and retries."""
MOST_PARTITIONS = 4


class World:
    """Everything that a seed decides."""

    def __init__(self, seed: int, clients: int | None, loop: VirtualLoop) -> None:
        self.seed = seed
        self.loop = loop
        self.clock = VirtualClock()
        self.random = random = Random(seed)
        self.log = MemoryLog(self.clock.now)
        self.truth = Truth(self.log)
        self.recreates = random.random() < 0.3
        self.compacts = not self.recreates and random.random() < 0.6
        self.marks = not self.recreates and random.random() < 0.5
        self.truncates = random.random() < 0.5
        self.late = random.random() < 0.4
        self.faults = random.random() < 0.7
        self.restarts = random.random() < 0.4
        self.compression = random.choice([0.5, 0.9])
        """How many requests accept gzip, of one."""
        self.may_end = not self.recreates
        traits = Random(f"{seed} traits")
        self.ranges = self.faults and self.may_end and traits.random() < 0.2
        """Whether many clients ask for a range with an end, and much is sick when it comes."""
        self.isolates = traits.random() < 0.5
        """Whether a partition of one process stays sick when all other faults have stopped."""
        self.streams = {stream.name: stream for stream in self._streams()}
        self.by_timestamp = {
            topic: stream.resume == "timestamp" for stream in self.streams.values() for topic in stream.topics
        }
        self.catalog = Catalog(self.streams.values())
        self.over = False
        self.calm = False
        """Whether the faults have stopped."""
        self.delivered = 0
        self.gaps = 0
        self.failure: FailureError | None = None
        self._failed = asyncio.Event()
        self._digest = hashlib.blake2b(digest_size=12)
        self._started = 0
        for topic in sorted(self.by_timestamp):
            if topic != "gamma" or random.random() < 0.3:
                self.truth.create(topic, random.choice([1, 1, 2, 3]), 0.0)
        for _ in range(random.choice([0, 5, 60])):
            self.append()
        self.processes = [self.start() for _ in range(random.choice([1, 2, 2]))]
        number = clients or random.choice([2, 4, 8])
        self.clients = [Client(self, name, plain=number > 100) for name in range(number)]

    def _streams(self) -> list[Stream]:
        overlap = self.random.choice([0, 0, 100])
        return [
            Stream("first", ("alpha",)),
            Stream("both", ("alpha", "beta")),
            Stream("later", ("gamma",)),
            Stream("centres", ("east", "west"), resume="timestamp", resume_overlap=overlap),
        ]

    def start(self) -> Process:
        """Start a process, with a cold ring."""
        self._started += 1
        process = Process(f"process {self._started}", self.catalog, self.log, Random(self.random.random()))
        if not self.faults:
            process.log.heal()
        return process

    def note(self, *what: object) -> None:
        """Something that happened, for the digest."""
        self._digest.update(repr((round(self.loop.time(), 6), *what)).encode())

    def fail(self, error: BaseException, client: Client | None = None) -> None:
        """The first failure ends the world."""
        if self.failure is None:
            self.failure = FailureError(self.seed, error, client)
            self.failure.__cause__ = error
        self._failed.set()

    def moment(self, random: Random) -> int:
        """Now, or just the time of a record (ms)."""
        records = self.truth.records
        return random.choice(records).timestamp if records and random.random() < 0.5 else self.clock.now()

    # What happens to the log.

    def append(self, partition: TopicPartition | None = None, last: bool = False) -> Stored | None:
        """Append something: an event, or what is none."""
        random = self.random
        partitions = self.truth.partitions()
        if partition is None:
            if not partitions:
                return None
            partition = random.choice(partitions)
        number = len(self.truth.records)
        timestamp = self.clock.now()
        part = self.truth.part(partition)
        assert part is not None
        if self.late and not last and random.random() < 0.1:
            timestamp -= random.choice([1, 5, 300])
        elif not last and random.random() < 0.3:
            # The same millisecond as the record before.
            timestamp = max(part.newest, timestamp - 1000)
        if not self.late:
            timestamp = max(timestamp, part.newest)
        event: dict[str, Any] | None = {"n": number, "last": last, "wiki": random.choice(["de", "en", "fr"])}
        assert event is not None
        kind = "event" if last else random.choices(["event", "canary", "bad", "none", "large"], [30, 2, 1, 1, 1])[0]
        if kind == "canary":
            event["meta"] = {"domain": "canary"}
        if kind == "large":
            event["text"] = "x" * random.choice([500, 3000])
        data: bytes | None = orjson.dumps(event)
        if kind == "event" and random.random() < 0.05:
            data = orjson.dumps(event, option=orjson.OPT_INDENT_2)
        if kind in ("bad", "none"):
            event, data = None, b'{"n":' if kind == "bad" else None
        stored = self.truth.append(partition, timestamp, event, data, b"a" if number % 4 == 1 else b"")
        self.note("appended", stored)
        return stored

    def disturb(self) -> None:
        """One thing happens."""
        random = self.random
        if self.ranges and random.random() < 0.1:
            self.make_sick(random.choice(self.processes).log)
        chance = random.random()
        partitions = self.truth.partitions()
        if chance < 0.75:
            for _ in range(random.choice([1, 1, 1, 4, 30])):
                self.append()
        elif chance < 0.80 and self.faults:
            self.break_something()
        elif chance < 0.82 and self.restarts:
            self.restart()
        elif chance < 0.85 and partitions:
            partition = random.choice(partitions)
            if len(self.truth.lives[partition.topic][-1]) < MOST_PARTITIONS:
                self.truth.grow(partition.topic)
                self.note("grown", partition.topic)
        elif chance < 0.86 and "gamma" not in self.truth.lives:
            self.truth.create("gamma", random.choice([1, 2]), self.loop.time())
        elif chance < 0.91 and self.recreates:
            self.recreate(random.choice(sorted(self.by_timestamp)))
        elif partitions:
            self.wear(random.choice(partitions))

    def break_something(self) -> None:
        log = self.random.choice(self.processes).log
        kind = self.random.choice(["down", "both", "leader", "leader", "leader", "failing", "slow"])
        self.note("broken", kind)
        if kind in ("down", "both"):
            down = not log.down
            for process in self.processes:
                if kind == "both" or process.log is log:
                    process.log.down = down
        elif kind == "leader":
            self.make_sick(log)
        elif kind == "failing":
            log.failing = self.random.choice([0.0, 0.01, 0.1])
        else:
            log.slowness = self.random.choice([0.0, 0.01, 0.2])

    def make_sick(self, log: FaultyLog, topic: str | None = None) -> None:
        """A partition or a topic is refused to a process, or is given again."""
        topic = topic or self.random.choice(sorted(self.by_timestamp))
        parts = len(self.truth.lives[topic][-1]) if topic in self.truth.lives else 1
        partition = TopicPartition(topic, self.random.randrange(parts))
        kind = self.random.choice(KINDS)
        self.note("sick", kind, partition)
        log.refuse(kind, partition, self.random.choice([LEADERLESS, FORBIDDEN]))

    def restart(self) -> None:
        """A process is killed with all its connections, and another takes its place."""
        killed = self.random.choice(self.processes)
        self.processes.remove(killed)
        self.note("killed", killed.name)
        for client in self.clients:
            if client.connection is not None and client.connection.process is killed:
                client.connection.lose()
        for task in list(killed.answering):
            task.cancel()
        self._stopping.append(asyncio.create_task(killed.stop()))
        self.processes.append(self.start())

    def recreate(self, topic: str) -> None:
        """A topic is deleted, created, or both at once, with fewer or more partitions and records."""
        random, truth = self.random, self.truth
        if topic not in truth.lives:
            return
        if self.faults and random.random() < 0.5:
            # What heals may be another topic by then.
            self.make_sick(random.choice(self.processes).log, topic)
        if topic in truth.existing:
            truth.delete(topic, self.loop.time())
            self.note("deleted", topic)
            if random.random() < 0.5:
                return
        before = truth.lives[topic][-1]
        truth.create(topic, random.choice([1, 2, len(before)]), self.loop.time())
        self.note("created again", topic, len(truth.lives[topic][-1]))
        if random.random() < 0.4:
            self.import_again(topic, before)

    def import_again(self, topic: str, before: list[Any]) -> None:
        """The new topic gets events of the times of the old one."""
        taken = {
            (stored.partition, stored.offset, stored.timestamp)
            for life in self.truth.lives[topic]
            for part in life
            for stored in part.records
        }
        for number, part in enumerate(self.truth.lives[topic][-1]):
            partition = TopicPartition(topic, number)
            times = [stored.timestamp for stored in before[number].records] if number < len(before) else []
            for timestamp in times[self.random.randrange(3) :]:
                record = len(self.truth.records)
                if (partition, len(part.records), timestamp) in taken:
                    continue
                event = {"n": record, "last": False, "wiki": "de"}
                self.truth.append(partition, timestamp, event, orjson.dumps(event), b"a" if record % 4 == 1 else b"")

    def wear(self, partition: TopicPartition) -> None:
        """Retention, compaction, or a transaction."""
        random = self.random
        part = self.truth.part(partition)
        assert part is not None
        kind = random.choice(["truncate", "compact", "compact", "mark"])
        first_life = self.truth.life(partition.topic) == 0
        if kind == "truncate" and self.truncates and part.records:
            cut = random.randrange(len(part.records) + 1)
            start = part.offsets[cut] if cut < len(part.records) else part.offsets[-1] + 1
            self.truth.truncate(partition, start)
            self.note("truncated", partition, start)
        elif kind == "compact" and self.compacts and not self.by_timestamp[partition.topic]:
            # The newest record is never compacted away.
            there = [stored for stored in part.records[:-1] if not stored.gone]
            chosen = random.sample(there, len(there) // 3)
            self.truth.compact(chosen)
            self.note("compacted", partition, len(chosen))
        elif kind == "mark" and self.marks and first_life:
            self.truth.mark(partition, random.choice([1, 3]))

    # The course of a world.

    async def live(self) -> None:
        """All of it."""
        self._stopping: list[asyncio.Task[None]] = []
        running = [asyncio.create_task(client.run()) for client in self.clients]
        story = asyncio.create_task(self._story(running))
        failed = asyncio.create_task(self._failed.wait())
        await asyncio.wait({story, failed}, return_when=asyncio.FIRST_COMPLETED)
        if not story.done():
            story.cancel()
            await asyncio.wait({story})
        failed.cancel()
        for task in running:
            task.cancel()
        await asyncio.wait(running)
        if self.failure is not None:
            raise self.failure
        story.result()

    async def _story(self, running: list[asyncio.Task[None]]) -> None:
        for _ in range(self.random.choice([30, 100, 200])):
            self.disturb()
            self._check_bounds()
            await asyncio.sleep(self.random.choice([0.0, 0.001, 0.05, 0.3]))
        self._heal()
        await asyncio.sleep(0.05)
        if self.isolates and (sick := self._isolate()):
            self._end_partitions(sick)
            await self._converge(sick)
            self._heal()
        await self._converge(set())
        self.over = True
        await asyncio.wait(running)
        for task in running:
            task.result()
        await asyncio.sleep(1.0)
        for process in self.processes:
            process.check_idle()
        for process in self.processes:
            await process.stop()
        await asyncio.gather(*self._stopping)

    def _heal(self) -> None:
        """The faults stop, and each partition ends with an event that everybody wants."""
        for topic in sorted(self.by_timestamp):
            if topic not in self.truth.existing:
                self.truth.create(topic, 1, self.loop.time())
        for process in self.processes:
            process.log.heal()
        self.calm = True
        self.note("calm")
        self._end_partitions(set())

    def _isolate(self) -> set[TopicPartition]:
        """One partition, or one topic, stays sick in one process: what of it nobody need get until it heals."""
        process = self.random.choice(self.processes)
        partition = self.random.choice(self.truth.partitions())
        kind = self.random.choice(KINDS)
        process.log.refuse(kind, partition, self.random.choice([LEADERLESS, FORBIDDEN]))
        self.note("isolated", process.name, kind, partition)
        return {one for one in self.truth.partitions() if process.log.is_sick(one)}

    def _end_partitions(self, sick: set[TopicPartition]) -> None:
        self.loop.spend(0.01)
        for partition in self.truth.partitions():
            if partition not in sick:
                self.append(partition, last=True)

    async def _converge(self, sick: set[TopicPartition]) -> None:
        """Everybody comes to the last event of each partition but the sick ones. A range does not end without those."""
        ends = [client.until for client in self.clients if client.until is not None]
        until = max([0.0, *((end - EPOCH) / 1000 for end in ends)])
        deadline = max(self.loop.time(), until) + HEALING
        while True:
            late = [client for client in self.clients if not client.complete]
            if sick:
                late = [client for client in late if client.until is None and not sick.issuperset(client.missing)]
            if not late:
                return
            if self.loop.time() > deadline:
                what = f"while {sorted(sick)} are sick" if sick else "though all is well"
                error = AssertionError(f"{len(late)} clients do not get what they wait for {what}: {late[0].missing}")
                self.fail(error, late[0])
                await asyncio.sleep(1)
            self._check_bounds()
            await asyncio.sleep(0.2)

    def _check_bounds(self) -> None:
        for process in self.processes:
            process.check_bounds()

    def result(self) -> Result:
        """What came of it."""
        return Result(
            self.seed,
            self._digest.hexdigest(),
            len(self.clients),
            len(self.truth.records),
            self.delivered,
            self.gaps,
            self.loop.time(),
            self.loop.turns,
        )
