"""A client: it subscribes to something, over many connections to any of the processes, with nothing but its last id."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

import orjson

from gateway.model.record import TopicPartition
from tests.simulation.connection import Connection
from tests.simulation.frames import Decoder, Frame
from tests.simulation.location import Wanted
from tests.simulation.loop import whereabouts
from tests.simulation.oracle import Oracle
from tests.simulation.process import Process
from tests.simulation.truth import Stored

if TYPE_CHECKING:
    from tests.simulation.world import World

LONGEST_END = 30.0
"""Seconds after which a response whose client has left, or which was told to stop, hangs."""


TRACE = 25
"""What is remembered of a client for whoever looks into a failure: so many things that happened to it."""
LONGEST_LINE = 1000


@dataclass(frozen=True, slots=True)
class Choice:
    """A filter in CEL, and the same in Python."""

    text: str
    matches: Callable[[Stored], bool]


def is_last(stored: Stored) -> bool:
    """Whether this is one of the last events, for which every filter asks."""
    assert stored.event is not None
    return bool(stored.event["last"])


def is_german(stored: Stored) -> bool:
    """Whether the event is of one wiki."""
    assert stored.event is not None
    return bool(stored.event["wiki"] == "de")


FILTERS = (
    Choice("event.n % 2 == 0 || event.last", lambda one: one.number % 2 == 0 or is_last(one)),
    Choice("event.wiki == 'de' || event.last", lambda one: is_german(one) or is_last(one)),
    Choice("timestamp % 3 == 0 || event.last", lambda one: one.timestamp % 3 == 0 or is_last(one)),
    Choice(
        "topic == 'alpha' && partition == 0 || offset % 5 == 1 || event.last",
        lambda one: tuple(one.partition) == ("alpha", 0) or one.offset % 5 == 1 or is_last(one),
    ),
    Choice("key == 'a' || event.last", lambda one: one.number % 4 == 1 or is_last(one)),
    Choice("event.last", is_last),
)
FIELDS = ("n", "n,last", "n,wiki,absent")


class Client:
    """One reader over many connections."""

    def __init__(self, world: World, name: int, plain: bool = False) -> None:
        self.world = world
        self.name = name
        self.random = random = Random(f"{world.seed} client {name}")
        # Most of them ask for the same, so that they share a feed.
        taste = Random(f"{world.seed} taste {0 if random.random() < 0.6 else name}")
        names = sorted(world.streams)
        self.streams = taste.sample(names, taste.choice([1, 1, 2, 3]))
        self.filter = taste.choice(FILTERS) if taste.random() < 0.5 else None
        self.fields = taste.choice(FIELDS) if taste.random() < 0.2 else None
        self.canary = taste.random() < 0.2
        self.lines = random.random() < 0.1
        self.speed = "prompt" if plain else random.choice(["prompt", "prompt", "slow", "stuck"])
        self.since: int | None = None
        if random.random() < 0.5:
            self.since = world.moment(random) - random.choice([0, 5, 500, 5000, 10**9])
        self.until: int | None = None
        if world.may_end and not self.lines and not plain and random.random() < 0.15:
            self.until = world.moment(random) + random.choice([-1000, 0, 0, 500, 5000, 20000])
            if self.since is not None:
                self.until = max(self.until, self.since + 1)
        if world.ranges and not self.lines and not plain and random.random() < 0.6:
            self.until = world.clock.now() + random.choice([1000, 3000, 8000])
        self.identifier: str | None = None
        self.closed = False
        """Whether the range of the client was said to be finished."""
        self.connection: Connection | None = None
        self.trace: deque[str] = deque(maxlen=TRACE)
        self.events = 0
        self._fresh = True
        self._widened: list[str] = []
        self.oracle = self._new_oracle()

    def __repr__(self) -> str:
        what = {"filter": self.filter and self.filter.text, "fields": self.fields, "since": self.since}
        told = {name: value for name, value in {**what, "until": self.until}.items() if value}
        kind = "lines" if self.lines else "events"
        return f"<client {self.name}, {self.speed}, {kind} of {','.join(self.streams)} {told}>"

    def _new_oracle(self) -> Oracle:
        overlap = max(self.world.streams[name].resume_overlap for name in self.world.streams)
        wanted = Wanted(self._matches, self._data, self.since, self.until, overlap)
        return Oracle(self.world.truth, wanted, self.world.by_timestamp)

    @property
    def topics(self) -> set[str]:
        return {topic for name in self.streams for topic in self.world.streams[name].topics}

    def _matches(self, stored: Stored) -> bool:
        if stored.event is None or stored.partition.topic not in self.topics:
            return False
        if "meta" in stored.event and not self.canary:
            return False
        return self.filter is None or self.filter.matches(stored)

    def _data(self, stored: Stored) -> Any:
        if self.fields is None:
            return stored.data
        assert stored.event is not None
        kept = {*self.fields.split(","), "meta", "$schema"}
        return orjson.dumps({name: value for name, value in stored.event.items() if name in kept})

    @property
    def complete(self) -> bool:
        """Whether everything that must come has come."""
        if self.until is not None:
            return self.closed
        return not self.missing

    @property
    def missing(self) -> list[TopicPartition]:
        """The partitions of which something has not come."""
        partitions = [partition for partition in self.world.truth.partitions() if partition.topic in self.topics]
        return [partition for partition in partitions if self.oracle.owes(partition)]

    def tell(self, what: str) -> None:
        """Remember what happened, for whoever looks into a failure, and for the digest of the run."""
        self.trace.append(f"{self.world.loop.time():.4f} {what[:LONGEST_LINE]}")
        self.world.note(self.name, what)

    async def run(self) -> None:
        """Connect, stay, leave, and again, until the world says that it is enough."""
        try:
            await asyncio.sleep(self.random.choice([0.0, 0.0, 1.0, 5.0]))
            while not self.world.over:
                await self._connect()
                if self.closed:
                    return
                if not self.world.over:
                    await asyncio.sleep(self.random.choice([0.0, 0.0, 0.05, 1.0]))
        except Exception as error:
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        self.world.fail(error, self)

    def _query(self, process: Process) -> tuple[dict[str, str], dict[str, str], int | None]:
        limit = self.random.choice([None, None, None, 1, 5]) if not self.world.calm else None
        query: dict[str, str] = {}
        headers = {"accept": "application/x-ndjson" if self.lines else "text/event-stream"}
        if self.filter is not None:
            query["filter"] = self.filter.text
        if self.fields is not None:
            query["fields"] = self.fields
        if self.canary:
            query["canary"] = "true"
        if self.since is not None:
            query["since"] = str(self.since)
        if self.until is not None:
            query["until"] = str(self.until)
        if limit is not None:
            query["limit"] = str(limit)
        if self.random.random() < self.world.compression:
            headers["accept-encoding"] = "gzip"
        if self.identifier is not None:
            if self.random.random() < 0.8:
                headers["last-event-id"] = self.identifier
            else:
                query["last_event_id"] = self.identifier
        return query, headers, limit

    async def _connect(self) -> None:
        process = self.random.choice(self.world.processes)
        if self.lines:
            # Nothing to resume with: another beginning.
            self.oracle = self._new_oracle()
        elif self.identifier is not None and self.random.random() < 0.03 and not self.world.calm:
            self._widen()
        query, headers, limit = self._query(process)
        decoder = Decoder(headers.get("accept-encoding") == "gzip", self.lines)
        self._fresh = True
        self.events = 0
        asked = self.world.clock.now()
        began = self.world.loop.time()
        self.oracle.connect(process.held_from(), lambda partition: process.log.was_sick(partition, began))

        def read(data: bytes) -> None:
            try:
                for frame in decoder.feed(data):
                    self._take(frame, asked)
            except Exception as error:
                self.fail(error)

        prompt = self.speed == "prompt" or self.world.calm
        connection = self.connection = Connection(process, self.random.random() < 0.8, read if prompt else None)
        gzip = " gzip" if "accept-encoding" in headers else ""
        self.tell(f"connect to {process.name}{gzip} limit {limit} with {self.identifier}")
        self._lost_before = self._lost()
        connection.request(",".join(self.streams), query, headers)
        assert connection.task is not None
        try:
            await self._stay(connection, read)
            await self._leave(connection, process, read)
            self._check_response(connection, decoder, limit)
        finally:
            connection.lose()
            self.connection = None

    def _widen(self) -> None:
        """Ask for one stream more from now on."""
        others = [name for name in sorted(self.world.streams) if name not in self.streams]
        if others and self.until is None:
            self.streams.append(self.random.choice(others))

    async def _stay(self, connection: Connection, read: Callable[[bytes], None]) -> None:
        """Read for a while, or until the response ends."""
        assert connection.task is not None
        stay = self.random.choice([0.0, 0.01, 0.3, 2.0, 8.0])
        end = self.world.loop.time() + stay
        while not connection.task.done() and not connection.lost and not self.world.over:
            left = end - self.world.loop.time()
            if left <= 0 and not (self.world.calm and connection.status):
                break
            pace = 0.05 if self.world.calm else {"prompt": 0.5, "slow": 0.05, "stuck": 3.0}[self.speed]
            await asyncio.wait({connection.task}, timeout=pace if self.world.calm else max(0.001, min(pace, left)))
            if connection.unsent:
                read(connection.take(self.random.choice([200, 3000, 10**6]) if not self.world.calm else 10**9))

    async def _leave(self, connection: Connection, process: Process, read: Callable[[bytes], None]) -> None:
        """Break the connection, or see the server end it; either way the response ends soon."""
        task = connection.task
        assert task is not None
        if not task.done() and not connection.lost:
            if self.random.random() < 0.6:
                if connection.unsent and self.random.random() < 0.5:
                    # Cut in the middle of a frame.
                    read(connection.take(self.random.randrange(connection.unsent)))
                connection.lose()
            else:
                for session in list(process.endpoint.sessions):
                    if session.writer.sink.transport is connection:
                        session.stop()
                        break
                else:
                    connection.lose()
        deadline = self.world.loop.time() + LONGEST_END
        while not task.done():
            assert self.world.loop.time() < deadline, f"the response does not end: {whereabouts(task)}"
            await asyncio.wait({task}, timeout=0.2)
            if connection.unsent:
                read(connection.take(10**9))
        if connection.unsent:
            read(connection.take(10**9))
        if not task.cancelled():
            task.result()

    def _check_response(self, connection: Connection, decoder: Decoder, limit: int | None) -> None:
        assert connection.task is not None
        if connection.status == 204:
            assert self.until is not None, "204 without `until`"
            self.closed = True
            self.oracle.check_finished(later=True)
            self.tell("204")
            return
        if connection.status == 404:
            self._begin_anew()
            return
        cut = connection.task.cancelled() or connection.lost
        assert connection.status == 200 or (cut and not connection.status), f"status {connection.status}"
        assert limit is None or self.events <= limit, f"{self.events} events for a limit of {limit}"
        if connection.ended and not cut:
            assert decoder.complete, "the compressed response has no end"

    def _lost(self) -> list[TopicPartition]:
        """The partitions named that a topic no longer has; one that is deleted may have any when it comes back."""
        truth = self.world.truth
        return [
            partition
            for partition in self.oracle.last
            if partition.topic in truth.existing and truth.part(partition) is None
        ]

    def _begin_anew(self) -> None:
        """The position named a partition that is no more: its topic was created again with fewer."""
        assert self._lost_before or self._lost(), "404, and all partitions named are there"
        self.tell("404")
        self.identifier = None
        self.oracle = self._new_oracle()

    def _take(self, frame: Frame, asked: int) -> None:
        self.tell(f"{frame.event} {frame.identifier} {frame.data!r}")
        assert frame.event in ("message", "gap", "end"), f"{frame.event}: {frame.data!r}"
        if self._fresh:
            self._fresh = False
            if self.lines:
                wanted = [partition for partition in self.world.truth.partitions() if partition.topic in self.topics]
                self.oracle.open_blind(wanted, asked)
            elif self.identifier is None:
                self.oracle.open_first(frame.entries)
            else:
                self.oracle.open_again(frame.entries)
        if frame.entries:
            self.identifier = frame.identifier
        self.oracle.take(frame)
        self.world.gaps += frame.event == "gap"
        if frame.event == "message" and frame.data is not None:
            self.events += 1
            self.world.delivered += 1
