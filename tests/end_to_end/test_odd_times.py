"""Records of any time in a real Kafka, and topics of many partitions: every id comes back, by every client."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from gateway.client import Subscription, subscribe
from gateway.eventlog.kafka.log import KafkaLog
from gateway.eventlog.sqlite.log import SqliteLog
from gateway.eventlog.trouble import Trouble
from gateway.model.position import LARGEST_INTEGER, SMALLEST_TIME
from gateway.model.record import NewRecord, TopicPartition
from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import ROOT, WAIT, GatewayProcess, configuration, environment, eventually
from tests.eventlog.kit import create_topic, patiently, take
from tests.kit.events import numbered
from tests.routes.kit import frames

pytestmark = [pytest.mark.kafka, pytest.mark.end_to_end]

NOW = 1_764_000_000_000
TIMES = [-1, -1, NOW, -5, SMALLEST_TIME, NOW * 1000, -1, LARGEST_INTEGER, 0, NOW + 1, -1]
"""In the order of the log. None of them is what a client library would write."""


async def create_for_any_time(bootstrap: str, topic: str, partitions: int = 1) -> None:
    """A topic that takes every time, and keeps records for ever: most are as old as time."""
    longest = str(LARGEST_INTEGER)
    settings = {f"message_timestamp_{end}_max_ms": longest for end in ("before", "after")} | {"retention_ms": "-1"}
    await create_topic(bootstrap, topic, partitions, **settings)


@asynccontextmanager
async def kafka_log(bootstrap: str) -> AsyncIterator[KafkaLog]:
    log = KafkaLog([bootstrap])
    await log.open()
    try:
        yield log
    finally:
        await log.close()


async def write(log: KafkaLog | SqliteLog, topic: str, times: Sequence[int], first: int = 0) -> None:
    """Events of these times, each in a batch of its own: a batch holds differences of times, which fit into no 64 bits
    where the times are far apart."""
    for number, time in enumerate(times, first):
        await log.append(topic, [NewRecord(numbered(number), None, time, 0)])


async def read(gateway: GatewayProcess, topic: str, identifier: str = "", **query: object) -> list[tuple[int, str]]:
    """The numbers of a finished range, with the id after each."""
    parameters = {name: str(value) for name, value in query.items()} | (
        {"last_event_id": identifier} if identifier else {}
    )
    async with httpx.AsyncClient(base_url=gateway.address, timeout=WAIT) as client:
        response = await client.get(f"/v2/stream/{topic}", params=parameters)
    assert response.status_code in (200, 204), response.text
    found = frames(response.content)
    assert not [one for one in found if one.event in ("gap", "error")]
    return [(json.loads(one.data)["n"], one.id) for one in found if one.event == "message"]


async def numbers_of(subscription: Subscription, count: int) -> list[int]:
    found: list[int] = []
    async with asyncio.timeout(WAIT), aclosing(subscription.batches()) as batches:
        async for batch in batches:
            found += [json.loads(event.data)["n"] for event in batch if event.event == "message"]
            if len(found) >= count:
                break
    return found


@pytest.mark.parametrize("form", ["json", "compact"])
async def test_every_record_is_gone_on_after(kafka: str, serve: Serve, topic: str, form: str) -> None:
    await create_for_any_time(kafka, topic)
    gateway = await serve({topic: {"topics": [topic]}}, f"kafka://{kafka}")
    empty = Subscription(f"{gateway.address}/v2/stream/{topic}?ids={form}")
    async with asyncio.timeout(WAIT), aclosing(empty.batches()) as batches:
        await anext(batches)
    async with kafka_log(kafka) as log:
        await write(log, topic, TIMES)
    whole = list(range(len(TIMES)))
    # Who stood at the empty partition, with an id that the client library has kept.
    later = Subscription(f"{gateway.address}/v2/stream/{topic}?ids={form}", last_event_id=empty.last_event_id)
    assert await numbers_of(later, len(TIMES)) == whole
    for again in range(2):
        found = await read(gateway, topic, since=0, limit=len(TIMES), ids=form)
        assert [number for number, _ in found] == whole
        for number, identifier in found[:-1]:
            rest = await read(gateway, topic, identifier, limit=len(TIMES) - number - 1)
            assert [n for n, _ in rest] == whole[number + 1 :]
        # From the log, and once more from what the ring is filled with at a start.
        if not again:
            await gateway.stop()
            await gateway.start()
    listed = json.loads((await gateway.get("/v2/streams")).text)
    assert [one["newest"] for one in listed] in ([None], ["1970-01-01T00:00:00.000Z"])
    assert (await gateway.get(f"/v2/streams/{topic}")).status_code == 200
    assert await gateway.stop() == 0


async def test_since_and_records_without_a_time(kafka: str, serve: Serve, topic: str) -> None:
    await create_for_any_time(kafka, topic)
    async with kafka_log(kafka) as log:
        await write(log, topic, [-1, -7, -1])
        gateway = await serve({topic: {"topics": [topic]}}, f"kafka://{kafka}")
        for since in ("0", "1", "1990-01-01", "1h"):
            assert [n for n, _ in await read(gateway, topic, since=since, limit=3)] == [0, 1, 2]
        await write(log, topic, [NOW, -1, NOW + 10], 3)
    await eventually(lambda: _has(gateway, topic, 6), "all are read")
    for time, first in [(0, 0), (NOW, 0), (NOW + 1, 5)]:
        assert [n for n, _ in await read(gateway, topic, since=time, limit=6 - first)] == list(range(first, 6))


async def _has(gateway: GatewayProcess, topic: str, count: int) -> bool:
    return len(await read(gateway, topic, since=0, limit=count)) == count


async def test_tail_and_mirror_go_on_over_them(kafka: str, serve: Serve, topic: str, tmp_path: Path) -> None:
    await create_for_any_time(kafka, topic)
    gateway = await serve({topic: {"topics": [topic]}}, f"kafka://{kafka}")
    position = tmp_path / "position"
    command = [sys.executable, "-m", "gateway", "tail", topic, "--server", gateway.address, "--resume", str(position)]
    copy = tmp_path / "copy.db"
    config = configuration(tmp_path, {"copy": {"topics": ["copy"]}})
    mirror = [sys.executable, "-m", "gateway", "mirror", f"{gateway.address}/v2/stream/{topic}", "copy"]
    mirror += ["--since", "0", "--config", str(config), "--log", f"sqlite:///{copy}"]
    async with kafka_log(kafka) as log:
        for first in range(0, len(TIMES), 4):
            times = TIMES[first : first + 4]
            await write(log, topic, times, first)
            more = ["--limit", str(len(times)), *([] if first else ["--since", "0"])]
            output = await _run([*command, *more])
            assert [json.loads(line)["n"] for line in output.splitlines()] == list(range(first, first + len(times)))
            process = await asyncio.create_subprocess_exec(*mirror, cwd=ROOT, env=environment())
            try:
                await eventually(partial(_copied, copy, first + len(times)), "the mirror has copied them")
            finally:
                process.terminate()
                await process.wait()


async def _run(command: Sequence[str]) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=ROOT, env=environment()
    )
    killing = asyncio.get_running_loop().call_later(WAIT, process.kill)
    output, errors = await process.communicate()
    killing.cancel()
    assert process.returncode == 0, (output, errors)
    return output.decode()


async def _copied(path: Path, count: int) -> bool:
    log = SqliteLog(path)
    await log.open()
    place = TopicPartition("copy", 0)
    try:
        bounds = (await log.bounds([place]))[place]
        if isinstance(bounds, Trouble) or bounds.end < count:
            return False
        reader = await log.reader({place: 0})
        records = await take(reader, count)
        await reader.close()
    finally:
        await log.close()
    assert [json.loads(record.value or b"")["n"] for record in records] == list(range(count))
    return True


async def test_seven_hundred_partitions(kafka: str, serve: Serve, topic: str) -> None:
    """The ids of a stream that no proxy would take back in JSON: by default short, in JSON refused."""
    await create_for_any_time(kafka, topic, 700)
    async with kafka_log(kafka) as log:
        await patiently(lambda: log.create(topic, 700))  # It is there; returns when every partition has a leader.
        async with AIOKafkaProducer(bootstrap_servers=kafka, request_timeout_ms=120_000) as producer:
            for n in range(1400):
                await producer.send(topic, numbered(n), partition=n % 700, timestamp_ms=NOW + n)
            await producer.flush()
        gateway = await serve({topic: {"topics": [topic]}}, f"kafka://{kafka}")
        refused = await gateway.get(f"/v2/stream/{topic}?ids=json&limit=1")
        assert refused.status_code == 400
        assert "700 partitions" in refused.json()["detail"]
        found = await read(gateway, topic, since=0, limit=1000)
        assert max(len(identifier) for _, identifier in found) < 8000
        rest = await read(gateway, topic, found[-1][1], limit=400)
        assert sorted(n for n, _ in found + rest) == list(range(1400))
        async with subscribe(gateway.address, topic, last_event_id=rest[-1][1]) as events:
            await log.append(topic, [NewRecord(b'{"n":1400}', None, NOW + 5000, 7)])
            async with asyncio.timeout(WAIT):
                event = await anext(events)
        assert (event.json["n"], event.topic, event.partition, event.offset) == (1400, topic, 7, 2)
