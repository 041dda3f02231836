"""The guarantees under everything that can happen to a log and to clients, in random order.

Each seed is one world: a log whose topics grow, expire, are deleted and created again, and go away for a time; and
clients that come, go and resume by nothing but the last id any frame carried. What each received is held against a
plain list of what was ever appended.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.event import NewRecord, TopicPartition
from gateway.eventlog.memory import MemoryLog
from gateway.filters.compile import compile_filter
from gateway.hub import hub as hub_module
from gateway.hub.hub import Hub, HubOptions
from gateway.position import parse_position
from gateway.subscription import live, session
from gateway.subscription.feed import BlockCache, Selection
from gateway.subscription.live import Broadcast
from gateway.subscription.replay import ReplayTurns
from gateway.subscription.resolve import Origin
from gateway.subscription.session import Services, Session
from gateway.subscription.subscription import Request
from gateway.wire.sse import SSE
from tests.subscription.client import FakeClock, FakeOutlet, Frame

SEEDS = 80
LIMIT = 20.0
"""Seconds for one world, which takes a fifth of one: whoever takes longer hangs."""
EVEN = compile_filter("event.n % 2 == 0 || event.last")


@dataclass(slots=True)
class Stored:
    """A record as it was appended. `gone` says why nobody can read it any more."""

    number: int
    offset: int
    timestamp: int
    sent: bool
    last: bool = False
    gone: str = ""

    def matches(self, filtered: bool) -> bool:
        return self.sent and (self.last or not filtered or self.number % 2 == 0)


@dataclass(slots=True)
class Place:
    """Where a client must go on: the life of the topic (it may be created again), and the index in its records."""

    life: int
    index: int
    told: bool = False
    """Whether a gap has been told since the last event."""
    time: int | None = None
    """The time (ms) that is all the client has, so that nothing is told where records are gone."""


class World:
    """A log, and the list of everything that was ever in it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.clock = FakeClock()
        self.log = MemoryLog(self.clock.now)
        self.by_timestamp = self.random.random() < 0.3
        self.compacts = not self.by_timestamp
        self.recreates = self.random.random() < 0.4
        self.lives: dict[str, list[list[list[Stored]]]] = {}
        self.exists: set[str] = set()
        self.numbers: dict[int, tuple[TopicPartition, int, int]] = {}
        self.recreated: set[str] = set()
        for topic in ("alpha", "beta"):
            self.create(topic, self.random.choice([1, 1, 2, 3]))
        self.topics = {"alpha": self.by_timestamp, "beta": self.by_timestamp, "gamma": self.by_timestamp}
        for _ in range(self.random.choice([0, 5, 40])):
            self.append()
        self.hub = Hub(
            self.log,
            self.topics,
            self.clock,
            HubOptions(
                ring_bytes=self.random.choice([1500, 6000, 10**7]),
                ring_fill=self.random.choice([0.0, 600.0]),
                flush_interval=self.random.choice([0.0, 0.003]),
                flush_bytes=self.random.choice([500, 65536]),
                metadata_interval=0.01,
            ),
        )
        self.heartbeat = self.random.choice([0.005, 0.02, 0.2])
        cache = BlockCache(self.random.choice([1, 10_000, 10**7]))
        self.broadcast = Broadcast(self.hub, cache, self.clock, self.heartbeat)
        turns = ReplayTurns(self.random.choice([1, 4]))
        self.services = Services(self.hub, self.broadcast, turns, self.clock, self.heartbeat, 1000)
        self.ending = asyncio.Event()

    def create(self, topic: str, partitions: int) -> None:
        self.log.create_topic(topic, partitions)
        self.exists.add(topic)
        self.lives.setdefault(topic, []).append([[] for _ in range(partitions)])
        if len(self.lives[topic]) > 1:
            self.recreated.add(topic)

    def partitions(self) -> list[TopicPartition]:
        return [
            TopicPartition(topic, number) for topic in sorted(self.exists) for number in range(len(self.now(topic)))
        ]

    def now(self, topic: str) -> list[list[Stored]]:
        """The partitions of a topic in its present life."""
        return self.lives[topic][-1]

    def append(self, partition: TopicPartition | None = None, last: bool = False, count: int = 1) -> None:
        for _ in range(count):
            place = partition or self.random.choice(self.partitions())
            if self.random.random() < 0.6:
                self.clock.time += self.random.randint(1, 3)
            number = len(self.numbers)
            kind = "event" if last else self.random.choices(["event", "bad", "canary"], [20, 1, 1])[0]
            event: dict[str, Any] = {"n": number, "last": last}
            if kind == "canary":
                event["meta"] = {"domain": "canary"}
            value = b"{" if kind == "bad" else json.dumps(event).encode()
            timestamp = self.clock.time
            if not self.by_timestamp and not self.recreates and self.random.random() < 0.05:
                timestamp -= self.random.randint(1, 5)
            [(_, offset)] = self.log.append_now(place.topic, [NewRecord(value, None, timestamp, place.partition)])
            stored = Stored(number, offset, timestamp, kind == "event", last)
            records = self.now(place.topic)[place.partition]
            records.append(stored)
            self.numbers[number] = (place, len(self.lives[place.topic]) - 1, len(records) - 1)

    def delete(self, topic: str) -> None:
        self.log.delete_topic(topic)
        self.exists.discard(topic)
        for records in self.now(topic):
            for stored in records:
                stored.gone = "deleted"
        # A record of the next life never has the time of one of this.
        self.clock.time += 10

    def truncate(self, place: TopicPartition) -> None:
        records = self.now(place.topic)[place.partition]
        if records:
            cut = self.random.randrange(len(records))
            # Records of one millisecond expire together, or a count of those seen means others.
            while self.by_timestamp and cut and records[cut - 1].timestamp == records[cut].timestamp:
                cut -= 1
            self.log.truncate(place.topic, place.partition, records[cut].offset)
            for stored in records[:cut]:
                stored.gone = stored.gone or "expired"

    def compact(self, place: TopicPartition) -> None:
        # The last record of a partition is never compacted away.
        records = [stored for stored in self.now(place.topic)[place.partition][:-1] if not stored.gone]
        chosen = self.random.sample(records, len(records) // 3)
        self.log.compact(place.topic, place.partition, [stored.offset for stored in chosen])
        for stored in chosen:
            stored.gone = "compacted"

    def step(self) -> None:
        """Something happens to the log."""
        chance = self.random.random()
        places = self.partitions()
        if chance < 0.7 or not places:
            if places:
                self.append(count=self.random.choice([1, 1, 3, 20]))
        elif chance < 0.74:
            self.log.available = not self.log.available
        elif chance < 0.77:
            place = self.random.choice(places)
            if len(self.now(place.topic)) < 4:
                self.log.add_partitions(place.topic, len(self.now(place.topic)) + 1)
                self.now(place.topic).append([])
        elif chance < 0.79 and "gamma" not in self.lives:
            self.create("gamma", self.random.choice([1, 2]))
        elif self.recreates:
            topic = self.random.choice(sorted(self.lives))
            if topic not in self.exists:
                self.create(topic, max(len(self.now(topic)), self.random.choice([1, 2])))
            elif self.random.random() < 0.3:
                self.delete(topic)
                if self.random.random() < 0.5:
                    self.create(topic, len(self.now(topic)))
        else:
            place = self.random.choice(places)
            change = self.random.choice([self.truncate, self.compact, self.compact, self.mark])
            if change != self.compact or self.compacts:
                change(place)

    def mark(self, place: TopicPartition) -> None:
        self.log.mark(place.topic, place.partition, self.random.choice([1, 3]))

    def finish(self) -> None:
        """The log is whole again, and each partition ends with an event that matches whatever the client asked."""
        self.log.available = True
        for topic in sorted(self.topics):
            if topic not in self.exists:
                self.create(topic, len(self.now(topic)) if topic in self.lives else 1)
        self.clock.time += 1000
        for place in self.partitions():
            self.append(place, last=True)
        self.ending.set()


class Client:
    """One reader, over many connections."""

    def __init__(self, world: World, name: int) -> None:
        self.world = world
        self.random = random.Random(world.random.random())
        self.name = name
        names = sorted(world.topics)
        self.topics = frozenset(self.random.sample(names, self.random.choice([1, 2, 3])))
        self.filtered = self.random.random() < 0.4
        self.gzip = self.random.random() < 0.5
        self.with_pipe = self.random.random() < 0.7
        self.slow = self.random.random() < 0.3
        self.since: int | None = None
        if self.random.random() < 0.5:
            self.since = world.clock.time - self.random.choice([0, 5, 30, 10**6])
        self.until: int | None = None
        if not world.recreates and self.random.random() < 0.2:
            self.until = world.clock.time + self.random.choice([-10, 5, 60])
            # Where the record that ends the range is compacted, one after it may be before `until` again.
            world.compacts = False
            if self.since is not None and self.until <= self.since:
                self.until = self.since + 1
        self.last_id: str | None = None
        self.places: dict[TopicPartition, Place] = {}
        self.received: list[int] = []
        self.before: set[int] = set()
        """What lies before the first position."""
        self.floor = 0
        """The earliest time in a first position that the log had not answered: partitions not in it begin there."""
        self.known = 0
        """How many records there were when the client first connected."""
        self.closed = False
        self.log: list[str] = []

    async def run(self) -> None:
        try:
            await self.read()
        except BaseException as error:
            error.add_note("\n".join([f"client {self.name} of {sorted(self.topics)}", *self.log[-30:]]))
            raise

    async def read(self) -> None:
        world = self.world
        while not world.ending.is_set():
            await self.connect()
            await asyncio.sleep(self.random.choice([0, 0.001, 0.01]))
        while not self.closed if self.until is not None else not self.complete():
            await self.connect(final=True)
        if self.until is not None:
            self.check_until()

    def complete(self) -> bool:
        """Whether the last event of every partition has come."""
        wanted = {records[-1].number for topic in self.topics for records in self.world.now(topic)}
        return wanted <= set(self.received)

    async def connect(self, final: bool = False) -> None:
        """One response, to its end or for a while."""
        limit = self.random.choice([None, None, 1, 7])
        if final:
            limit = None
        origin = Origin(since=self.since)
        if self.last_id is not None:
            origin = Origin(wishes=parse_position(self.last_id))
        selection = Selection(self.topics, EVEN if self.filtered else None)
        request = Request(selection, SSE, origin, self.until, limit, self.gzip)
        current = Session(self.world.services, request)
        outlet = FakeOutlet(self.gzip, self.with_pipe, at_once=not self.slow)
        self.log.append(f"connect {self.last_id or self.since} limit {limit}")
        seen = 0
        if self.last_id is None:
            self.known = len(self.world.numbers)
        try:
            if not await current.prepare():
                assert self.until is not None, "204 without `until`"
                self.closed = True
                await asyncio.sleep(0.005)
                return
            running = asyncio.create_task(current.run(outlet))
            stay = 2.0 if final else self.random.choice([0.0, 0.001, 0.01, 0.05])
            end = self.world.clock.monotonic() + stay
            events = 0
            while True:
                if self.slow:
                    await asyncio.wait({running}, timeout=self.random.choice([0.001, 0.005]))
                    outlet.drain()
                else:
                    await asyncio.wait({running}, timeout=0.002)
                for frame in outlet.frames[seen:]:
                    self.take(frame, seen == 0)
                    events += frame.event == "message" and frame.data is not None
                    seen += 1
                left = end - self.world.clock.monotonic()
                if running.done() or left <= 0 or (final and self.until is None and self.complete()):
                    break
            if not running.done():
                if self.random.random() < 0.5:
                    outlet.leave()
                else:
                    current.stop()
                    outlet.at_once = True
                    outlet.drain()
            await asyncio.wait_for(running, 2)
            outlet.drain()
            for frame in outlet.frames[seen:]:
                self.take(frame, seen == 0)
                events += frame.event == "message" and frame.data is not None
                seen += 1
            assert outlet.gone.done() or outlet.decoder.complete, "the compressed response has no end"
            if limit is not None:
                assert events <= limit
            if outlet.frames and outlet.frames[-1].event == "end":
                reason = outlet.frames[-1].document()["reason"]
                assert reason == "until" if self.until is not None and events != limit else reason == "limit"
            # A client that does not read holds one block beyond the limit, and the heartbeats.
            assert outlet.most_buffered <= live.BUFFER_LIMIT + 2000, "written to a client that lags"
        finally:
            current.close()

    def take(self, frame: Frame, opening: bool) -> None:
        self.log.append(f"{frame.event} {frame.identifier} {frame.data} {frame.comments}")
        assert frame.identifier, f"a frame without a position: {frame}"
        if opening and self.last_id is None:
            self.begin(frame.identifier)
        if opening:
            self.open_unnamed(frame.identifier)
            for entry in json.loads(frame.identifier):
                place = self.places.get(TopicPartition(entry["topic"], entry["partition"]))
                if place is not None and entry.get("offset", -1) < 0:
                    place.time = entry["timestamp"]
        self.last_id = frame.identifier
        if frame.data is None:
            return
        if frame.event == "message":
            self.take_event(frame.document(), json.loads(frame.identifier))
        elif frame.event == "gap":
            self.take_gap(frame.document())
        else:
            assert frame.event == "end", frame

    def begin(self, identifier: str) -> None:
        """The first position says what must come: nothing up to it, everything after it."""
        for entry in json.loads(identifier):
            partition = TopicPartition(entry["topic"], entry["partition"])
            lives = [
                parts[partition.partition] if partition.partition < len(parts) else []
                for parts in self.world.lives.get(partition.topic, [])
            ]
            place = self.places[partition] = Place(0, 0)
            if entry.get("offset", -1) >= 0:
                self.begin_after(lives, entry["offset"], entry["timestamp"])
                if not self.world.recreates and not self.world.by_timestamp and self.since is not None:
                    self.check_since(lives[0], entry["offset"])
                continue
            place.time = entry["timestamp"]
            for records in lives:
                index = next((at for at, stored in enumerate(records) if stored.timestamp >= place.time), len(records))
                for stored in records[index : index + entry.get("seen", 0)]:
                    index += stored.timestamp == place.time
                self.before.update(stored.number for stored in records[:index])
            self.floor = min(place.time, self.floor or place.time)

    def open_unnamed(self, identifier: str) -> None:
        """Partitions that the id sent did not name begin at the earliest time it named."""
        if self.last_id is None:
            return
        sent = json.loads(self.last_id)
        named = {(entry["topic"], entry["partition"]) for entry in sent}
        for entry in json.loads(identifier):
            partition = TopicPartition(entry["topic"], entry["partition"])
            if partition not in named:
                time = min(entry["timestamp"] for entry in sent)
                self.places.setdefault(partition, Place(0, 0, time=time))

    def begin_after(self, lives: list[list[Stored]], offset: int, timestamp: int) -> None:
        """Everything up to this record has been read, of all lives up to the one which it belongs to."""
        for life in reversed(range(len(lives))):
            held = any((stored.offset, stored.timestamp) == (offset, timestamp) for stored in lives[life])
            if held or not self.world.recreates:
                for records in lives[:life]:
                    self.before.update(stored.number for stored in records)
                self.before.update(stored.number for stored in lives[life] if stored.offset <= offset)
                return

    def check_since(self, records: list[Stored], offset: int) -> None:
        """The stream starts just at the first record at or after `since`."""
        assert self.since is not None
        first = next((stored for stored in records if stored.timestamp >= self.since and not stored.gone), None)
        assert first is None or first.offset > offset, f"`since` passed over {first}"
        for stored in records:
            if stored is first or stored.number >= self.known:
                break
            assert stored.offset <= offset or stored.gone, f"{stored} is before `since`"

    def take_event(self, event: dict[str, Any], position: list[dict[str, Any]]) -> None:
        number = event["n"]
        assert number not in self.received, f"{number} came twice"
        self.received.append(number)
        partition, life, index = self.world.numbers[number]
        stored = self.world.lives[partition.topic][life][partition.partition][index]
        assert partition.topic in self.topics
        assert stored.matches(self.filtered), f"{stored} does not match"
        [entry] = [one for one in position if (one["topic"], one["partition"]) == tuple(partition)]
        assert entry["timestamp"] == stored.timestamp
        assert entry.get("offset", stored.offset) == stored.offset
        assert self.until is None or stored.timestamp < self.until
        place = self.places.setdefault(partition, Place(0, 0, time=self.floor))
        assert number not in self.before, f"{stored} is not after the first position"
        assert (life, index) >= (place.life, place.index), f"{stored} of life {life} came after {place}"
        for missed in self.between(partition, place, life, index):
            too_old = place.time is not None and missed.timestamp < place.time
            assert missed.gone or too_old, f"{partition} {missed} never came, but {stored} did"
            if missed.gone == "expired" and not self.world.by_timestamp:
                assert place.told or place.time is not None, f"{partition} {missed} expired, and no gap was told"
        self.places[partition] = Place(life, index + 1)

    def between(self, partition: TopicPartition, place: Place, life: int, index: int) -> Iterator[Stored]:
        """The matching records from a place to an event."""
        for number in range(place.life, life + 1):
            parts = self.world.lives[partition.topic][number]
            records = parts[partition.partition] if partition.partition < len(parts) else []
            first = place.index if number == place.life else 0
            last = index if number == life else len(records)
            for stored in records[first:last]:
                if stored.matches(self.filtered) and stored.number not in self.before:
                    yield stored

    def take_gap(self, gap: dict[str, Any]) -> None:
        partition = TopicPartition(gap["topic"], gap["partition"])
        reason = gap["reason"]
        if partition in self.places:
            self.places[partition].told = True
        if reason == "expired":
            records = self.world.now(partition.topic)[partition.partition]
            # Between may be markers alone; nobody can tell them from records once both are gone.
            between = [stored for stored in records if gap["requested"] < stored.offset < gap["resumed"]]
            assert gap["requested"] + 1 < gap["resumed"], f"nothing is lost in {gap}"
            assert all(stored.gone for stored in between), f"not all is lost in {gap}"
        else:
            assert reason == "unknown", gap
            assert partition.topic in self.world.recreated, gap

    def check_until(self) -> None:
        """Everything before `until` has come."""
        assert self.until is not None
        for partition, place in self.places.items():
            records = self.world.now(partition.topic)[partition.partition]
            for stored in records[place.index :]:
                if stored.timestamp >= self.until and not stored.gone:
                    break
                if place.time is not None and stored.timestamp < place.time:
                    continue
                late = (
                    stored.number in self.before
                    or stored.timestamp >= self.until
                    or stored.gone
                    or not stored.matches(self.filtered)
                )
                assert late, f"{partition} {stored} is before `until` and never came"


async def run_world(seed: int) -> None:
    """One world from its begin to its end."""
    world = World(seed)
    background = [asyncio.create_task(world.hub.run()), asyncio.create_task(world.broadcast.beat())]
    running: list[asyncio.Task[None]] = []
    clients = [Client(world, name) for name in range(world.random.choice([2, 4, 6]))]
    try:
        if world.random.random() < 0.8:
            await world.hub.filled.wait()
        running = [asyncio.create_task(client.run()) for client in clients]
        for _ in range(world.random.choice([10, 40, 60])):
            world.step()
            await asyncio.sleep(world.random.choice([0, 0, 0.001, 0.004]))
        world.finish()
        waiting = asyncio.gather(*running)
        ended: list[asyncio.Future[Any]] = [waiting, *background]
        await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED)
        for task in background:
            if task.done():
                task.result()
        await waiting
    finally:
        for task in [*background, *running]:
            task.cancel()
            with suppress(BaseException):
                await task


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_every_client_gets_everything_once_and_in_order(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "IDLE_WAIT", 0.01)
    monkeypatch.setattr(hub_module, "RETRY_WAIT", (0.001, 0.01))
    monkeypatch.setattr(session, "RETRY_WAIT", 0.005)
    monkeypatch.setattr(session, "OPEN_WAIT", 0.2)
    monkeypatch.setattr(session, "WRITE_BYTES", 2000)
    monkeypatch.setattr(session, "TURN_RECORDS", 10)
    monkeypatch.setattr(live, "BUFFER_LIMIT", 1500)
    try:
        async with asyncio.timeout(LIMIT):
            await run_world(seed)
    except BaseException as error:
        error.add_note(f"seed {seed}")
        raise
