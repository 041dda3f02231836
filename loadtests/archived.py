"""What clients feel of an archive, and what it costs the gateway, over HTTP: the first event of 30 days ago among many
files, a replay beside that of the log alone, memory, and the time until it serves.

python -m loadtests.archived [EVENTS [FILES...]]
"""

from __future__ import annotations

import asyncio
import http.client
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median

import orjson

from gateway.archive.archive import Archive
from gateway.archive.archiver import Archiver
from gateway.archive.columns import columns_of
from gateway.archive.files import FileWriter, Written
from gateway.archive.layout import PLACES, Place, day_of
from gateway.archive.store import Store
from gateway.archive.table import Position, Table
from gateway.archive.threads import Threads
from gateway.clock import SystemClock
from gateway.demo.wiki import WikiSample
from gateway.eventlog.port import TopicState
from gateway.eventlog.sqlite.log import SqliteLog
from gateway.model.record import NewRecord, Record, TopicPartition
from gateway.schemas.repository import SchemaRepository
from loadtests.archive import say
from loadtests.machine import free_port
from loadtests.server import Server, get

TOPIC = "wiki.change"
ZERO = TopicPartition(TOPIC, 0)
DAYS = 60
DAY = 86_400_000
"""Milliseconds."""
PER_FILE = 20
"""Events."""
COMMIT = 1000
"""Files."""
BATCH = 5000
KEPT = 4
"""One event of so many is in the log; all before is in the archive alone."""
REPEATS = 3
ASKED = 20
"""Times at which a stream is asked for."""
PART = 1 << 18
READ = ("--ring-fill", "0", "--ring-bytes", "65536", "--replay-cache-bytes", "0", "--processing", "off")
"""Nothing comes from memory, and nobody archives meanwhile."""


class Gateway(Server):
    """`gateway serve` over a log, with an archive or without. `seconds` is the time until it served."""

    def __init__(self, directory: Path, log: Path, archive: Path | None, settings: Sequence[str] = ()) -> None:
        config = directory / f"gateway-{time.time_ns()}.yaml"
        archived = "" if archive is None else ", archive: true"
        config.write_text(f"streams:\n  {TOPIC}: {{schema_title: wiki/change{archived}}}\n")
        port = free_port()
        command = [sys.executable, "-m", "gateway", "serve", "--log", f"sqlite:///{log}", "--config", str(config)]
        command += ["--schemas", "config/schemas", "--port", str(port), "--admin-port", str(free_port()), *settings]
        command += [] if archive is None else ["--archive", str(archive)]
        begun = time.perf_counter()
        super().__init__("gateway", command, port, directory)
        while not self._serves() and self.process.poll() is None:
            time.sleep(0.005)
        self.seconds = time.perf_counter() - begun
        self.wait_until_ready("/readyz")

    def _serves(self) -> bool:
        try:
            return get(self.port, "/readyz")[0] == 200
        except OSError:
            return False


def read(port: int, query: str, kind: str, mark: bytes) -> tuple[float, float, int]:
    """Ask for a range; the seconds to the first event, the seconds in all, and the number of events."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with closing(connection):
        begun = time.perf_counter()
        connection.request("GET", f"/v2/stream/{TOPIC}?{query}", headers={"accept": kind})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        first, count, rest = 0.0, 0, b""
        while part := answer.read1(PART):
            count += (rest + part).count(mark)
            rest = part[1 - len(mark) :]
            if count and not first:
                first = time.perf_counter() - begun
        return first, time.perf_counter() - begun, count


def changes(count: int, begin: int, end: int) -> Iterator[NewRecord]:
    """So many, evenly from one time to another."""
    sample = WikiSample(7, begin)
    for number in range(count):
        at = begin + (end - begin) * number // count
        event, _ = sample.next(at)
        yield NewRecord(orjson.dumps(event), event["wiki"].encode(), at)


async def fill(log: SqliteLog, records: Sequence[NewRecord]) -> None:
    """Append in batches."""
    for begin in range(0, len(records), BATCH):
        await log.append(TOPIC, records[begin : begin + BATCH])


async def many_files(directory: Path, files: int) -> tuple[Path, Path]:
    """A log of the last minutes, and an archive of so many small files before it."""
    count, now = files * PER_FILE, time.time_ns() // 1_000_000
    path, place = directory / f"{files}.db", directory / f"archive-{files}"
    log = SqliteLog(path)
    await log.open()
    await log.create(TOPIC)
    await log.begin_at(ZERO, count)
    await fill(log, list(changes(100, now - 100_000, now)))
    state = (await log.describe([TOPIC]))[TOPIC]
    assert isinstance(state, TopicState)
    await log.close()
    here = Place(state.identity, ZERO)
    uri = str(place / TOPIC)
    table, store = Table(uri, {}), Store(uri, {})
    schema = SchemaRepository(["config/schemas"]).get("wiki/change")
    assert schema is not None
    columns = table.prepare(columns_of(schema.document))
    written: list[Written] = []
    end: int | None = None
    day = ""
    waiting: list[Record] = []
    for offset, new in enumerate(changes(count, now - DAYS * DAY, now - 100_000)):
        waiting.append(Record(TOPIC, 0, offset, new.timestamp or 0, new.key, new.value))
        if len(waiting) == PER_FILE:
            day = day_of(waiting[0].timestamp, day, now)
            writer = FileWriter(store, here, day, waiting[0].offset, columns)
            writer.add(waiting)
            written.append(writer.close(offset + 1))
            waiting = []
        if len(written) == COMMIT or (offset + 1 == count and written):
            positions = [Position(here.application("end"), end, offset + 1)]
            if end is None:
                positions += [Position(here.application("start"), None, 0), Position(PLACES, None, 1)]
            table.commit(written, [], positions)
            end, written = offset + 1, []
    return path, place


async def old_and_new(directory: Path, count: int) -> tuple[Path, Path, Path, str]:
    """A log with all events, one with the last of them, an archive of all, and the query for all but the newest."""
    now = time.time_ns() // 1_000_000
    begin = now - 30 * DAY
    whole, part, place = directory / "whole.db", directory / "part.db", directory / "archive"
    log = SqliteLog(whole)
    await log.open()
    await log.create(TOPIC)
    await fill(log, list(changes(count, begin, now)))
    schema = SchemaRepository(["config/schemas"]).get("wiki/change")
    assert schema is not None
    uri, threads = str(place / TOPIC), Threads(1, "figures")
    table = Table(uri, {})
    archive = Archive("figures", table, Store(uri, {}))
    archiver = Archiver(log, (TOPIC,), table, archive, columns_of(schema.document), 1 << 26, SystemClock(), threads)
    begun, cpu = time.perf_counter(), time.process_time()
    progress = await archiver.round()
    assert progress.records == count, progress
    took, used = time.perf_counter() - begun, time.process_time() - cpu
    await log.close()
    size = sum(file.stat().st_size for file in place.rglob("*.parquet"))
    say("archive from SQLite", f"{count / took:,.0f} events/s, {used / count * 1e6:.1f} µs of CPU each")
    say(
        f"size, in {progress.files} files",
        f"{size / count:.0f} B an event; {whole.stat().st_size / count:.0f} in SQLite",
    )
    shutil.copy(whole, part)
    with closing(sqlite3.connect(part)) as connection, connection:
        left = count - count // KEPT
        connection.execute("DELETE FROM records WHERE offset < ?", (left,))
        connection.execute("UPDATE partitions SET first = ?", (left,))
    return whole, part, place, f"since={begin - 1000}&until={now - (now - begin) // count}"


def first_events(directory: Path, files: int) -> None:
    """The first event of a time about 30 days ago, of a process that has just started, and later."""
    begun = time.perf_counter()
    log, archive = asyncio.run(many_files(directory, files))
    say(f"{files:,} files", f"made in {time.perf_counter() - begun:.0f} s")
    now = time.time_ns() // 1_000_000

    def ask(server: Server, number: int) -> float:
        since = now - 30 * DAY - number * DAY // 3
        return read(server.port, f"since={since}&limit=1", "application/x-ndjson", b'"$schema"')[0]

    with Gateway(directory, log, archive, READ) as server:
        say("  until it serves", f"{server.seconds * 1000:.0f} ms")
        cold, *warm = [ask(server, number) for number in range(ASKED)]
        say("  the first event 30 days back, at first", f"{cold * 1000:.0f} ms")
        say("  then, median and most", f"{median(warm) * 1000:.1f} ms, {max(warm) * 1000:.1f} ms")
        say("  memory", f"{server.memory() / 1e6:.0f} MB")


def replays(directory: Path, count: int) -> None:
    """A replay of all events, in turns from the log alone and from archive and log."""
    whole, part, archive, query = asyncio.run(old_and_new(directory, count))
    sides: dict[str, Callable[[], Gateway]] = {
        "the log alone": lambda: Gateway(directory, whole, None, READ),
        f"archive ({KEPT - 1}/{KEPT}) and log": lambda: Gateway(directory, part, archive, READ),
    }
    walls: dict[str, list[float]] = {side: [] for side in sides}
    cpus: dict[str, list[float]] = {side: [] for side in sides}
    memory: dict[str, float] = {}
    for _ in range(REPEATS):
        for side, start in sides.items():
            with start() as server:
                used = server.cpu()
                _, seconds, events = read(server.port, query, "text/event-stream", b"event: message")
                assert count - 2 <= events <= count, (events, count)
                walls[side].append(events / seconds)
                cpus[side].append(events / (server.cpu() - used))
                memory[side] = server.memory() / 1e6
    for side in sides:
        say(f"replay from {side}", f"{median(walls[side]):,.0f} events/s, {median(cpus[side]):,.0f} per second of CPU")
        say("  memory after it", f"{memory[side]:.0f} MB")


def costs(directory: Path) -> None:
    """Start and memory of a gateway that has nothing to do, with an archive and without, with and without archiving."""
    log, archive = directory / "part.db", directory / "archive"
    for name, place, settings in (
        ("no archive", None, ("--processing", "off")),
        ("an archive that is read", archive, ("--processing", "off")),
        ("no archive, and processing", None, ()),
        ("an archive that is read and written", archive, ()),
    ):
        seconds, memory, family = [], [], 0
        for _ in range(REPEATS):
            with Gateway(directory, log, place, settings) as server:
                seconds.append(server.seconds)
                time.sleep(2)
                memory.append(server.memory())
                family = len(server.usages())
        figure = f"{median(seconds) * 1000:.0f} ms, {median(memory) / 1e6:.0f} MB in {family} processes"
        say(f"start and memory: {name}", figure)


def main(events: int = 200_000, *files: int) -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as directory:
        replays(Path(directory), events)
        costs(Path(directory))
        for count in files or (1_000, 10_000):
            first_events(Path(directory), count)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
