"""Hostile parties, in a process of their own that gives way to everybody else.

    python -m tests.attacks.force MODULE ATTACK OPTIONS

ATTACK is a function of `tests.attacks.MODULE` that is given a Force and goes on for ever; OPTIONS are those of Options,
as JSON. It ends at SIGTERM, and says then as JSON how often what was answered. Everything is on 127.0.0.1.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote, urlencode

from aiokafka import AIOKafkaProducer

from gateway.eventlog.sqlite.log import SqliteLog
from gateway.model.record import NewRecord
from loadtests.machine import allow_files
from tests.attacks.clock import Clock
from tests.end_to_end.process import ROOT

NICE = 10
FILES = 4096
BUFFER = 65536
ANSWER_SECONDS = 10.0
"""Whoever has no answer by then asks again. They are the gateway's own: it and the attackers wait for cores, too."""
PAUSE = 0.02
"""Seconds between two deeds of one attacker, so that it is the gateway that is measured, and not the machine."""
END_SECONDS = 120.0
"""Attackers give way to everybody, so that on a busy machine a second of theirs takes twenty."""
REFUSED_SECONDS = 0.1

Behaviour = Callable[[int], Awaitable[object]]
"""(number of the attacker): one deed."""


@dataclass(frozen=True)
class Options:
    """Where the gateway and its log are, and how the attack goes."""

    port: int
    log: str
    """A file of SQLite, or `kafka://host:port,…`."""
    addresses: int = 4
    """How many addresses the attackers have together; the plain client has another one, which is exempt from limits."""
    seed: int = 1
    count: int = 0
    """What it is depends on the attack."""
    kind: str = ""
    prefix: str = ""
    """What the names of the topics begin with."""
    awaited: str = ""
    """The answers, with blanks between them, for one of which the attack goes on at least; any where none is named."""
    pid: int = 0
    """The process of the gateway."""


def get(target: str, **headers: str) -> bytes:
    """A request; underscores in the names of headers stand for dashes."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"GET {target} HTTP/1.1", "host: 127.0.0.1", *lines, "", ""]).encode()


def post(body: bytes, *headers: str, kind: str = "application/json") -> bytes:
    """A request to the intake."""
    lines = ["POST /v1/events HTTP/1.1", "host: 127.0.0.1", f"content-type: {kind}", f"content-length: {len(body)}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body


def stream(names: str, **query: Any) -> str:
    """The target of a stream."""
    return f"/v2/stream/{quote(names, safe='*?,')}" + (f"?{urlencode(query)}" if query else "")


class Force:
    """What attacks have in common. `counted`: how often each status was answered; `closed` is no answer, `none` none in
    time."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.counted: Counter[str] = Counter()
        self.random = Random(options.seed)
        self.clock = Clock(options.pid)
        self._sqlite: SqliteLog | None = None
        self._kafka: AIOKafkaProducer | None = None

    async def crowd(self, attackers: int, behave: Behaviour, pause: float = PAUSE) -> None:
        """So many attackers, each of which does one deed after the other, for ever."""

        async def attack(number: int) -> None:
            await asyncio.sleep(pause * self.random.random())
            while True:
                with suppress(ConnectionError):
                    await behave(number)
                await asyncio.sleep(pause)

        await asyncio.gather(*(attack(number) for number in range(attackers)))

    @asynccontextmanager
    async def connection(self, number: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection from one of the addresses. Raises ConnectionError where there is none."""
        address = f"127.0.0.{2 + number % self.options.addresses}"
        try:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", self.options.port, local_addr=(address, 0), limit=BUFFER
            )
        except OSError as error:
            # The gateway stops, and the attack goes on.
            await asyncio.sleep(REFUSED_SECONDS)
            raise ConnectionError from error
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    async def ask(self, request: bytes, number: int) -> None:
        """One request; all of the answer is read, but for what has no end."""
        async with self.connection(number) as (reader, writer):
            writer.write(request)
            await self.head(reader)
            with suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    while await reader.read(BUFFER):
                        pass

    async def follow(self, request: bytes, number: int, seconds: float | None = None) -> None:
        """One request, whose answer is read for as long as it goes on, or for so long from its head on."""
        async with self.connection(number) as (reader, writer):
            writer.write(request)
            if await self.head(reader) == "200":
                with suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        while await reader.read(BUFFER):  # noqa: ASYNC110
                            await asyncio.sleep(0)

    async def head(self, reader: asyncio.StreamReader) -> str:
        """The status of what is answered, which is counted."""
        try:
            async with self.clock.timeout(ANSWER_SECONDS):
                said = await reader.read(BUFFER)
        except TimeoutError:
            said = b"HTTP/1.1 none"
        except ConnectionError:
            said = b""
        status = said[9:13].decode("latin-1").strip() if said else "closed"
        self.counted["Traceback" if b"Traceback" in said else status] += 1
        return status

    async def append(self, topic: str, records: Iterable[NewRecord]) -> None:
        """Write into the log, beside the gateway. What the log itself does not take is counted."""
        topic, records = self.options.prefix + topic, list(records)
        try:
            if self.options.log.startswith("kafka://"):
                await self._produce(topic, records)
            else:
                self._sqlite = self._sqlite or SqliteLog(self.options.log)
                await self._sqlite.append(topic, records)
            self.counted["records"] += len(records)
        except Exception:  # what an attacker may not do is none of our business
            self.counted["not stored"] += len(records)

    async def _produce(self, topic: str, records: Sequence[NewRecord]) -> None:
        if self._kafka is None:
            servers = self.options.log.removeprefix("kafka://")
            self._kafka = AIOKafkaProducer(bootstrap_servers=servers, max_request_size=8_000_000)
            await self._kafka.start()
        sent = [
            await self._kafka.send(
                topic, value, key, timestamp_ms=timestamp, partition=partition, headers=list(headers)
            )
            for value, key, timestamp, partition, headers, _ in records
        ]
        await asyncio.gather(*sent)

    async def close(self) -> None:
        """Leave the log."""
        if self._sqlite is not None:
            await self._sqlite.close()
        if self._kafka is not None:
            await self._kafka.stop()


class Attack:
    """An attack that goes on."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @classmethod
    async def begin(cls, module: str, name: str, options: Options) -> Attack:
        """Begin it; returns at once."""
        arguments = [sys.executable, "-m", __name__, module, name, json.dumps(asdict(options))]
        process = await asyncio.create_subprocess_exec(
            *arguments, stdin=PIPE, stdout=PIPE, cwd=ROOT, start_new_session=True
        )
        assert process.stdout is not None
        assert await process.stdout.readline() == b"attacking\n"
        return cls(process)

    async def strikes(self) -> None:
        """Wait for its first answer: it gives way to everybody, and so may be slow to begin on a busy machine."""
        assert self._process.stdout is not None
        async with asyncio.timeout(END_SECONDS):
            assert await self._process.stdout.readline() == b"answered\n", (
                "the attack has ended before its first answer"
            )

    async def end(self) -> Counter[str]:
        """End it; how often what was answered. Raises AssertionError where an attack has failed by itself."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        async with asyncio.timeout(END_SECONDS):
            said, _ = await self._process.communicate()
        assert self._process.returncode == 0, f"the attack has ended with {self._process.returncode}"
        return Counter(json.loads(said))

    async def clear_up(self) -> None:
        """End it, whatever it does."""
        if self._process.returncode is None:
            self._process.kill()
            await self._process.communicate()


def give_way() -> None:
    """Let everybody else on this machine go first."""
    os.nice(NICE)
    # Sessions share the cores alike, however nice those within them are, unless the session says so, too.
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(NICE))


async def tell_of_the_first_answer(force: Force) -> None:
    """Counting is all that an attack does with an answer, so this looks from time to time."""
    awaited = force.options.awaited.split()
    while not (any(force.counted[one] for one in awaited) if awaited else force.counted):  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    print("answered", flush=True)  # noqa: T201


async def main(module: str, name: str, options: Options) -> None:
    """Attack until SIGTERM, or until whoever began it is gone."""
    give_way()
    allow_files(FILES)
    force = Force(options)
    force.clock.start()
    attack = asyncio.ensure_future(getattr(import_module(f"tests.attacks.{module}"), name)(force))
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, attack.cancel)
    # Its end is that of the test's process, however that ends.
    loop.add_reader(sys.stdin.fileno(), attack.cancel)
    print("attacking", flush=True)  # noqa: T201
    telling = asyncio.create_task(tell_of_the_first_answer(force))
    with suppress(asyncio.CancelledError):
        await attack
    telling.cancel()
    force.clock.close()
    await force.close()
    print(json.dumps(force.counted), flush=True)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Options(**json.loads(sys.argv[3]))))
