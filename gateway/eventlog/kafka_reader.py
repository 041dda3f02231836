"""Reads partitions of a Kafka cluster: a buffer for each, filled by requests in the background.

A request under way is a flight. One that waits for records stays up between two calls of `fetch`. Whatever fails only
shortens its flight; what it means is decided when the flight has landed, within `fetch`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping

from aiokafka.errors import for_code

from gateway.errors import LogError, LogUnavailable, OffsetOutOfRange, TopicAbsent
from gateway.event import TopicPartition
from gateway.eventlog.kafka_cluster import CLOSE_SECONDS, HEDGE_SECONDS, RETRY_SECONDS, Cluster, Topic
from gateway.eventlog.kafka_fetch import Fetched, FetchLimits, FetchRequest
from gateway.eventlog.kafka_flight import FetchConnections, Flight
from gateway.eventlog.kafka_records import PartitionBuffer
from gateway.eventlog.port import Batch

FETCH_BYTES = 4 * 1024 * 1024
"""The most that a broker sends in one response; a larger record comes alone."""

PARTITION_BYTES = 1024 * 1024
"""The most that a broker sends of one partition; a larger batch of records comes as the only one."""

AHEAD_BYTES = PARTITION_BYTES // 2
"""A partition is asked for more when less than this is left of what was fetched. So a partition holds at most this and
one response."""

LONG_POLL_SECONDS = 0.5
"""A broker waits so long for the first record."""

FETCH_SECONDS = 3.0
"""A broker that has not answered so long after it should have is away."""

FLIGHTS = 2
"""Requests to one broker at a time: the second where the first waits for other partitions than those wanted now."""

TROUBLE_SECONDS = 3.0
"""Partitions that none of the brokers has given for so long are unavailable; before that, an election may go on."""

OFFSET_OUT_OF_RANGE = 1
CORRUPT_MESSAGE = 2


class KafkaReader:
    """A LogReader over Kafka."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._connections = FetchConnections(cluster)
        self._buffers: dict[TopicPartition, PartitionBuffer] = {}
        self._bound: dict[str, Topic] = {}
        self._flights: list[Flight] = []
        self._stale: list[Flight] = []
        self._landing: asyncio.Future[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._errors: dict[TopicPartition, LogError] = {}
        self._trouble: dict[TopicPartition, tuple[float, LogUnavailable]] = {}
        self._unreachable: LogUnavailable | None = None

    @property
    def more(self) -> bool:
        """See LogReader."""
        return any(buffer.unfetched or buffer.position < buffer.ahead for buffer in self._buffers.values())

    async def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """See LogReader. Whether the partitions exist is told by `fetch`; a topic that is deleted and created again
        after this is another, and its partitions absent."""
        bound = await self._cluster.topics({topic for topic, _ in positions}) if positions else {}
        self._leave()
        self._bound = bound
        self._buffers = {partition: PartitionBuffer(partition, offset) for partition, offset in positions.items()}
        self._errors = {}
        self._trouble = {}
        self._unreachable = None
        self._launch(set())

    async def fetch(
        self, wait: float, max_records: int = 1000, partitions: Collection[TopicPartition] | None = None
    ) -> list[Batch]:
        """See LogReader. A record of several megabytes, or a group compressed together, is unpacked at once."""
        deadline = time.monotonic() + wait
        wanted = self._buffers.keys() if partitions is None else self._buffers.keys() & set(partitions)
        while True:
            failed = self._land()
            batches = self._take(wanted, max_records)
            if not batches:
                self._raise_errors(wanted)
                if failed:
                    self._raise_trouble(wanted)
            # Ahead of the next call only where there is more: what waited for the next record would bring that one
            # alone, however many have come by then. Where one partition has more, none is left out of the request.
            if not batches or self.more:
                self._launch(wanted)
            if batches:
                return batches
            left = deadline - time.monotonic()
            if left <= 0:
                self._raise_trouble(wanted)
                return []
            await self._wait(left)

    async def close(self) -> None:
        """See LogReader."""
        self._leave()
        flights, self._stale = self._stale, []
        tasks = [flight.task for flight in flights if flight.task is not None]
        for flight in flights:
            flight.cancel()
        closing = asyncio.gather(self._connections.close(), return_exceptions=True)
        await asyncio.wait([closing, *tasks], timeout=CLOSE_SECONDS)

    async def _wait(self, seconds: float) -> None:
        """Until a flight lands or should have, at most so long. One future and one timer: this is done for each lone
        event, and `asyncio.wait` with its callbacks needs one more turn of the loop."""
        loop = asyncio.get_running_loop()
        now = time.monotonic()
        for flight in self._flights:
            if flight.outcome is not None:  # what could not be sent has landed already
                return
            seconds = min(seconds, flight.deadline - now, flight.late - now)
        self._landing = loop.create_future()
        timer = loop.call_later(seconds, self._wake)
        try:
            await self._landing
        finally:
            timer.cancel()
            self._landing = None

    def _wake(self) -> None:
        if self._landing is not None and not self._landing.done():
            self._landing.set_result(None)

    def _take(self, wanted: Collection[TopicPartition], max_records: int) -> list[Batch]:
        """What was fetched; the partitions read go to the back of the queue, so that none starves."""
        batches = []
        for partition in [partition for partition in self._buffers if partition in wanted]:
            buffer = self._buffers[partition]
            if max_records > 0 and buffer.position < buffer.ahead:
                records = buffer.take(max_records)
                max_records -= len(records)
                batches.append(Batch(partition, records, buffer.position))
                self._buffers[partition] = self._buffers.pop(partition)
        return batches

    def _raise_errors(self, wanted: Collection[TopicPartition]) -> None:
        """Raise what has befallen a partition once all before it was taken; the next call asks the broker again."""
        for partition in wanted:
            if error := self._errors.pop(partition, None):
                raise error

    def _raise_trouble(self, wanted: Collection[TopicPartition]) -> None:
        """Raise where nothing can be learnt of any of the partitions: no broker answers, or none has for a while."""
        if not wanted or any(partition not in self._trouble for partition in wanted):
            return
        since, error = min((self._trouble[partition] for partition in wanted), key=lambda trouble: trouble[0])
        if self._unreachable is not None:
            raise LogUnavailable(str(self._unreachable)) from self._unreachable
        if time.monotonic() - since > TROUBLE_SECONDS:
            raise LogUnavailable(str(error)) from error

    # Flights.

    def _launch(self, wanted: Collection[TopicPartition]) -> None:
        """Send requests for the partitions of which little is left and none is under way."""
        flying = {partition for flight in self._flights for partition in flight.offsets}
        hungry: dict[int | None, dict[TopicPartition, int]] = {}
        for partition, buffer in self._buffers.items():
            if buffer.size < AHEAD_BYTES and partition not in flying and partition not in self._errors:
                hungry.setdefault(self._leader(partition), {})[partition] = buffer.ahead
        at_once = any(self._buffers[partition].size for partition in wanted)
        for node, offsets in hungry.items():
            others = sum(flight.node == node for flight in self._flights)
            starving = any(partition in wanted and not self._buffers[partition].size for partition in offsets)
            if others == 0 or (starving and others < FLIGHTS):
                flight = Flight(node, offsets, self._wake)
                self._flights.append(flight)
                if node is None:
                    flight.run(self._look(offsets))
                else:
                    self._read(flight, node, 0.0 if at_once else LONG_POLL_SECONDS)

    def _leader(self, partition: TopicPartition) -> int | None:
        """The node to ask; None where the metadata has to be asked for first."""
        bound = self._bound.get(partition.topic)
        known = self._cluster.cached(partition.topic)
        if bound is None or known is None or known.topic_id != bound.topic_id:
            return None
        return known.leaders.get(partition.partition)

    async def _look(self, offsets: Mapping[TopicPartition, int]) -> dict[str, Topic]:
        """Metadata, not too often: this is the way of all that fails."""
        if any(partition in self._trouble for partition in offsets):
            await asyncio.sleep(RETRY_SECONDS)
        return await self._cluster.refresh({topic for topic, _ in offsets})

    def _watch(self, flight: Flight) -> None:
        """Look whether the node still leads: one that hangs says nothing, and the others elect another meanwhile."""
        flight.late = time.monotonic() + HEDGE_SECONDS
        if flight.node is not None and self._watching is None:
            self._watching = asyncio.create_task(self._look_after(flight, flight.node))

    async def _look_after(self, flight: Flight, node: int) -> None:
        try:
            await self._cluster.refresh({topic for topic, _ in flight.offsets})
        except LogUnavailable:
            return
        finally:
            if self._watching is asyncio.current_task():
                self._watching = None
        if not self._cluster.leads(node, flight.offsets):
            flight.cancel()

    def _ids(self, offsets: Mapping[TopicPartition, int]) -> dict[str, bytes]:
        return {topic: self._bound[topic].topic_id for topic, _ in offsets}

    def _read(self, flight: Flight, node: int, wait: float) -> None:
        """Ask a node for records, which may wait for the first of them (seconds)."""
        limits = FetchLimits(int(wait * 1000), FETCH_BYTES, PARTITION_BYTES)
        request = FetchRequest(flight.offsets, self._ids(flight.offsets), limits)
        self._connections.send(node, request, flight, wait, FETCH_SECONDS)

    def _land(self) -> bool:
        """Take in what the flights have brought; whether any of them failed."""
        failed = False
        now = time.monotonic()
        for flight in self._flights[:]:
            if flight.outcome is None:
                if now < flight.deadline:
                    if now >= flight.late:
                        self._watch(flight)
                    continue
                flight.cancel()
            self._flights.remove(flight)
            outcome = flight.outcome
            if isinstance(outcome, LogUnavailable):
                failed = True
                self._fail(flight, outcome)
            elif isinstance(outcome, BaseException):
                raise outcome
            elif flight.node is None:
                failed = self._land_metadata(flight, outcome) or failed
            else:
                failed = self._land_records(outcome) or failed
        return failed

    def _land_metadata(self, flight: Flight, topics: Mapping[str, Topic]) -> bool:
        self._unreachable = None
        leaderless = False
        for partition in flight.offsets:
            found = topics.get(partition.topic)
            bound = self._bound.setdefault(partition.topic, found) if found is not None else None
            exists = found is not None and bound is not None and found.topic_id == bound.topic_id
            if found is None or not exists or partition.partition not in found.leaders:
                self._errors[partition] = TopicAbsent(partition.topic)
            elif found.leaders[partition.partition] is None:
                leaderless = True
                self._note(partition, LogUnavailable(f"Kafka: {partition.topic}/{partition.partition} has no leader"))
        return leaderless

    def _land_records(self, results: list[Fetched]) -> bool:
        failed = False
        for fetched in results:
            partition = fetched.partition
            buffer = self._buffers[partition]
            error = fetched.error
            if error == 0 and not buffer.add(fetched):
                error = CORRUPT_MESSAGE
            if error:
                buffer.unfetched = False
            if error == 0:
                self._trouble.pop(partition, None)
            elif error == OFFSET_OUT_OF_RANGE:
                self._trouble.pop(partition, None)
                self._errors[partition] = OffsetOutOfRange(partition.topic, partition.partition, buffer.ahead)
            else:
                failed = True
                self._cluster.forget([partition.topic])
                name = for_code(error).__name__
                self._note(partition, LogUnavailable(f"Kafka: {partition.topic}/{partition.partition}: {name}"))
        return failed

    def _fail(self, flight: Flight, error: LogUnavailable) -> None:
        self._cluster.forget({topic for topic, _ in flight.offsets})
        for partition in flight.offsets:
            self._buffers[partition].unfetched = False
            self._note(partition, error)
        if flight.node is None:
            self._unreachable = error

    def _note(self, partition: TopicPartition, error: LogUnavailable) -> None:
        since = self._trouble.get(partition, (time.monotonic(), error))[0]
        self._trouble[partition] = (since, error)

    def _leave(self) -> None:
        """Let go of the flights; their connections come back when they land, those of too many are closed."""
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None
        for flight in self._flights:
            flight.abandon()
        flying = [flight for flight in (*self._stale, *self._flights) if flight.flying]
        self._flights = []
        self._stale = flying[-FLIGHTS:]
        for flight in flying[:-FLIGHTS]:
            flight.cancel()
