"""The memory of a gateway is bounded by its settings, whatever its readers do with large events."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml

from gateway.catalog.stream import Retention
from gateway.eventlog.sqlite.log import SqliteLog
from gateway.model.record import NewRecord
from gateway.settings.relations import memory_bound
from gateway.settings.table import Settings
from tests.end_to_end.process import WAIT, eventually
from tests.kit.events import numbered
from tests.services.kafka import free_port

pytestmark = pytest.mark.end_to_end

EVENTS = 120
SECONDS_OF_SILENCE = 4.0
SECONDS_OF_READING = 10.0
MEGABYTE = 1 << 20
LEAST = 50 * MEGABYTE
"""Read by all together."""
BOUNDS = {
    "idempotency_events": 1000,
    "ring_bytes": 4 * MEGABYTE,
    "ring_fill": 0.1,
    "block_cache_bytes": 8 * MEGABYTE,
    "replay_cache_bytes": 8 * MEGABYTE,
    "session_bytes": 8 * MEGABYTE,
    "intake_queue_bytes": 8 * MEGABYTE,
    "intake_max_bytes": MEGABYTE,
    "replay_readers": 4,
}
POSITION = quote(json.dumps([{"topic": "t", "partition": 0, "timestamp": 1}]))
ASKED = [
    *(f"since=1&fields=text,x{number}" for number in range(8)),
    "since=1",
    "since=1&filter=" + quote("event.n%2==0"),
    "since=1&filter=" + quote("event.text.startsWith('a')"),
    "since=1&limit=50",
    "since=1&until=2100-01-01",
    f"last_event_id={POSITION}",
    "",
    "",
]
FORMS = ["", "Accept: application/x-ndjson\r\n", "Accept-Encoding: gzip\r\n"]


def event(number: int) -> bytes:
    return numbered(number, text=os.urandom(500_000).hex())


def highest(process: asyncio.subprocess.Process) -> int:
    """The most memory that the process has had, in bytes."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


@asynccontextmanager
async def gateway(folder: Path, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    config = {**BOUNDS, "streams": {"s": {"topics": ["t"], "resume": "timestamp"}}}
    (folder / "gateway.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(folder / "gateway.yaml")]
    command += ["--log", f"sqlite:///{folder}/events.db", "--port", str(port), "--admin-port", "0"]
    with (folder / "log").open("w") as output:
        process = await asyncio.create_subprocess_exec(*command, stderr=output)
    try:
        async with asyncio.timeout(WAIT):
            while True:
                try:
                    (await asyncio.open_connection("127.0.0.1", port))[1].close()
                    break
                except OSError:
                    await asyncio.sleep(0.1)
        yield process
    finally:
        process.kill()
        await process.wait()


async def ask(port: int, path: str) -> bytes:
    """The answer to a request on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer


async def connect(port: int, query: str, form: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A reader that takes nothing until it is read from."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.write(f"GET /v2/stream/s?{query} HTTP/1.1\r\nHost: x\r\n{form}\r\n".encode())
    return reader, writer


async def read(reader: asyncio.StreamReader, most: int, sizes: list[int]) -> None:
    """Read so many bytes, and tell how many each part had."""
    size = 0
    with suppress(ConnectionError):
        while size < most and (part := await reader.read(MEGABYTE)):
            size += len(part)
            sizes.append(len(part))


async def hold_to_the_bound(
    process: asyncio.subprocess.Process,
    connections: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]],
    most: int,
    folder: Path,
) -> None:
    """Read nothing for a while, then so many bytes of each; the process never takes more than the settings allow."""
    await asyncio.sleep(SECONDS_OF_SILENCE)
    silent = highest(process)
    sizes: list[int] = []

    async def enough() -> bool:
        return sum(sizes) > LEAST

    reading = [asyncio.create_task(read(reader, most, sizes)) for reader, _ in connections]
    await asyncio.wait(reading, timeout=SECONDS_OF_READING)
    # A busy machine takes longer until it says something.
    await eventually(enough, "more than hardly anything was read")
    for task in reading:
        task.cancel()
    await asyncio.gather(*reading, return_exceptions=True)
    assert process.returncode is None
    bound = memory_bound(Settings(**BOUNDS))  # type: ignore[arg-type]
    shown = f"silent {silent >> 20} MB, reading {highest(process) >> 20} MB, bound {bound >> 20} MB"
    assert highest(process) < bound, shown
    (folder / "shown").write_text(shown)
    for _, writer in connections:
        writer.close()


async def test_no_reader_takes_more_than_the_settings_allow(log: SqliteLog, tmp_path: Path) -> None:
    await log.create("t", 1, Retention())
    begun = int(time.time() * 1000) - 3_600_000
    for number in range(EVENTS):
        await log.append("t", [NewRecord(event(number), None, begun + number)])
    port = free_port()
    async with gateway(tmp_path, port) as process:
        connections = [await connect(port, query, form) for form in FORMS for query in ASKED]
        for number in range(5):
            await log.append("t", [NewRecord(event(number), None, int(time.time() * 1000))])
        await hold_to_the_bound(process, connections, 12 * MEGABYTE, tmp_path)


def dense(number: int, size: int = 900_000) -> bytes:
    """An event that takes more than twenty times as many bytes once it is parsed."""
    return b'{"n":%d,"text":"a","list":[%b]}' % (number, b",".join([b"{}"] * (size // 3)))


def plain(number: int, size: int = 100_000) -> bytes:
    return numbered(number, text=os.urandom(size // 2).hex())


async def test_dense_events_and_clients_that_stop_reading_take_no_more_either(log: SqliteLog, tmp_path: Path) -> None:
    """Live clients and laggards in each form, filters over events that are large once they are parsed, and those who
    ask for what there is."""
    await log.create("t", 1, Retention())
    begun = int(time.time() * 1000) - 3_600_000
    for number in range(30):
        await log.append("t", [NewRecord(dense(number), None, begun + number)])
    port = free_port()
    async with gateway(tmp_path, port) as process:
        filters = [quote(f"event.n >= 0 && size(event.list) > {number}") for number in range(4)]
        queries = [*(f"since=1&filter={text}" for text in filters), *(f"filter={text}" for text in filters), *[""] * 40]
        connections = [await connect(port, query, form) for form in FORMS for query in queries]
        await asyncio.sleep(1.0)
        for number in range(60):
            # They fall behind while they are live; the ring of 4 MB then goes on without them.
            await log.append("t", [NewRecord(plain(number), None, int(time.time() * 1000))])
            await asyncio.sleep(0.05)
        for number in range(6):
            await log.append("t", [NewRecord(dense(number), None, int(time.time() * 1000))])
            for path in ("/v2/streams", "/explorer/rates", "/healthz"):
                assert b" 200 " in (await ask(port, path))[:20]
        await hold_to_the_bound(process, connections, 4 * MEGABYTE, tmp_path)
