"""`gateway rules run` is killed and stopped while its target fails now and then: nothing is lost, and nothing is both
delivered and dead."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.eventlog.kafka.log import KafkaLog
from gateway.eventlog.port import EventLog
from gateway.eventlog.sqlite.log import SqliteLog
from gateway.model.record import NewRecord
from gateway.rules.runner import MOST_UNSTORED
from gateway.rules.tries import tries_of
from tests.end_to_end.process import configuration
from tests.eventlog.kit import patiently
from tests.rules.kit import values

pytestmark = pytest.mark.end_to_end

STREAM, PROBE, DEAD, RULE = "wiki.page-delete", "wiki.probe", "wiki.purge-dead", "purge"
"""With a suffix for each test: several use one broker."""
EVENTS = 400
KILLS = 3
CONCURRENCY = 20
SECONDS = 60.0


class Target:
    """Answers 503 to the first try of every third event, and always to every twentieth; it closes some connections
    without a word."""

    def __init__(self) -> None:
        self.tries: Counter[int] = Counter()
        self.done: Counter[int] = Counter()
        self.keys: dict[int, set[bytes]] = {}
        self.flying: set[bytes] = set()
        self.clashes = 0
        self.probed = False
        """Whether it was asked of an event of PROBE, which does not count."""
        self._random = random.Random(3)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
                number = orjson.loads(await reader.readexactly(length))["n"]
                if number < 0:
                    self.probed = True
                    writer.write(b"HTTP/1.1 204 x\r\n\r\n")
                    continue
                self.tries[number] += 1
                self.keys.setdefault(number, set()).add(head.split(b"idempotency-key: ")[1].split(b"\r\n")[0])
                await asyncio.sleep(self._random.random() * 0.01)
                if self._random.random() < 0.02 and self.tries[number] == 1:
                    break
                if hopeless(number) or (self.tries[number] == 1 and number % 3 == 0):
                    writer.write(b"HTTP/1.1 503 x\r\ncontent-length: 4\r\n\r\nbusy")
                else:
                    self.done[number] += 1
                    writer.write(b"HTTP/1.1 204 x\r\n\r\n")
        writer.transport.abort()


def hopeless(number: int) -> bool:
    """Whether it is refused each time."""
    return number % 20 == 13


@pytest.fixture
async def target() -> AsyncIterator[tuple[Target, int]]:
    target = Target()
    server = await asyncio.start_server(target.handle, "127.0.0.1", 0)
    yield target, server.sockets[0].getsockname()[1]
    server.close()


@pytest.fixture(params=["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
async def log(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[EventLog, str]]:
    log: EventLog
    suffix = uuid.uuid4().hex[:8]
    for name in ("STREAM", "PROBE", "DEAD", "RULE"):
        monkeypatch.setitem(globals(), name, f"{globals()[name]}-{suffix}")
    if request.param == "sqlite":
        log, url = SqliteLog(tmp_path / "events.db"), f"sqlite:///{tmp_path / 'events.db'}"
    else:
        bootstrap = request.getfixturevalue("kafka")
        log, url = KafkaLog([bootstrap]), f"kafka://{bootstrap}"
    await log.open()
    for stream in (STREAM, PROBE):
        await patiently(partial(log.create, stream))
    yield log, url
    await log.close()


def configured(tmp_path: Path, port: int) -> Path:
    """A file with one rule."""
    rule = {
        "on": [STREAM, PROBE],
        "do": [{"request": {"url": f"http://127.0.0.1:{port}/purge/{{event.title}}", "json": {"n": "event.n"}}}],
        "key": "event.title",
        "concurrency": CONCURRENCY,
        "retry": {"after": ["100ms", "300ms"]},
        "dead_stream": DEAD,
    }
    streams: dict[str, Any] = {STREAM: {}, PROBE: {}, DEAD: {"schema_title": "gateway/error"}}
    return configuration(tmp_path, streams, rules={RULE: rule}, rule_networks=["127.0.0.0/8"])


async def start(config: Path, url: str) -> asyncio.subprocess.Process:
    """A process that runs the rule."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "rules", "run", "--config", str(config), "--log", url,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Return once it holds."""
    async with asyncio.timeout(SECONDS):
        while not await condition():  # noqa: ASYNC110  # other processes make it so
            await asyncio.sleep(0.05)


@asynccontextmanager
async def ended(*processes: asyncio.subprocess.Process) -> AsyncIterator[None]:
    """Whatever happens, they do."""
    try:
        yield
    finally:
        for process in processes:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.kill()
            await process.wait()


async def begun(log: EventLog, target: Target) -> None:
    """Wait until the rule has begun. It is about what comes after that, and tries nothing before its position says so:
    events of another stream come until it tries one."""
    probe = NewRecord(orjson.dumps({"n": -1, "title": "probe", "meta": {"id": "probe"}}), partition=0)

    async def is_tried() -> bool:
        if not target.probed:
            await patiently(lambda: log.append(PROBE, [probe]))
        return target.probed

    await until(is_tried)


async def check(log: EventLog, target: Target) -> None:
    """All is delivered or dead, with one key an event."""
    dead = [tries_of(record) for record in await patiently(lambda: values(log, DEAD))]
    offsets = Counter(one.offset for one in dead if one is not None)
    assert len(dead) == offsets.total()
    assert set(offsets) == {number for number in range(EVENTS) if hopeless(number)}
    assert set(offsets.values()) == {1}
    assert set(target.done) == {number for number in range(EVENTS) if not hopeless(number)}
    assert all(len(keys) == 1 for keys in target.keys.values())
    assert len({key for keys in target.keys.values() for key in keys}) == EVENTS
    assert target.done.total() - len(target.done) <= KILLS * (MOST_UNSTORED + CONCURRENCY)


async def test_a_rule_is_killed(log: tuple[EventLog, str], target: tuple[Target, int], tmp_path: Path) -> None:
    the_log, url = log
    config = configured(tmp_path, target[1])
    process = await start(config, url)
    chance = random.Random(7)
    async with ended(process):
        await begun(the_log, target[0])
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    records = [
        NewRecord(orjson.dumps({"n": number, "title": f"Page {number % 97}", "meta": {"id": str(number)}}), partition=0)
        for number in range(EVENTS)
    ]
    await the_log.append(STREAM, records)
    for round_ in range(KILLS):
        process = await start(config, url)
        async with ended(process):
            reached = min(EVENTS - 1, (round_ + 1) * EVENTS // (KILLS + 1))

            async def far(reached: int = reached) -> bool:
                return len(target[0].tries) >= reached

            await until(far)
            await asyncio.sleep(chance.random() * 0.2)
    process = await start(config, url)

    async def all_done() -> bool:
        dead = await patiently(lambda: values(the_log, DEAD))
        return len(target[0].done) + len(dead) >= EVENTS

    async with ended(process):
        await until(all_done)
        await asyncio.sleep(0.5)
    await check(the_log, target[0])


async def test_two_processes_want_one_rule(
    log: tuple[EventLog, str], target: tuple[Target, int], tmp_path: Path
) -> None:
    the_log, url = log
    config = configured(tmp_path, target[1])
    first = await start(config, url)
    async with ended(first):
        await begun(the_log, target[0])
        records = [
            NewRecord(orjson.dumps({"n": number, "title": f"Page {number}", "meta": {"id": str(number)}}), partition=0)
            for number in range(EVENTS)
        ]
        await the_log.append(STREAM, records[:100])

        async def tried() -> bool:
            return len(target[0].tries) > 50

        await until(tried)
        second = await start(config, url)
        async with ended(second):
            await the_log.append(STREAM, records[100:200])
            if url.startswith("kafka"):
                first.send_signal(signal.SIGSTOP)
            else:
                # A process that is stopped may hold the lock of an embedded log's file.
                first.kill()
            await the_log.append(STREAM, records[200:300])

            async def taken_over() -> bool:
                return len(target[0].tries) >= 300

            # The second has stood by until now.
            await until(taken_over)
            with suppress(ProcessLookupError):
                first.send_signal(signal.SIGCONT)
            await the_log.append(STREAM, records[300:])

            async def all_done() -> bool:
                dead = await patiently(lambda: values(the_log, DEAD))
                return len(target[0].done) + len(dead) >= EVENTS

            await until(all_done)
            await asyncio.sleep(0.5)
            assert second.returncode is None
            for one in (second, first):
                with suppress(ProcessLookupError):
                    one.terminate()
            assert await second.wait() == 0
            # The one that was stopped goes on, beside the other.
            assert await first.wait() == (0 if url.startswith("kafka") else -signal.SIGKILL)
    await check(the_log, target[0])
