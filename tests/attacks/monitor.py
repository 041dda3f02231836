"""What is held against a gateway under attack: each event of a plain client within a second, /healthz at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from math import ceil
from typing import Self

from tests.attacks.clock import Clock, Moment
from tests.attacks.plain import PlainClient, event
from tests.end_to_end.process import GatewayProcess
from tests.speed import slowness

PERIOD = 0.05
"""Seconds between two events, and between two questions for the health at each port."""
EVENT_SECONDS = 1.0
"""An event is at the client by then. This and what follows is for a machine as fast as most (`tests.speed`)."""
HEALTH_SECONDS = 0.25
"""The answer of /healthz is there by then, of 99 in a hundred."""
HEALTH_WORST = 1.0
STANDSTILL = 6.0
"""Whoever takes so long will not come; the test ends."""
FILTER = "event.plain >= 0"
HEALTH = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
GOOD = b"HTTP/1.1 200 "
HEAD_TIMEOUT = 1.0
"""What the gateways under attack are told to give a head."""

Put = Callable[[bytes], Awaitable[None]]
"""Stores a value in the plain client's topic; returns once it is there to be read."""


class Health:
    """Asks one port for the health, whether the answers come or not."""

    def __init__(self, name: str, port: int, clock: Clock) -> None:
        self.name = name
        self.took: list[float] = []
        self.failed: list[str] = []
        self._port = port
        self._clock = clock

    async def ask(self) -> None:
        """One question, on a connection of its own."""
        asked = self._clock.now()
        try:
            async with self._clock.timeout(STANDSTILL):
                said = await self._exchange()
        except (OSError, TimeoutError) as error:
            said = repr(error).encode()
        self.took.append(asked.until(self._clock.now()))
        if not said.startswith(GOOD):
            self.failed.append(said[:200].decode(errors="replace") or "closed without an answer")

    async def _exchange(self) -> bytes:
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                writer.write(HEALTH)
                held_up = loop.time() - begun > HEAD_TIMEOUT / 2
                said = await reader.read()
            except ConnectionError:
                if not held_up:
                    raise
                said = b""
            finally:
                writer.transport.abort()
            # Whoever connects and says nothing for so long is let go, also where it is this loop that stood.
            if not held_up or said.startswith(GOOD):
                return said


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of them is not above; 0 of none."""
    ordered = sorted(values)
    return ordered[ceil(share * len(ordered)) - 1] if ordered else 0.0


class Monitor:
    """Writes events, follows them, and asks for the health, from `async with` on to `stop`."""

    def __init__(self, gateway: GatewayProcess, put: Put, follows: bool = True) -> None:
        self.clock = Clock(gateway.pid)
        ports = {"public": gateway.port, "admin": gateway.admin_port}
        self.health = [Health(name, port, self.clock) for name, port in ports.items()]
        filters = [None, FILTER] if follows else []
        self.clients = [PlainClient(gateway.port, self.clock, expression) for expression in filters]
        self._slowness = slowness()
        self._stored: list[Moment] = []
        self._put = put
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._questions: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self.clock.start()
        async with self.clock.timeout(STANDSTILL):
            for client in self.clients:
                await client.open()
                await client.opened.wait()
        self._tasks = [asyncio.create_task(self._watch())]
        if self.clients:
            self._tasks.append(asyncio.create_task(self._write()))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in (*self._tasks, *self._questions):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._questions, return_exceptions=True)
        self.clock.close()
        for client in self.clients:
            client.close()

    @property
    def events(self) -> int:
        """Events that the plain clients should have had."""
        return len(self._stored) * len(self.clients)

    @property
    def delays(self) -> list[float]:
        """Seconds of each event on its way to each client, so far as they are the gateway's; until now, where it
        has not come."""
        now = self.clock.now()
        return [
            stored.until(client.came.get(number, now))
            for client in self.clients
            for number, stored in enumerate(self._stored)
        ]

    @property
    def answers(self) -> list[float]:
        """Seconds of each question for the health."""
        return [took for health in self.health for took in health.took]

    async def endure(self, seconds: float) -> None:
        """Go on for so long, and up to twice that where the machine is busy; no longer once all stands still."""
        begun = self.clock.now()
        while begun.until(now := self.clock.now()) < seconds and now.at - begun.at < 2 * seconds:
            for task in self._tasks:
                if task.done():
                    task.result()
            for client in self.clients:
                assert not client.over, f"the stream of the client {client.name} has ended"
                missing = next((at for at in range(len(self._stored)) if at not in client.came), None)
                if missing is not None:
                    delay = self._stored[missing].until(now)
                    assert delay < STANDSTILL, f"the client {client.name} has had nothing for {delay:.1f} s"
            await asyncio.sleep(PERIOD)

    async def stop(self) -> None:
        """Write nothing more, and wait for what is on its way."""
        self._stopping.set()
        await asyncio.gather(*self._tasks)
        last = len(self._stored) - 1
        begun = self.clock.now()
        while any(last not in client.came for client in self.clients if last >= 0) or self._questions:
            if begun.until(self.clock.now()) > STANDSTILL:
                break
            await asyncio.sleep(PERIOD / 5)

    def judge(self) -> None:
        """Raises AssertionError where the gateway did not hold what it promises."""
        for client in self.clients:
            lost = [number for number in range(len(self._stored)) if number not in client.came]
            assert not client.over, f"the stream of the client {client.name} has ended"
            assert not lost, f"the client {client.name} has lost {len(lost)} events: {lost[:5]}"
            assert not client.disorder, f"the client {client.name} had again, or late: {client.disorder[:5]}"
        worst, slower = max(self.delays, default=0.0), max(self._slowness, slowness())
        assert worst <= EVENT_SECONDS * slower, f"an event took {worst:.2f} s ({slower:.1f} times slower than most)"
        for health in self.health:
            where = f"/healthz at the {health.name} port"
            assert not health.failed, f"{where}: {len(health.failed)} of {len(health.took)}, as {health.failed[0]}"
            assert max(health.took) <= HEALTH_WORST * slower, f"{where} took {max(health.took):.2f} s"
            usual = percentile(health.took, 0.99)
            assert usual <= HEALTH_SECONDS * slower, f"{where} took {usual * 1000:.0f} ms at p99"

    async def _write(self) -> None:
        while not self._stopping.is_set():
            await self._put(event(len(self._stored)))
            self._stored.append(self.clock.now())
            await asyncio.sleep(PERIOD)

    async def _watch(self) -> None:
        while not self._stopping.is_set():
            for health in self.health:
                question = asyncio.create_task(health.ask())
                self._questions.add(question)
                question.add_done_callback(self._questions.discard)
            await asyncio.sleep(PERIOD)
