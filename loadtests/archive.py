"""What an archive costs: copying, finding, reading back, and the index of many files. Figures are per second of CPU.

python -m loadtests.archive [EVENTS]
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

import orjson

from gateway.archive.archive import Archive
from gateway.archive.archiver import Archiver
from gateway.archive.columns import columns_of
from gateway.archive.index import FileRow, index_of
from gateway.archive.layout import Place, Span, file_path
from gateway.archive.log import ArchivedLog
from gateway.archive.store import Store
from gateway.archive.table import Table
from gateway.archive.threads import Threads
from gateway.clock import SystemClock
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.port import Batch
from gateway.model.record import NewRecord, TopicPartition
from gateway.schemas.repository import SchemaRepository

TOPIC, PARTITIONS = "wiki.change", 4
START = 1_790_000_000_000


def say(what: str, figure: str) -> None:
    print(f"{what:<48} {figure}")


async def copy_and_read(count: int, place: Path) -> dict[str, float]:
    """Copy events of several partitions, let the log forget them, and read them back; returns microseconds of CPU, and
    bytes, for an event."""
    schema = SchemaRepository(["config/schemas"]).get("wiki/change")
    assert schema is not None
    example = schema.examples[0]
    log = MemoryLog()
    log.create_topic(TOPIC, PARTITIONS)
    size = 0
    for n in range(count):
        value = orjson.dumps(example | {"id": n, "title": f"Page {n % 10_007}", "user": f"User {n % 997}"})
        size += len(value)
        log.append_now(TOPIC, [NewRecord(value, b"%d" % (n % 997), START + n, n % PARTITIONS)])
    uri = str(place / TOPIC)
    table, store = Table(uri, {}), Store(uri, {})
    archive = Archive("figures", table, store)
    threads = Threads(1, "figures")
    archiver = Archiver(log, (TOPIC,), table, archive, columns_of(schema.document), 1 << 24, SystemClock(), threads)
    begun = time.process_time()
    progress = await archiver.round()
    found = {"event_us": (time.process_time() - begun) / count * 1e6, "event_bytes": size / count}
    say(f"archive {count:,} events of {size // count} B", f"{1e6 / found['event_us']:,.0f} events/s")
    written = sum(file.stat().st_size for file in place.rglob("*.parquet"))  # noqa: ASYNC240
    found["file_bytes"] = written / count
    say(f"{progress.files} files", f"{written / count:.0f} B an event")
    for number in range(PARTITIONS):
        partition = TopicPartition(TOPIC, number)
        log.truncate(TOPIC, number, log.partition(partition).end)
    archived = ArchivedLog(log, lambda _: archive)
    archived.archives = {TOPIC: archive}
    reader = await archived.reader({TopicPartition(TOPIC, number): 0 for number in range(PARTITIONS)})
    read, begun = 0, time.process_time()
    while read < count:
        for batch in await reader.fetch(5, 4000):
            assert isinstance(batch, Batch)
            read += len(batch.records)
    found["read_us"] = (time.process_time() - begun) / count * 1e6
    say("read back", f"{1e6 / found['read_us']:,.0f} events/s")
    begun = time.perf_counter()
    times = await archived.find({TopicPartition(TOPIC, 1): START + count // 2})
    offset = times[TopicPartition(TOPIC, 1)]
    assert isinstance(offset, int)
    first = await archived.reader({TopicPartition(TOPIC, 1): offset})
    assert await first.fetch(5, 1)
    say("find a time and read the first event", f"{(time.perf_counter() - begun) * 1000:.1f} ms")
    return found


def index(count: int) -> None:
    """Make the index of so many files."""
    partition = TopicPartition(TOPIC, 0)
    rows = []
    for n in range(count):
        path = file_path(Span("2026-09-21", partition, 1000 * n, 1000 * n + 1000))
        rows.append(FileRow(path, 1 << 20, 1000, "identity", 1000 * n, 1000 * n + 999, START + n))
    place = Place("identity", partition)
    positions = {place.application("start"): 0, place.application("end"): 1000 * count}
    begun = time.process_time()
    index_of(rows, positions.get)
    say(f"index of {count:,} files", f"{(time.process_time() - begun) * 1000:.0f} ms")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(copy_and_read(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000, Path(directory)))
    index(1_000)
    index(10_000)
