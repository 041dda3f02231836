"""Real clients, in the programs of docs/CLIENTS.md: cut off under load, none of them loses or repeats an event."""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest

from tests.conftest import absent
from tests.end_to_end.clients import CLIENTS, Program, RealClient
from tests.end_to_end.conftest import Report
from tests.end_to_end.kafka import Producer, open_producer
from tests.end_to_end.process import WAIT, GatewayProcess, configuration
from tests.end_to_end.relay import Relay
from tests.eventlog.kit import create_topic

pytestmark = [pytest.mark.kafka, pytest.mark.end_to_end]

STREAM = "mediawiki.recentchange"
FILTER = 'event.wiki == "frwiki" && event.n >= 0'
RATE = 500
BATCH = 10
CUT_AT = 400
LIMIT = 600
RESPONSES = 3
BREAKS = {200: 0.5, 500: 0.25, 800: 0.9, 1100: 0.05, 1400: 0.75}
"""At which event a connection breaks, and how much of what comes next still passes."""


def change(number: int) -> bytes:
    """An event; its text has characters of several bytes, and some that end a line for Unicode, but not for SSE."""
    event = {
        "$schema": "/mediawiki/recentchange/1.0.0",
        "meta": {"stream": STREAM, "domain": "fr.wikipedia.org"},
        "wiki": "frwiki" if number % 2 else "enwiki",
        "title": "Ægir\u2028日本\u0085語 🌊",
        "n": number,
    }
    return json.dumps(event, ensure_ascii=False).encode()


class Load:
    """Events at their rate, until there are enough."""

    def __init__(self, producer: Producer, topic: str) -> None:
        self.count = 0
        self.enough = False
        self._producer = producer
        self._topic = topic

    async def run(self) -> None:
        """Send them; returns when all are stored."""
        started = time.monotonic()
        while not self.enough:
            await self._producer.values(self._topic, map(change, range(self.count, self.count + BATCH)))
            self.count += BATCH
            await asyncio.sleep(max(0.0, started + self.count / RATE - time.monotonic()))

    @property
    def matching(self) -> range:
        """The events that pass the filter."""
        return range(1, self.count, 2)


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A client that runs, and its connection."""

    program: Program
    relay: Relay


class Trial:
    """A gateway with all clients that are installed."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self.gateway = gateway
        self.subscribers: dict[str, Subscriber] = {}
        self.failures: dict[str, str] = {}
        self.gaps = 0

    async def subscribe(self, client: RealClient, directory: Path, stack: AsyncExitStack, cut: Cut) -> None:
        """Start a client."""
        relay = Relay(self.gateway.port)
        await relay.open()
        stack.push_async_callback(relay.close)
        query = {"filter": FILTER, "since": "1h", **cut.query}
        port = relay.port if cut.relayed else self.gateway.port
        url = f"http://127.0.0.1:{port}/v2/stream/{STREAM}?{urlencode(query, quote_via=quote)}"
        program = await Program.start(client, url, directory / client.name)
        stack.push_async_callback(program.close)
        self.subscribers[client.name] = Subscriber(program, relay)

    async def each(self, do: Callable[[Subscriber], Awaitable[None]]) -> None:
        """Do the same with all at once; where it fails is told at the end."""
        results = await asyncio.gather(*map(do, self.subscribers.values()), return_exceptions=True)
        for name, result in zip(self.subscribers, results, strict=True):
            if result is not None:
                self.failures.setdefault(name, str(result) or type(result).__name__)

    async def reached(self, number: int) -> None:
        """Wait until all have an event."""
        await self.each(lambda subscriber: subscriber.program.number(number))

    async def count_gaps(self) -> None:
        """Ask the gateway how many it told, before its end."""
        async with httpx.AsyncClient(timeout=WAIT, trust_env=False) as client:
            answer = await client.get(f"http://127.0.0.1:{self.gateway.admin_port}/metrics")
        found = re.findall(r"^gateway_gaps_total\{.*\} (\S+)$", answer.text, re.MULTILINE)
        self.gaps += sum(int(float(number)) for number in found)


async def restart(trial: Trial) -> None:
    """The gateway stops in an orderly way, and starts again."""
    await trial.reached(CUT_AT)
    await trial.count_gaps()
    await trial.gateway.stop()
    await trial.gateway.start()


async def kill(trial: Trial) -> None:
    """The gateway is killed, and starts again."""
    await trial.reached(CUT_AT)
    await trial.count_gaps()
    await trial.gateway.kill()
    await trial.gateway.start()


async def break_connections(trial: Trial) -> None:
    """Connections break in the middle of an event, several times."""

    async def break_one(subscriber: Subscriber) -> None:
        for number, kept in BREAKS.items():
            await subscriber.program.number(number)
            async with asyncio.timeout(WAIT):
                await subscriber.relay.cut(kept)

    await trial.each(break_one)


async def end_responses(trial: Trial) -> None:
    """The responses end by themselves."""
    await trial.reached(2 * LIMIT * (RESPONSES - 1))


@dataclass(frozen=True, slots=True)
class Cut:
    """What is done to the clients."""

    do: Callable[[Trial], Awaitable[None]]
    query: dict[str, Any]
    relayed: bool = False


CUTS = {
    "server restarted": Cut(restart, {}),
    "server killed": Cut(kill, {}),
    "connection broken": Cut(break_connections, {}, relayed=True),
    "response ended": Cut(end_responses, {"limit": LIMIT}),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a client has got."""

    expected: range
    numbers: list[int]
    gaps: int
    seconds: float
    failure: str


async def run(cut: Cut, kafka: str, directory: Path) -> dict[str, Outcome]:
    """Cut off all clients at the same time, while events come."""
    topic = f"test.{uuid.uuid4().hex}"
    await create_topic(kafka, topic)
    settings = configuration(directory, {STREAM: {"topics": [topic]}})
    gateway = GatewayProcess(directory / "gateway", "--config", str(settings), "--log", f"kafka://{kafka}")
    trial = Trial(gateway)
    async with AsyncExitStack() as stack:
        stack.callback(gateway.clear_up)
        await gateway.start()
        for client in CLIENTS:
            if client.missing() is None:
                await trial.subscribe(client, directory, stack, cut)
        producer = await stack.enter_async_context(open_producer(kafka))
        load = Load(producer, topic)
        loading = asyncio.create_task(load.run())
        await cut.do(trial)
        load.enough = True
        await loading
        await trial.reached(load.matching[-1])
        await trial.count_gaps()
    assert "Traceback" not in gateway.errors
    assert "Warning" not in gateway.errors
    return {
        name: Outcome(
            load.matching,
            subscriber.program.numbers,
            trial.gaps,
            subscriber.program.longest_pause(),
            trial.failures.get(name, ""),
        )
        for name, subscriber in trial.subscribers.items()
    }


@pytest.fixture(scope="module", params=CUTS)
def cut(request: pytest.FixtureRequest) -> str:
    """What is done to the clients."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def outcomes(cut: str, kafka: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """What each client has got, all at once: most of the time they wait."""
    directory = tmp_path_factory.mktemp("clients")
    for client in CLIENTS:
        (directory / client.name).mkdir()
    return asyncio.run(run(CUTS[cut], kafka, directory))


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_a_client_goes_on(client: RealClient, cut: str, outcomes: dict[str, Outcome], report: Report) -> None:
    missing = client.missing()
    if missing is not None:
        absent(missing)
    outcome = outcomes[client.name]
    numbers = outcome.numbers
    lost = len(set(outcome.expected) - set(numbers))
    repeated = len(numbers) - len(set(numbers))
    report(f"{client.name}: {cut}", len(numbers), lost, repeated, outcome.gaps, outcome.seconds)
    assert not outcome.failure
    assert outcome.gaps == 0
    assert (lost, repeated) == (0, 0)
    assert numbers == list(outcome.expected)
