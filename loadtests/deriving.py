"""What derived streams cost from log to log, as a process derives them: read, derived, stored with a position.

    python -m loadtests.deriving                            all of it on SQLite
    python -m loadtests.deriving --log kafka                on a broker that is started
    python -m loadtests.deriving edits --events 20000       a part: edits, minutes, busy, lookup, hops, visits, once,
                                                            together, replay, latency

Each figure is of a process of its own, which runs `gateway.derive.run.Runner` on the topics that this one fills. `us`
is microseconds of CPU of that process for each record that it reads, all of its threads together, from when the log is
open. `wall` is events a second by the clock, which neighbours slow down. `together` derives four streams of one source
in one process, `replay` what a start reads again of windows that are longer than all events take. `latency` is from the
begin of an append to the derived event in the hands of a reader, at `--rate` events a second.

Another number of rows than the engine alone gives fails the run (exit status 1), as does a figure beyond its target.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import queue
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from gateway.clock import SystemClock
from gateway.derive.engine import Engine, event_of
from gateway.derive.lanes import Work
from gateway.derive.run import Runner
from gateway.derive.sources import Sources
from gateway.eventlog.kafka.log import KafkaLog
from gateway.eventlog.port import Batch, EventLog
from gateway.eventlog.sqlite.log import SqliteLog
from gateway.model.record import NewRecord, Record, TopicPartition
from gateway.process.serve import collect_rarely
from gateway.times import iso_time
from loadtests.derived import LONG, SOURCE, STATE, TARGETS, TASKS, Batches, definitions, events, states
from loadtests.kafka import KafkaBroker, jars
from loadtests.machine import MeasurementError
from loadtests.measurement import percentiles

SECONDS = 240.0
"""A part that takes longer has failed."""
LARGEST = 1_000_000
PAGES = 20_000
"""Rows of the stream that is looked into, at the most."""
TOGETHER = ("edits", "minutes", "busy", "hops")
REPLAY_TARGET, P50_TARGET, P99_TARGET, MEGABYTES_TARGET = 30_000, 10.0, 100.0, 100.0
POLL_SECONDS = 0.01
PARTS = (*TASKS.values(), "together", "replay", "latency")


@dataclass(frozen=True, slots=True)
class Run:
    """What one process has done: CPU seconds, seconds by the clock, records read and read again, rows."""

    cpu: float
    wall: float
    read: int
    replayed: int
    rows: int
    megabytes: float


@dataclass(slots=True)
class Report:
    """What is printed, and what is wrong."""

    failed: list[str] = field(default_factory=list)

    def line(self, name: str, run: Run, count: int, target: float = 0.0) -> float:
        """Tell of a run that read `count` records; returns its microseconds a record."""
        micro, rate = run.cpu / count * 1e6, count / run.cpu
        wall = count / run.wall
        print(f"{name:<22}{micro:>7.1f}{rate:>11,.0f}{wall:>10,.0f}{run.rows:>9}{run.megabytes:>7.0f} MB", flush=True)
        if rate < target:
            self.failed.append(f"{name}: {rate:,.0f} events/s of a core, and {target:,.0f} are wanted")
        return micro

    def expect(self, name: str, value: float, limit: float) -> None:
        """A figure that has to be at most this."""
        if value > limit:
            self.failed.append(f"{name}: {value:.1f}, and at most {limit:g} is wanted")


@dataclass(slots=True)
class Logs:
    """Gives each part an empty log of its own."""

    directory: Path
    jars: Path | None = None
    """Of Kafka, where that is what is measured."""
    broker: KafkaBroker | None = None
    count: int = 0

    def new(self) -> tuple[str, Path]:
        """The url of an empty log, and a directory for the configuration."""
        self.count += 1
        directory = self.directory / str(self.count)
        directory.mkdir()
        if self.jars is None:
            return f"sqlite:///{directory / 'events.db'}", directory
        self.close()
        self.broker = KafkaBroker(directory / "kafka", self.jars)
        self.broker.start()
        return f"kafka://{self.broker.bootstrap}", directory

    def close(self) -> None:
        """End the broker."""
        if self.broker is not None:
            self.broker.kill()


@contextmanager
def logs(kind: str) -> Iterator[Logs]:
    """Logs of this kind. Raises MeasurementError."""
    found = jars() if kind == "kafka" else None
    if kind == "kafka" and found is None:
        raise MeasurementError("there are no jars of Kafka; scripts/test gets them")
    with tempfile.TemporaryDirectory(prefix="deriving-") as folder:
        made = Logs(Path(folder), found)
        try:
            yield made
        finally:
            made.close()


def opened(url: str) -> EventLog:
    """The log of a url."""
    if url.startswith("kafka://"):
        return KafkaLog([url.removeprefix("kafka://")])
    return SqliteLog(url.removeprefix("sqlite:///"))


async def _derive(url: str, directory: Path, names: Sequence[str], goal: int, replay: bool) -> Run:
    """Derive these streams until each has read `goal` records, or, in a replay, read so many again."""
    log, found, stop = opened(url), definitions(directory), asyncio.Event()
    await log.open()
    runners, sources = [], Sources(log)
    for name in names:
        work = Work(found.catalog.streams[name])
        runners.append(Runner(work, found, log, SystemClock(), _say, sources=sources))
    collect_rarely()
    cpu, wall = time.process_time(), time.monotonic()
    tasks = [asyncio.create_task(one.run(stop)) for one in runners]
    try:
        while any((one.replayed if replay else one.read) < goal for one in runners):
            await asyncio.wait(tasks, timeout=POLL_SECONDS, return_when=asyncio.FIRST_EXCEPTION)
            for task in tasks:
                if task.done():
                    task.result()
        cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    finally:
        stop.set()
        await asyncio.gather(*tasks)
        await log.close()
    first = runners[0]
    return Run(cpu, wall, first.read, first.replayed, sum(one.stored for one in runners), most_memory())


def most_memory() -> float:
    """Megabytes that this process has had at the most."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _process(told: Any, *arguments: Any) -> None:
    told.put(asyncio.run(_derive(*arguments)))


def derive(
    url: str, directory: Path, names: Sequence[str], goal: int, replay: bool = False,
    meanwhile: Callable[[], None] = lambda: None,
) -> Run:  # fmt: skip
    """In a process of its own, and `meanwhile` here. Raises MeasurementError."""
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    process = context.Process(target=_process, args=(told, url, directory, names, goal, replay), daemon=True)
    process.start()
    try:
        meanwhile()
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                found: Run = told.get(timeout=1.0)
                return found
            except queue.Empty:
                if not process.is_alive() or time.monotonic() > deadline:
                    raise MeasurementError(f"{', '.join(names)}: not done within {SECONDS:g} s") from None
    finally:
        process.join(10.0)
        process.kill()


async def fill(url: str, topic: str, partitions: int, records: Iterator[Record]) -> None:
    """A topic with these records."""
    log = opened(url)
    await log.open()
    try:
        await log.create(topic, partitions)
        some: list[NewRecord] = []
        now = time.time_ns() // 1_000_000
        for record in records:
            some.append(NewRecord(record.value, record.key, now, record.partition))
            if len(some) >= 2_000:
                await log.append(topic, some)
                some = []
        if some:
            await log.append(topic, some)
    finally:
        await log.close()


def expected_rows(directory: Path, name: str, batches: Batches, state: Sequence[Record], partitions: int) -> int:
    """What the engine alone gives."""
    catalog = definitions(directory).catalog
    derivation = catalog.streams[name].derive
    assert derivation is not None
    looked = [TopicPartition(STATE, 0)] if derivation.lookups else []
    places = [TopicPartition(SOURCE, number) for number in range(partitions)]
    engine, rows = Engine(name, derivation, catalog.streams, [*places, *looked]), 0
    if looked:
        engine.take(looked[0], [(record, event_of(record)) for record in state])
    for place, records in batches:
        engine.take(place, [(record, event_of(record)) for record in records])
        rows += len(engine.results.rows)
        engine.forget()
    return rows


async def _latencies(url: str, count: int, rate: float) -> list[int]:
    """Append events one by one, and read what is derived of them; nanoseconds of each."""
    log = opened(url)
    await log.open()
    try:
        deadline = time.monotonic() + 30
        while "each" not in await log.describe(["each"]):
            if time.monotonic() > deadline:
                raise MeasurementError("the derived stream does not begin")
            await asyncio.sleep(0.1)
        await asyncio.sleep(1.0)
        begun: dict[int, int] = {}
        found: dict[int, int] = {}
        reader = await log.reader({TopicPartition("each", 0): 0})

        async def read() -> None:
            while len(found) < count:
                for batch in await reader.fetch(1.0):
                    now = time.monotonic_ns()
                    for record in batch.records if isinstance(batch, Batch) else ():
                        found.setdefault(orjson.loads(record.value or b"")["n"], now)

        reading = asyncio.create_task(read())
        start = time.monotonic()
        for number in range(count):
            await asyncio.sleep(max(0.0, start + number / rate - time.monotonic()))
            now = time.time_ns() // 1_000_000
            value = orjson.dumps({"meta": {"dt": iso_time(now)}, "n": number, "comment": "x" * 800})
            begun[number] = time.monotonic_ns()
            await log.append(SOURCE, [NewRecord(value, None, now, 0)])
        async with asyncio.timeout(60):
            await reading
        await reader.close()
        return [found[number] - begun[number] for number in range(count)]
    finally:
        await log.close()


def measure_tasks(logs: Logs, batches: Batches, chosen: Sequence[str], partitions: int, report: Report) -> None:
    """Each of the tasks by itself, and several of one source together."""
    count, state = sum(len(records) for _, records in batches), states(batches)[-PAGES - 1 :]
    url, directory = logs.new()
    asyncio.run(fill(url, SOURCE, partitions, (record for _, records in batches for record in records)))
    asyncio.run(fill(url, STATE, 1, iter(state)))
    alone: dict[str, float] = {}
    rows: dict[str, int] = {}
    wanted = [(task, name) for task, name in TASKS.items() if name in chosen]
    if "together" in chosen:
        wanted += [(task, name) for task, name in TASKS.items() if name in TOGETHER and name not in chosen]
    for task, name in wanted:
        goal = count + len(state) * (name == "lookup")
        run = derive(url, directory, [name], goal)
        alone[name] = report.line(task, run, goal, TARGETS.get(task, 0)) * goal
        rows[name] = expected_rows(directory, name, batches, state, partitions)
        if run.rows != rows[name]:
            report.failed.append(f"{task}: {run.rows} rows, and the engine alone gives {rows[name]}")
        report.expect(f"{task}, MB", run.megabytes, MEGABYTES_TARGET)
    if "together" in chosen:
        url, directory = logs.new()
        asyncio.run(fill(url, SOURCE, partitions, (record for _, records in batches for record in records)))
        run = derive(url, directory, TOGETHER, count)
        report.line(f"{len(TOGETHER)} together", run, count)
        ratio = run.cpu * 1e6 / sum(alone[name] for name in TOGETHER)
        print(f"{'':<22}{ratio:>7.2f} × the CPU of the {len(TOGETHER)} alone")
        if run.rows != sum(rows[name] for name in TOGETHER):
            report.failed.append(f"together: {run.rows} rows, and {sum(rows[name] for name in TOGETHER)} are expected")


def measure_replay(logs: Logs, batches: Batches, partitions: int, report: Report) -> None:
    """Derive everything, and begin again."""
    count = sum(len(records) for _, records in batches)
    url, directory = logs.new()
    asyncio.run(fill(url, SOURCE, partitions, (record for _, records in batches for record in records)))
    for task, name in LONG.items():
        derive(url, directory, [name], count)
        # The first events are of a day before, which has ended.
        run = derive(url, directory, [name], count * 19 // 20, replay=True)
        report.line(f"replay, {task}", run, run.replayed, REPLAY_TARGET)


def measure_latency(logs: Logs, count: int, rate: float, report: Report) -> None:
    """From an append to the derived event."""
    url, directory = logs.new()
    asyncio.run(fill(url, SOURCE, 1, iter(())))
    found: list[int] = []
    run = derive(
        url, directory, ["each"], count, meanwhile=lambda: found.extend(asyncio.run(_latencies(url, count, rate)))
    )
    shown = percentiles(found)
    print(f"{'append to derived':<22}p50 {shown['p50_ms']:.1f} ms, p99 {shown['p99_ms']:.1f} ms "
          f"({count} events at {rate:g}/s, {run.cpu / count * 1e6:.0f} us each)")  # fmt: skip
    report.expect("append to derived, p50 ms", shown["p50_ms"], P50_TARGET)
    report.expect("append to derived, p99 ms", shown["p99_ms"], P99_TARGET)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--log", choices=("sqlite", "kafka"), default="sqlite")
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--partitions", type=int, default=2)
    parser.add_argument("--rate", type=float, default=100.0, help="events a second, for the latency")
    parser.add_argument("--latencies", type=int, default=1_000, help="events of which the latency is measured")
    options = parser.parse_args(arguments)
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if not 1_000 <= options.events <= LARGEST or not 1 <= options.partitions <= len(TASKS):
        parser.error(f"--events is from 1000 to {LARGEST}, --partitions from 1 to {len(TASKS)}")
    chosen, report = options.parts or PARTS, Report()
    try:
        with logs(options.log) as place:
            batches = events(options.events, options.partitions)
            print(f"{options.log}, {options.events} events in {options.partitions} partitions")
            print(f"{'':<22}{'us':>7}{'events/s':>11}{'wall':>10}{'rows':>9}{'memory':>10}")
            if {*chosen} & {*TASKS.values(), "together"}:
                measure_tasks(place, batches, chosen, options.partitions, report)
            if "replay" in chosen:
                measure_replay(place, batches, options.partitions, report)
            if "latency" in chosen:
                measure_latency(place, options.latencies, options.rate, report)
    except MeasurementError as error:
        report.failed.append(str(error))
    for line in report.failed:
        print(line, file=sys.stderr)
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
