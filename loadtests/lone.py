"""What a lone event costs the process that serves it, by stage: from the log's answer to the sockets of its clients.

    python -m loadtests.lone                          300 events/s to 10 clients
    python -m loadtests.lone --rate 60 --clients 100
    python -m loadtests.lone --stages                 each stage by itself, with what measuring it takes
    python -m loadtests.lone --steps                  steps of the interpreter, the same on every machine, by function

The hub, the ring, the feed and Kafka's reader are the gateway's own; the broker and the clients are processes of this
module, on other cores where there are some. Figures are CPU time of the serving thread for each event, with the
kernel's part.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import selectors
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import wraps
from types import FrameType, SimpleNamespace
from typing import Any

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from gateway.eventlog.kafka.fetch import FETCH, NEWEST, FetchRequest
from gateway.eventlog.kafka.flight import FetchConnection
from gateway.eventlog.kafka.metadata import Topic
from gateway.eventlog.kafka.reader import KafkaReader
from gateway.eventlog.kafka.records import PartitionBuffer
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.port import NO_STAMPS
from gateway.feed.cache import BlockCache
from gateway.feed.feed import Feed
from gateway.feed.live import Broadcast, LiveFeed
from gateway.feed.live_clients import LiveClient, LiveClients
from gateway.feed.packer import Plain
from gateway.feed.router import FilterRouter
from gateway.feed.selection import Selection
from gateway.feed.timeline import Timeline
from gateway.hub import hub as hub_module
from gateway.hub.activity import Activity
from gateway.hub.hub import Hub
from gateway.hub.options import HubOptions
from gateway.hub.ordered import OrderedReader
from gateway.hub.pace import Pace
from gateway.hub.ring import Ring
from gateway.hub.segment import Segment
from gateway.model.record import TopicPartition
from gateway.wire.sse import SSE
from loadtests.events import padded
from loadtests.machine import CLIENT_CORES, SERVER_CORE

TOPIC = TopicPartition("load", 0)
TOPIC_ID = b"\1" * 16
NODE = 1
SHOWN = 40
"""Functions whose steps are shown."""
_SIZE = struct.Struct(">i")

STAGES: Sequence[tuple[str, object, str]] = (
    ("request", KafkaReader, "_request_more"),
    ("request", FetchRequest, "encode"),
    ("answer", FetchConnection, "_receive"),
    ("answer", FetchRequest, "read"),
    ("records", KafkaReader, "_collect"),
    ("records", KafkaReader, "_take"),
    ("records", PartitionBuffer, "add"),
    ("records", PartitionBuffer, "take"),
    ("look", hub_module, "glance"),
    ("ring", Ring, "append"),
    ("ring", Ring, "close"),
    ("ids", Timeline, "identifiers"),
    ("block", Feed, "block"),
    ("route", FilterRouter, "affected"),
    ("route", Broadcast, "deliver"),
    ("route", LiveFeed, "deliver"),
    ("write", LiveClients, "write"),
    ("counts", Activity, "count"),
    ("pace", Pace, "spent"),
    ("pace", Pace, "resting"),
    ("hub", Hub, "flush"),
    ("hub", Hub, "_forget"),
    ("hub", Hub, "_reach"),
    ("order", OrderedReader, "_sort"),
    ("order", OrderedReader, "_may_be_behind"),
)
"""Where an event passes through; a stage has its own time, without that of stages within."""


class Stages:
    """The time of each stage, and how often it was entered."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, int] = {}
        self._within: list[float] = []

    def begin(self) -> None:
        """Count from now on."""
        self.seconds, self.calls = dict.fromkeys(self.seconds, 0.0), dict.fromkeys(self.calls, 0)

    def watch(self, stage: str, owner: Any, name: str) -> None:
        """Have this method count for the stage."""
        inner: Callable[..., Any] = getattr(owner, name)
        self.seconds[stage], self.calls[stage] = 0.0, 0
        now, within = time.thread_time, self._within

        @wraps(inner)
        def timed(*args: Any, **kwargs: Any) -> Any:
            within.append(0.0)
            begun = now()
            try:
                return inner(*args, **kwargs)
            finally:
                took = now() - begun
                self.seconds[stage] += took - within.pop()
                self.calls[stage] += 1
                if within:
                    within[-1] += took

        setattr(owner, name, timed)


class Steps:
    """Counts the steps of the interpreter (bytecodes), and the calls of functions that are written in Python."""

    def __init__(self) -> None:
        self.steps: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()

    def begin(self) -> None:
        """Count in this thread from now on, what is called from now on or goes on."""
        sys.settrace(self._enter)

    def _enter(self, frame: FrameType, event: str, _: object) -> Any:
        self.calls[frame.f_code.co_qualname] += 1
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._step

    def _step(self, frame: FrameType, event: str, _: object) -> Any:
        if event == "opcode":
            self.steps[frame.f_code.co_qualname] += 1
        return self._step


class Log(MemoryLog):
    """One whose readers are Kafka's, of a broker at this port."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._cluster = Cluster(port)

    async def reader(
        self, positions: Mapping[TopicPartition, int], stamps: Mapping[TopicPartition, int] = NO_STAMPS
    ) -> Any:
        """A reader of Kafka's."""
        reader = KafkaReader(self._cluster)  # type: ignore[arg-type]
        await reader.assign(positions, stamps)
        return reader


class Cluster:
    """One broker, which leads the only partition."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._topic = Topic(TOPIC.topic, TOPIC_ID, {0: NODE})

    def cached(self, topic: str) -> Topic:
        return self._topic

    async def topics(self, names: Collection[str]) -> dict[str, Topic]:
        return dict.fromkeys(names, self._topic)

    def address(self, node: int) -> tuple[str, int]:
        return "127.0.0.1", self._port

    def paused(self, address: object) -> float:
        return 0.0

    async def pause(self, address: object) -> None:
        pass

    def throttle(self, address: object, milliseconds: int) -> None:
        pass

    def tell_untraced(self, where: str) -> None:
        pass

    def forget(self, topics: Collection[str]) -> None:
        pass

    def leads(self, node: int, partitions: object) -> bool:
        return True

    async def refresh(self, names: Collection[str]) -> dict[str, Topic]:
        return await self.topics(names)

    async def connect(self, address: tuple[str, int], on_close: object) -> Any:
        reader, writer = await asyncio.open_connection(*address)
        numbers = iter(range(1, 1 << 30))
        return SimpleNamespace(
            _client_id="lone",
            _protocol=writer.transport.get_protocol(),
            _writer=writer,
            _versions={FETCH: (NEWEST, NEWEST)},
            _next_correlation_id=lambda: next(numbers),
            connected=lambda: True,
            close=lambda *_: writer.close(),
            reader=reader,
        )


def broker(listener: socket.socket, rate: float) -> None:
    """Answer each fetch with the next event once it is due, and never with two."""
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    begun, made = time.monotonic(), 0
    with suppress(OSError):
        while head := connection.recv(4, socket.MSG_WAITALL):
            request = connection.recv(_SIZE.unpack(head)[0], socket.MSG_WAITALL)
            correlation = request[4:8]
            time.sleep(max(0.0, begun + (made + 1) / rate - time.monotonic()))
            connection.sendall(_answer(correlation, made))
            made += 1


def _answer(correlation: bytes, number: int) -> bytes:
    builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 1 << 24)
    builder.append(0, int(time.time() * 1000), None, padded(number), [])
    batch = struct.pack(">q", number) + bytes(builder.build())[8:]
    length = len(batch) + 1
    varint = bytearray()
    while length > 0x7F:
        varint.append(length & 0x7F | 0x80)
        length >>= 7
    varint.append(length)
    body = b"".join((
        correlation, b"\0", struct.pack(">ihi", 0, 0, 0), b"\2", TOPIC_ID, b"\2",
        struct.pack(">ihqqq", 0, 0, number + 1, number + 1, 0), b"\1", struct.pack(">i", -1),
        bytes(varint), batch, b"\0", b"\0", b"\0",
    ))  # fmt: skip
    return _SIZE.pack(len(body)) + body


def readers(port: int, count: int) -> None:
    """Clients that read whatever comes."""
    selector = selectors.EpollSelector()
    connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    for connection in connections:
        selector.register(connection, selectors.EVENT_READ)
    buffer = bytearray(1 << 16)
    while True:
        for key, _ in selector.select():
            assert isinstance(key.fileobj, socket.socket)
            if not key.fileobj.recv_into(buffer):
                return


@contextmanager
def beside(target: Callable[..., None], *arguments: Any) -> Iterator[None]:
    """A process of its own, on another core where there is one."""
    process = multiprocessing.get_context("fork").Process(target=_elsewhere, args=(target, *arguments), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def _elsewhere(target: Callable[..., None], *arguments: Any) -> None:
    os.sched_setaffinity(0, CLIENT_CORES)
    target(*arguments)


class Seen:
    """What was delivered, and the CPU time of the serving thread since the first events."""

    def __init__(self, hub: Hub, skipped: int, begin: Callable[[], None]) -> None:
        self.events = -skipped
        self.began = 0.0
        self._begin = begin
        self._deliver = hub.deliver
        hub.deliver = self.deliver

    def deliver(self, segment: Segment) -> None:
        """In place of the hub's own."""
        self._deliver(segment)
        before, self.events = self.events, self.events + len(segment.items)
        if before < 0 <= self.events:
            self.events, self.began = 0, time.thread_time()
            self._begin()


@dataclass(frozen=True)
class Load:
    """So many events a second, to so many clients, for so many seconds."""

    rate: float
    clients: int
    seconds: float


async def serve(load: Load, port: int, listener: socket.socket, begin: Callable[[], None]) -> tuple[float, int]:
    """CPU seconds, and for how many events; `begin` is called at the first of them."""
    loop = asyncio.get_running_loop()
    log = Log(port)
    log.create_topic(TOPIC.topic)
    clock = SimpleNamespace(now=lambda: int(time.time() * 1000), monotonic=loop.time)
    hub = Hub(log, {TOPIC.topic: False}, clock, HubOptions(ring_fill=0.0, flush_interval=0.0))
    broadcast = Broadcast(hub, BlockCache(1 << 26), clock, 15.0)
    hub.deliver, hub.renew, hub.listeners = broadcast.deliver, broadcast.renew, broadcast.listeners
    running = asyncio.create_task(hub.run())
    await hub.filled.wait()
    live = broadcast.join(Selection(frozenset({TOPIC.topic})), SSE)
    for _ in range(load.clients):
        connection, _ = listener.accept()  # they wait already
        connection.setblocking(False)
        transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, connection)
        live.add(LiveClient(transport, Plain(), connection.send), 0.0)
    seen = Seen(hub, max(10, round(load.rate / 2)), begin)
    end = loop.time() + 4 * load.seconds
    while seen.events < load.rate * load.seconds and loop.time() < end:  # noqa: ASYNC110  # an event would wake it each time
        await asyncio.sleep(0.5)
    used, events = time.thread_time() - seen.began, seen.events
    sys.settrace(None)
    running.cancel()
    await asyncio.wait([running])
    for client in list(live.clients):
        client.transport.abort()  # type: ignore[attr-defined]
    await asyncio.sleep(0)
    return used, max(1, events)


def measure(load: Load, begin: Callable[[], None]) -> tuple[float, int]:
    """What `serve` gives, with a broker and clients beside."""
    os.sched_setaffinity(0, {SERVER_CORE})
    with (
        socket.create_server(("127.0.0.1", 0)) as for_hub,
        socket.create_server(("127.0.0.1", 0), backlog=4096) as for_clients,
        beside(broker, for_hub, load.rate),
        beside(readers, for_clients.getsockname()[1], load.clients),
    ):
        return asyncio.run(serve(load, for_hub.getsockname()[1], for_clients, begin))


def main(given: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtests.lone", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--rate", type=float, default=300.0)
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--stages", action="store_true", help="the time of each stage, which measuring makes longer")
    parser.add_argument("--steps", action="store_true", help="steps of the interpreter, by function")
    arguments = parser.parse_args(given)
    stages, steps = Stages(), Steps()
    if arguments.stages:
        for stage in STAGES:
            stages.watch(*stage)
    load = Load(arguments.rate, arguments.clients, arguments.seconds)
    used, events = measure(load, steps.begin if arguments.steps else stages.begin)
    print(f"{load.clients} clients × {load.rate:g} events/s, of each event:")
    if not arguments.steps:
        print(f"{1e6 * used / events:8.1f} µs of CPU")
    for name, seconds in stages.seconds.items():
        print(f"{1e6 * seconds / events:8.1f} µs in {stages.calls[name] / events:.1f} calls: {name}")
    for name, count in (("all", steps.steps.total()), *steps.steps.most_common(SHOWN)) if arguments.steps else ():
        calls = steps.calls.total() if name == "all" else steps.calls[name]
        print(f"{count / events:8.1f} steps in {calls / events:.1f} calls: {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
