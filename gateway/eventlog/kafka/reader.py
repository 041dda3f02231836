"""Reads partitions of a Kafka cluster: a buffer for each, filled by requests in the background.

A request under way is a flight. One that waits for records stays under way between two calls of `fetch`. A failure
only ends it earlier. Its meaning is decided within `fetch`, when the flight is finished.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping

from gateway.cooperative import PromptFuture, give_way
from gateway.errors import LogUnavailable
from gateway.eventlog.kafka.cluster import CLOSE_SECONDS, HEDGE_SECONDS, RETRY_SECONDS, Cluster, Topic
from gateway.eventlog.kafka.codecs import EXPANDED_BYTES
from gateway.eventlog.kafka.fetch import NO_EPOCH, Fetched, FetchLimits, FetchPosition, FetchRequest
from gateway.eventlog.kafka.flight import FetchConnections, Flight
from gateway.eventlog.kafka.records import PartitionBuffer
from gateway.eventlog.kafka.trouble import no_leader, trouble_of
from gateway.eventlog.kafka.troubles import Troubles
from gateway.eventlog.port import FETCH_BYTES, NO_STAMP, NO_STAMPS, Batch, part_of
from gateway.eventlog.trouble import LASTING, Kind, Refusal, Trouble, absent, cut_back, out_of_range
from gateway.model.record import TopicPartition

RESPONSE_BYTES = 4 * 1024 * 1024
"""The most that a broker sends in one response; a larger record comes alone."""

PARTITION_BYTES = 1024 * 1024
"""The most that a broker sends of one partition; a larger batch of records comes as the only one."""

AHEAD_BYTES = PARTITION_BYTES // 2
"""A partition is asked for more when less than this is left of what was fetched. So a partition holds at most this and
one response."""

MOST_AHEAD_BYTES = 16 * 1024 * 1024
"""If all partitions together hold this many bytes, only wanted ones with nothing left are fetched."""

LONG_POLL_SECONDS = 0.5
"""Seconds that a broker waits for the first record."""

AT_ONCE = FetchLimits(0, RESPONSE_BYTES, PARTITION_BYTES)
PATIENTLY = FetchLimits(int(LONG_POLL_SECONDS * 1000), RESPONSE_BYTES, PARTITION_BYTES)

FETCH_SECONDS = 3.0
"""Seconds after its due time until a silent broker is away."""

FLIGHTS = 2
"""Requests to one broker at a time: the second where the first waits for other partitions than those wanted now."""

OFFSET_OUT_OF_RANGE = 1


class KafkaReader:
    """A LogReader over Kafka."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._connections = FetchConnections(cluster)
        self._buffers: dict[TopicPartition, PartitionBuffer] = {}
        self._bound: dict[str, Topic] = {}
        self._flights: list[Flight] = []
        self._stale: list[Flight] = []
        self._waiter: PromptFuture | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watching: asyncio.Task[None] | None = None
        self._troubles = Troubles()
        self.starts: dict[TopicPartition, int] = {}
        """See LogReader."""

    @property
    def more(self) -> bool:
        """See LogReader."""
        # A loop and no `any`, here and below: it takes half the time, several times for each lone event.
        for buffer in self._buffers.values():  # noqa: SIM110
            if buffer.unfetched or buffer.position < buffer.ahead:
                return True
        return False

    async def assign(
        self, positions: Mapping[TopicPartition, int], stamps: Mapping[TopicPartition, int] = NO_STAMPS
    ) -> None:
        """See LogReader. `fetch` shows whether the partitions exist. A topic that is deleted and recreated
        afterwards is another one, and its partitions are absent."""
        bound = await self._cluster.topics({topic for topic, _ in positions}) if positions else {}
        self._leave()
        self._bound = bound
        self._buffers = {
            partition: PartitionBuffer(partition, offset, stamps.get(partition, NO_STAMP))
            for partition, offset in positions.items()
        }
        self.starts = {}
        self._troubles = Troubles()
        self._request_more(self._buffers.keys())

    async def add(
        self, positions: Mapping[TopicPartition, int], stamps: Mapping[TopicPartition, int] = NO_STAMPS
    ) -> None:
        """See LogReader. Fetches for other partitions continue."""
        # Nobody else reads these: which topics they are by now is learnt anew.
        unread = {topic for topic, _ in positions} - {topic for topic, _ in self._buffers.keys() - positions.keys()}
        bound = await self._cluster.topics(unread) if unread else {}
        for topic in unread:
            self._bound.pop(topic, None)
        self._bound |= bound
        for partition, offset in positions.items():
            self._drop(partition)
            self._buffers[partition] = PartitionBuffer(partition, offset, stamps.get(partition, NO_STAMP))

    def _drop(self, partition: TopicPartition) -> None:
        """Read a partition no further; what is under way for it is of no interest."""
        self._buffers.pop(partition, None)
        self.starts.pop(partition, None)
        self._troubles.drop(partition)

    async def fetch(
        self,
        wait: float,
        max_records: int = 1000,
        partitions: Collection[TopicPartition] | None = None,
        max_bytes: int = FETCH_BYTES,
    ) -> list[Batch | Refusal]:
        """See LogReader. A record of several megabytes, or a group compressed together, is unpacked at once."""
        deadline = time.monotonic() + wait
        wanted: Collection[TopicPartition] = self._buffers.keys()
        if partitions is not None:
            wanted = self._buffers.keys() & set(partitions)
        if wait <= 0 or self._has_something(wanted):
            await give_way()
        while True:
            failed = self._collect()
            found = self._take(wanted, max_records, max_bytes)
            found += self._refusals(wanted)
            if failed and not found:
                self._troubles.raise_unreachable(wanted)
            # Ahead of the next call only where there is more: what waited for the next record would bring that one
            # alone, however many have come by then. Where one partition has more, none is left out of the request.
            if not found or self.more:
                self._request_more(wanted)
            if found:
                return found
            left = deadline - time.monotonic()
            if left <= 0:
                self._troubles.raise_unreachable(wanted)
                return []
            await self._wait(left)

    def _has_something(self, wanted: Collection[TopicPartition]) -> bool:
        """Whether there is something to look at before anything is waited for."""
        return any(flight.outcome is not None for flight in self._flights) or any(map(self._has_records, wanted))

    async def close(self) -> None:
        """See LogReader."""
        self._stop_timer()
        self._leave()
        flights, self._stale = self._stale, []
        tasks = [flight.task for flight in flights if flight.task is not None]
        for flight in flights:
            flight.cancel()
        closing = asyncio.gather(self._connections.close(), return_exceptions=True)
        await asyncio.wait([closing, *tasks], timeout=CLOSE_SECONDS)

    async def _wait(self, seconds: float) -> None:
        """Wait until a flight is finished or overdue, or for about this many seconds; never at once. It goes on within
        the callback that brings the answer: a lone event needs no further turn of the loop. The timer stays for the
        next wait, and may end it early."""
        loop = asyncio.get_running_loop()
        now = time.monotonic()
        for flight in self._flights:
            if flight.outcome is not None:  # what could not be sent is finished already
                await give_way()
                return
            seconds = min(seconds, flight.deadline - now, flight.late - now)
        due = loop.time() + seconds
        if self._timer is None or self._timer.when() > due:
            self._stop_timer()
            self._timer = loop.call_at(due, self._ring)
        self._waiter = PromptFuture(loop=loop)
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _ring(self) -> None:
        self._timer = None
        self._wake()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        if self._waiter is not None:
            self._waiter.go()

    def _take(self, wanted: Collection[TopicPartition], max_records: int, max_bytes: int) -> list[Batch | Refusal]:
        """The fetched records. The partitions read go to the back of the queue, so that none starves."""
        found: list[Batch | Refusal] = []
        expanded = 0
        ready = []
        for partition, buffer in self._buffers.items():
            if buffer.position < buffer.ahead:
                if partition in wanted:
                    if self._has_records(partition):
                        ready.append(partition)
                elif buffer.expanded:
                    buffer.fold()
                expanded += buffer.expanded
        if not ready:
            return found
        for index, partition in enumerate(ready):
            if max_records <= 0 or max_bytes <= 0:
                break
            buffer = self._buffers[partition]
            before, among = buffer.position, len(ready) - index
            expanded -= buffer.expanded
            records, size, wrong = buffer.take(
                part_of(max_records, among), part_of(max_bytes, among), expand=expanded < EXPANDED_BYTES
            )
            expanded += buffer.expanded
            if wrong is not None:
                self._troubles.end(partition, wrong)
            max_records -= len(records)
            max_bytes -= size
            if buffer.position > before:
                found.append(Batch(partition, records, buffer.position, buffer.stamp))
                self._buffers[partition] = self._buffers.pop(partition)
        return found

    def _has_records(self, partition: TopicPartition) -> bool:
        buffer, trouble = self._buffers[partition], self._troubles.lasting(partition)
        return buffer.position < buffer.ahead and (trouble is None or trouble.offset != buffer.position)

    def _refusals(self, wanted: Collection[TopicPartition]) -> list[Batch | Refusal]:
        """Those that are read no further, since something has befallen them, or since nobody has given them for a
        while, though brokers answer."""
        found: list[Batch | Refusal] = []
        if not self._troubles:
            return found
        now = time.monotonic()
        for partition in [partition for partition in self._buffers if partition in wanted]:
            buffer = self._buffers[partition]
            trouble = self._troubles.due(partition, now)
            unread = buffer.position < buffer.ahead and (trouble is None or trouble.offset != buffer.position)
            if trouble is not None and not unread:
                self._drop(partition)
                found.append(Refusal(partition, trouble))
        return found

    # Flights.

    def _request_more(self, wanted: Collection[TopicPartition]) -> None:
        """Send requests for the partitions of which little is left and none is under way. Those that are not wanted
        now are asked ahead only where they are known to have more. Otherwise each of their records would end the wait
        for those that are."""
        requested: set[TopicPartition] = set()
        for flight in self._flights:
            requested.update(flight.positions)
        due: dict[int | None, dict[TopicPartition, FetchPosition]] = {}
        held = sum([buffer.size for buffer in self._buffers.values()])
        for partition, buffer in self._buffers.items():
            full = buffer.size >= AHEAD_BYTES or (held >= MOST_AHEAD_BYTES and (buffer.size or partition not in wanted))
            idle = partition not in wanted and not buffer.unfetched
            if not full and not idle and partition not in requested and self._troubles.lasting(partition) is None:
                node, epoch = self._leader(partition)
                due.setdefault(node, {})[partition] = FetchPosition(buffer.ahead, buffer.epoch, epoch)
        at_once = held > 0 and any(buffer.size for partition, buffer in self._buffers.items() if partition in wanted)
        for node, positions in due.items():
            others = [flight.node for flight in self._flights].count(node)
            if not others or (others < FLIGHTS and self._is_urgent(positions, wanted)):
                flight = Flight(node, positions, self._wake)
                self._flights.append(flight)
                if node is None:
                    flight.run(self._look(positions))
                else:
                    self._read(flight, node, 0.0 if at_once else LONG_POLL_SECONDS)

    def _is_urgent(self, partitions: Collection[TopicPartition], wanted: Collection[TopicPartition]) -> bool:
        """Whether nothing is left of one that is wanted."""
        return any(partition in wanted and not self._buffers[partition].size for partition in partitions)

    def _leader(self, partition: TopicPartition) -> tuple[int | None, int]:
        """The node to ask, and the epoch in which it was elected; None where the metadata has to be asked for first."""
        bound = self._bound.get(partition.topic)
        known = self._cluster.cached(partition.topic)
        if bound is None or known is None or known.topic_id != bound.topic_id:
            return None, NO_EPOCH
        return known.leaders.get(partition.partition), known.epochs.get(partition.partition, NO_EPOCH)

    async def _look(self, partitions: Collection[TopicPartition]) -> dict[str, Topic]:
        """Metadata, not too often: this is the way of all that fails."""
        if any(map(self._troubles.is_failing, partitions)):
            await asyncio.sleep(RETRY_SECONDS)
        return await self._cluster.refresh({topic for topic, _ in partitions})

    def _watch(self, flight: Flight) -> None:
        """Look whether the node still leads: one that hangs says nothing, and the others elect another meanwhile."""
        flight.late = time.monotonic() + HEDGE_SECONDS
        if flight.node is not None and self._watching is None:
            self._watching = asyncio.create_task(self._look_after(flight, flight.node))

    async def _look_after(self, flight: Flight, node: int) -> None:
        try:
            await self._cluster.refresh({topic for topic, _ in flight.positions})
        except LogUnavailable:
            return
        finally:
            if self._watching is asyncio.current_task():
                self._watching = None
        if not self._cluster.leads(node, flight.positions):
            flight.cancel()

    def _ids(self, partitions: Collection[TopicPartition]) -> dict[str, bytes]:
        return {topic: self._bound[topic].topic_id for topic, _ in partitions}

    def _read(self, flight: Flight, node: int, wait: float) -> None:
        """Ask a node for records, which may wait for the first of them (seconds)."""
        limits = AT_ONCE if not wait else PATIENTLY
        request = FetchRequest(flight.positions, self._ids(flight.positions), limits)
        self._connections.send(node, request, flight, wait, FETCH_SECONDS)

    def _collect(self) -> bool:
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
                failed = self._collect_metadata(flight, outcome) or failed
            else:
                failed = self._collect_records(flight, outcome) or failed
        return failed

    def _collect_metadata(self, flight: Flight, topics: Mapping[str, Topic]) -> bool:
        self._troubles.answered()
        failed = False
        for partition in flight.positions.keys() & self._buffers.keys():
            topic, number = partition
            found = topics.get(topic)
            bound = self._bound.setdefault(topic, found) if found is not None else None
            exists = found is not None and bound is not None and found.topic_id == bound.topic_id
            trouble: Trouble | None = None
            if found is None or not exists or number not in found.leaders:
                trouble = (self._cluster.refused(topic) if found is None else None) or absent(topic)
            elif found.leaders[number] is None:
                trouble = no_leader(topic, number)
            if trouble is not None:
                failed = True
                self._note(partition, trouble)
        return failed

    def _collect_records(self, flight: Flight, results: list[Fetched]) -> bool:
        failed = False
        for fetched in results:
            partition = fetched.partition
            buffer = self._buffers.get(partition)
            if buffer is None or flight.positions[partition][:2] != (buffer.ahead, buffer.epoch):
                continue  # It was dropped, or added anew, while this was under way.
            trouble = self._take_in(buffer, fetched)
            if trouble is None:
                self._troubles.heal(partition)
                continue
            buffer.unfetched = False
            self._note(partition, trouble)
            if trouble.kind not in LASTING:
                failed = True
                self._cluster.forget([partition.topic])
        return failed

    def _take_in(self, buffer: PartitionBuffer, fetched: Fetched) -> Trouble | None:
        """Put what a broker answered into the buffer; or what it means, where that is no records."""
        partition = fetched.partition
        if fetched.error == OFFSET_OUT_OF_RANGE and buffer.epoch != NO_EPOCH:
            # The offset may be there, and what is not known be the epoch: the answer is the same.
            buffer.drop()
            buffer.stamp = buffer.epoch = NO_EPOCH
            buffer.doubted = True
            return None
        if fetched.error == OFFSET_OUT_OF_RANGE:
            return out_of_range(partition, buffer.ahead)
        if fetched.error:
            return trouble_of(fetched.error, f"{partition.topic}/{partition.partition}")
        if buffer.doubted:
            return cut_back(partition, -1)
        if fetched.cut is not None:
            return self._take_cut(partition, buffer, *fetched.cut)
        if fetched.start >= 0:
            # Only now: where the log begins shows the hub that it is still the one that was read.
            self.starts[partition] = fetched.start
        wrong = buffer.add(fetched)
        if not fetched.traced or (fetched.records and wrong is None and buffer.epoch == NO_EPOCH):
            self._cluster.tell_untraced(f"{partition.topic}/{partition.partition}")
        return wrong

    @staticmethod
    def _take_cut(partition: TopicPartition, buffer: PartitionBuffer, epoch: int, offset: int) -> Trouble | None:
        """What it means that the log has nothing of the epoch that was read last, and that the epoch before it ends at
        the offset."""
        known, unread = 0 <= offset < buffer.ahead, buffer.position < buffer.ahead
        buffer.drop()
        if known:
            # What was not handed over yet is read again, and nobody is the wiser.
            return cut_back(partition, offset, epoch) if offset < buffer.position else None
        # After a second election, the earlier epoch may be longer by now than what was read. Somewhere below, the log
        # differs. First it is asked again about what was handed over.
        return None if unread else cut_back(partition, -1)

    def _fail(self, flight: Flight, error: LogUnavailable) -> None:
        self._cluster.forget({topic for topic, _ in flight.positions})
        for partition in flight.positions.keys() & self._buffers.keys():
            self._buffers[partition].unfetched = False
            self._note(partition, Trouble(Kind.UNAVAILABLE, str(error)))
        if flight.node is None:
            self._troubles.silent(error)

    def _note(self, partition: TopicPartition, trouble: Trouble) -> None:
        self._troubles.note(partition, trouble)

    def _leave(self) -> None:
        """Let go of the flights; their connections come back when they are finished, those of too many are closed."""
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None
        for flight in self._flights:
            flight.abandon()
        pending = [flight for flight in (*self._stale, *self._flights) if flight.in_flight]
        self._flights = []
        self._stale = pending[-FLIGHTS:]
        for flight in pending[:-FLIGHTS]:
            flight.cancel()
