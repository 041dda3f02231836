"""The event log in Kafka."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from aiokafka.errors import for_code
from aiokafka.protocol.admin import CreateTopicsRequest, DeleteTopicsRequest
from aiokafka.protocol.offset import OffsetRequest

from gateway.catalog.stream import Retention
from gateway.cooperative import give_way, together
from gateway.errors import LogError, LogForbids, LogUnavailable
from gateway.eventlog.inspection import Listed, Reached
from gateway.eventlog.kafka.calls import CALL_SECONDS, Call, read, within
from gateway.eventlog.kafka.cluster import ABSENT, RETRY_SECONDS, Cluster
from gateway.eventlog.kafka.membership import KafkaMembership
from gateway.eventlog.kafka.options import connection_options, parse_bootstrap
from gateway.eventlog.kafka.producer import KafkaProducer
from gateway.eventlog.kafka.protocol import CONSUMER, READ_COMMITTED, READ_UNCOMMITTED
from gateway.eventlog.kafka.reader import KafkaReader
from gateway.eventlog.kafka.survey import listed, reach
from gateway.eventlog.kafka.transactions import stop_producer
from gateway.eventlog.kafka.trouble import trouble_of
from gateway.eventlog.kafka.writer import (
    POSITIONS,
    POSITIONS_SETTINGS,
    KafkaWriter,
    Patience,
    make_producer,
    start_producer,
)
from gateway.eventlog.offer import Fate, all_stored
from gateway.eventlog.port import NO_STAMPS, SICK_SECONDS, Bounds, TopicState
from gateway.eventlog.trouble import LASTING, Kind, Refusal, Trouble, demand, refuse
from gateway.model.record import NewRecord, Record, TopicPartition

EARLIEST = -2
LATEST = -1
"""In place of a time: the first offset, and the end of what is committed."""

TOPIC_EXISTS = 36

CHANGE_SECONDS = 3.0
"""The controller says by then what has become of a topic; there is time left to wait for its leaders."""

COMPACTION_LAG = 24 * 3_600_000
"""Milliseconds for which a compacted topic keeps all records. Whoever looks up what was known at the time of an event
may be behind by that, and so may a client that resumes."""

PART = 250
"""Partitions for which a broker is asked in one request. What it answers in time counts, though the rest be late."""

DEFAULT_REPLICATION = -1
"""As many replicas as the brokers are configured to make."""


Result = TypeVar("Result")


class KafkaLog:
    """An EventLog in Kafka. `bootstrap` holds `host:port`; `options` are those of `kafka_options.OPTIONS`; a mistake
    in either is a ConfigurationError. No consumer ever is in a group; only `join` uses one."""

    def __init__(self, bootstrap: Sequence[str], options: Mapping[str, object] | None = None) -> None:
        addresses = parse_bootstrap(bootstrap)
        self._options = connection_options(options or {})
        self._bootstrap = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in addresses]
        self._cluster = Cluster(addresses, self._options)
        self._producer = KafkaProducer(self._cluster)
        self._stopping: set[asyncio.Task[None]] = set()
        self._patience: defaultdict[str, Patience] = defaultdict(Patience)
        """Of the writers, by name."""

    def __repr__(self) -> str:
        return f"<KafkaLog {','.join(self._bootstrap)}>"

    @property
    def keeps_claims(self) -> bool:
        """See EventLog. Brokers number the batches of a producer, and know nothing of what is in them."""
        return False

    async def open(self) -> None:
        """Connect where that can be done now; otherwise at the first use."""
        quieten()
        with suppress(LogUnavailable):
            await self._cluster.topics([])

    async def close(self) -> None:
        """See EventLog. Readers are closed by those who hold them."""
        await asyncio.gather(self._producer.close(), self._cluster.close(), *self._stopping)

    async def identity(self) -> str:
        """See EventLog: the id of the cluster."""
        if self._cluster.identity is None:
            await self._cluster.topics([])
        return self._cluster.identity or ""

    async def describe(self, topics: Collection[str]) -> dict[str, TopicState | Trouble]:
        """See EventLog. Of a topic that may not be described nobody says whether it exists."""
        found = await self._cluster.topics(topics) if topics else {}
        states: dict[str, TopicState | Trouble] = {
            name: TopicState(topic.identity, len(topic.leaders)) for name, topic in found.items()
        }
        return states | {name: trouble for name in topics if (trouble := self._cluster.refused(name)) is not None}

    async def reach(self) -> list[Reached]:
        """See Inspectable."""
        return await reach(self._cluster, parse_bootstrap(self._bootstrap), str(self._options["security_protocol"]))

    async def listed(self, topics: Collection[str] | None = None) -> dict[str, Listed | Trouble]:
        """See Inspectable."""
        return await listed(self._cluster, topics)

    async def bounds(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Bounds | Trouble]:
        """See EventLog. The end is the last stable offset: before the first record of an open transaction."""
        return await self._in_parts(partitions, self._bounds)

    async def _bounds(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Bounds | Trouble]:
        starts, ends = await together(self._offsets(dict.fromkeys(partitions, wanted)) for wanted in (EARLIEST, LATEST))
        return {partition: _between(starts[partition], ends[partition]) for partition in starts}

    async def find(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, int | Trouble | None]:
        """See EventLog. Where transactions are used, the offset may be that of an aborted record or a marker."""
        offsets = await self._in_parts(
            times, lambda part: self._offsets({partition: max(0, times[partition]) for partition in part})
        )
        return {
            partition: None if not isinstance(offset, Trouble) and offset < 0 else offset
            for partition, offset in offsets.items()
        }

    async def reader(
        self, positions: Mapping[TopicPartition, int], stamps: Mapping[TopicPartition, int] = NO_STAMPS
    ) -> KafkaReader:
        """See EventLog."""
        reader = KafkaReader(self._cluster)
        await reader.assign(positions, stamps)
        return reader

    async def create(self, topic: str, partitions: int = 1, retention: Retention | None = None) -> None:
        """See EventLog. Returns when every partition has a leader."""
        await self._create(topic, partitions, {} if retention is None else _settings(retention))

    async def _create(self, topic: str, partitions: int, settings: Mapping[str, str]) -> None:
        wanted: tuple[object, ...] = (topic, partitions, DEFAULT_REPLICATION, [], list(settings.items()))
        request = CreateTopicsRequest([wanted], int(CHANGE_SECONDS * 1000), False)
        async with within(CALL_SECONDS, f"create {topic}") as call:
            while True:
                await self._change(call, f"create {topic}", request, "topic_errors", {0, TOPIC_EXISTS})
                found = (await self._cluster.topics([topic])).get(topic)
                while found is not None and None in found.leaders.values():
                    await asyncio.sleep(RETRY_SECONDS)
                    found = (await self._cluster.topics([topic])).get(topic)
                if found is not None:
                    return
                # Not known everywhere yet. Or it was on its way out when it was said to exist: a ZooKeeper forgets a
                # topic later than its brokers do.
                await asyncio.sleep(RETRY_SECONDS)

    async def delete(self, topic: str) -> None:
        """Delete a topic; one that does not exist is no error. Returns when the cluster no longer knows it."""
        request = DeleteTopicsRequest([topic], int(CHANGE_SECONDS * 1000))
        async with within(CALL_SECONDS, f"delete {topic}") as call:
            await self._change(call, f"delete {topic}", request, "topic_error_codes", {0, *ABSENT})
            while (await self._cluster.topics([topic])).get(topic) is not None:  # noqa: ASYNC110  # no broker tells of it
                await asyncio.sleep(RETRY_SECONDS)

    async def _change(self, call: Call, what: str, request: Any, errors: str, good: Collection[int]) -> None:
        """Have the controller do something to a topic; asked again where what keeps it from that passes."""
        while True:
            response = await self._cluster.send_to_controller(request)
            failed = read(what, partial(_failures, response, errors, good))
            if not failed:
                return
            code, *message = failed[0]
            call.obstacle = " ".join([for_code(code).__name__, *filter(None, message)])
            if not for_code(code).retriable:
                raise _refused(code, f"Kafka: cannot {what}: {call.obstacle}")
            await asyncio.sleep(RETRY_SECONDS)
            await self._cluster.topics([])

    async def offer(self, topic: str, records: Sequence[NewRecord]) -> list[Fate]:
        """See EventLog."""
        return await self._producer.offer(topic, records)

    async def append(self, topic: str, records: Sequence[NewRecord]) -> list[tuple[TopicPartition, int]]:
        """See EventLog."""
        return all_stored(await self.offer(topic, records))

    async def settle(self, topic: str) -> None:
        """See EventLog."""
        await self._producer.settle(topic)

    async def writer(self, name: str) -> KafkaWriter:
        """See EventLog. Writes to the topic of the positions, and creates it where it is missing."""
        async with within(CALL_SECONDS, f"open the writer {name!r}") as call:
            if not await self._cluster.topics([POSITIONS.topic]):
                await self._create(POSITIONS.topic, 1, POSITIONS_SETTINGS)
            producer = make_producer(self._bootstrap, self._options, name)
            try:
                await start_producer(producer, name)
                position = await self._position(name, call)
                return KafkaWriter(self._cluster, name, producer, position, self._patience[name])
            except BaseException:
                self._stop(producer)
                raise

    @property
    def erasable(self) -> bool:
        """See EventLog. Brokers delete by retention, or where a topic is compacted by a tombstone of the key."""
        return False

    async def erase(self, topic: str, matches: Callable[[Record], bool]) -> int:
        """See EventLog."""
        raise LogForbids("records in Kafka cannot be emptied")

    @property
    def spans_hosts(self) -> bool:
        """See EventLog."""
        return True

    async def join(self, on_change: Callable[[], None]) -> KafkaMembership:
        """See EventLog."""
        return KafkaMembership(self._cluster, on_change)

    def _stop(self, producer: Any) -> None:
        """Stop a producer that is of no use, for which nobody waits but `close`."""
        task = asyncio.create_task(stop_producer(producer))
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    async def _position(self, name: str, call: Call) -> bytes | None:
        """The newest position of this name that is committed; waits where another writer's open transaction hides what
        stands behind it. Not bounded in time."""
        start = demand(await self._offsets({POSITIONS: EARLIEST}))[POSITIONS]
        end = demand(await self._offsets({POSITIONS: LATEST}, READ_UNCOMMITTED))[POSITIONS]
        position: bytes | None = None
        reader = await self.reader({POSITIONS: start})
        try:
            while start < end:
                call.obstacle = f"a transaction in {POSITIONS.topic} is not ended yet"
                for batch in await reader.fetch(CALL_SECONDS):
                    if isinstance(batch, Refusal):
                        refuse({POSITIONS: batch.trouble})
                        continue
                    start = batch.position
                    mine = [record.value for record in batch.records if record.key == name.encode()]
                    position = mine[-1] if mine else position
                await give_way()
        finally:
            await reader.close()
        return position

    async def _in_parts(
        self,
        partitions: Collection[TopicPartition],
        ask: Callable[[Collection[TopicPartition]], Coroutine[Any, Any, dict[TopicPartition, Result]]],
    ) -> dict[TopicPartition, Result]:
        """The answers of requests for PART partitions each, which are made at the same time."""
        left = list(partitions)
        parts = [left[first : first + PART] for first in range(0, len(left), PART)]
        if len(parts) > 1:
            await self._cluster.leaders(left)  # else each part would ask who leads them
        answers = await together(map(ask, parts))
        return {partition: answer for part in answers for partition, answer in part.items()}

    async def _offsets(
        self, times: Mapping[TopicPartition, int], isolation: int = READ_COMMITTED
    ) -> dict[TopicPartition, int | Trouble]:
        """The first offset at or after a time of each partition, -1 where there is none. Asks again while leaders move,
        for SICK_SECONDS. Raises LogUnavailable."""
        found: dict[TopicPartition, int | Trouble] = {}
        reasons: dict[TopicPartition, Trouble] = {}
        deadline = asyncio.get_running_loop().time() + SICK_SECONDS
        async with within(CALL_SECONDS, "offsets"):
            while missing := [partition for partition in times if partition not in found]:
                by_node: dict[int, dict[TopicPartition, int]] = {}
                for partition, leader in (await self._cluster.leaders(missing)).items():
                    if not isinstance(leader, Trouble):
                        by_node.setdefault(leader, {})[partition] = times[partition]
                    elif leader.kind in LASTING:
                        found[partition] = leader
                    else:
                        reasons[partition] = leader
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(deadline):
                        await together(
                            self._find_of(node, asked, isolation, found, reasons) for node, asked in by_node.items()
                        )
                left = [partition for partition in missing if partition not in found]
                if left and asyncio.get_running_loop().time() >= deadline:
                    # It is theirs alone where anybody answers.
                    await self._cluster.topics({topic for topic, _ in left})
                    silent = Trouble(Kind.UNAVAILABLE, f"its leader does not answer within {SICK_SECONDS:g} s")
                    found.update({partition: reasons.get(partition, silent) for partition in left})
                elif left:
                    topics = {topic for topic, _ in left}
                    self._cluster.forget(topics)
                    await asyncio.sleep(RETRY_SECONDS)
                    with suppress(LogUnavailable):
                        await self._cluster.refresh(topics)
        return {partition: found[partition] for partition in times}

    async def _find_of(
        self,
        node: int,
        times: Mapping[TopicPartition, int],
        isolation: int,
        found: MutableMapping[TopicPartition, int | Trouble],
        reasons: MutableMapping[TopicPartition, Trouble],
    ) -> None:
        """The answers of one leader: offsets go into `found`, and reasons for missing ones into `reasons`."""
        try:
            asking = self._list_offsets(node, times, isolation)
            answers = await self._cluster.while_leads(node, times.keys(), asking)
        except LogUnavailable as error:
            reasons.update(dict.fromkeys(times, Trouble(Kind.UNAVAILABLE, str(error))))
            return
        for partition, code, offset in answers:
            if code == 0:
                found[partition] = offset
            else:
                trouble = trouble_of(code, f"{partition.topic}/{partition.partition}")
                (found if trouble.kind is Kind.NO_RIGHT else reasons)[partition] = trouble

    async def _list_offsets(
        self, node: int, times: Mapping[TopicPartition, int], isolation: int
    ) -> list[tuple[TopicPartition, int, int]]:
        """The answer of one broker about its partitions: an error code and the offset of each."""
        topics: dict[str, list[tuple[int, int]]] = {}
        for (topic, partition), wanted in times.items():
            topics.setdefault(topic, []).append((partition, wanted))
        request = OffsetRequest(CONSUMER, isolation, list(topics.items()))
        response = await self._cluster.send(self._cluster.address(node), request)
        return read("offsets", lambda: _read_offsets(response))


def _settings(retention: Retention) -> dict[str, str]:
    """The settings of a topic that is kept for so long."""
    bounds = {"retention.ms": retention.milliseconds, "retention.bytes": retention.size}
    settings = {name: str(-1 if bound is None else bound) for name, bound in bounds.items()}
    if retention.compacted:
        is_bounded = any(bound is not None for bound in bounds.values())
        settings["cleanup.policy"] = "compact,delete" if is_bounded else "compact"
        settings["min.compaction.lag.ms"] = str(COMPACTION_LAG)
    return settings


def _refused(code: int, detail: str) -> LogError:
    """The meaning of a refusal of the controller that asking again does not end."""
    kind = trouble_of(code, detail).kind
    lasting = kind in (Kind.NO_RIGHT, Kind.MISCONFIGURED)
    return LogForbids(detail, kind) if lasting else LogUnavailable(detail, kind)


def _failures(response: Any, errors: str, good: Collection[int]) -> list[tuple[int, str]]:
    """The error codes of the topics in this member of a response, with what the broker says of them."""
    return [(code, *more) for _, code, *more in getattr(response, errors) if code not in good]


def _read_offsets(response: Any) -> list[tuple[TopicPartition, int, int]]:
    return [
        (TopicPartition(topic, partition), code, offset)
        for topic, partitions in response.topics
        for partition, code, _, offset in partitions
    ]


def _between(start: int | Trouble, end: int | Trouble) -> Bounds | Trouble:
    if isinstance(start, Trouble):
        return start
    return end if isinstance(end, Trouble) else Bounds(start, max(start, end))


def quieten(names: Iterable[str] = ("aiokafka",)) -> None:
    """Silence aiokafka's loggers, unless a level is set. All that matters is raised, and aiokafka would log each
    attempt."""
    for name in names:
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.CRITICAL)
