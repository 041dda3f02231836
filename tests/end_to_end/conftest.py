"""Gateways, clients and producers for the time of a test."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.account import ABOUT, REPORT_VARIABLE, Account, Line, table, write_report
from tests.end_to_end.follower import Follow, Follower
from tests.end_to_end.kafka import Producer, open_producer
from tests.end_to_end.process import GatewayProcess, Streams, configuration
from tests.end_to_end.stream import Client
from tests.told import told

Serve = Callable[..., Awaitable[GatewayProcess]]
"""(streams, log, ready=True, **settings): a gateway that serves."""
Launch = Callable[..., GatewayProcess]
"""(*arguments, command="serve", host, port): a gateway that is not started yet."""

Accounts = Callable[..., Account]
"""(fault, load="–"): an account; the load is told in the table."""

LINES, NOTES, INPUTS = "faults", "notes on faults", "inputs tried"
"""What is told at the end of a run."""
Tried = Callable[[str], None]
"""(what): counts an input."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show what the faults did to the clients."""
    if lines := told(config, LINES):
        terminalreporter.section("faults")
        for line in table(lines):
            terminalreporter.write_line(line)
        notes = told(config, NOTES)
        for note in notes:
            terminalreporter.write_line(note)
        if REPORT_VARIABLE in os.environ:
            write_report(Path(os.environ[REPORT_VARIABLE]), ABOUT, table(lines), notes)
    if inputs := Counter(told(config, INPUTS)):
        terminalreporter.section("inputs tried")
        for name, count in inputs.items():
            terminalreporter.write_line(f"{count:6} {name}")
        terminalreporter.write_line(f"{inputs.total():6} in all")


@pytest.fixture
def note(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """(text): a line below the table of the faults."""
    return told(pytestconfig, NOTES).append


@pytest.fixture
def account(pytestconfig: pytest.Config) -> Accounts:
    """(fault, load): an account, whose line is shown at the end of the run."""
    lines = told(pytestconfig, LINES)
    return lambda fault, load="–": Account(lines, fault, load)


@pytest.fixture
def tried(pytestconfig: pytest.Config) -> Tried:
    """Counts inputs, which are told at the end of the run."""
    return told(pytestconfig, INPUTS).append


Report = Callable[[str, int, int, int, int, float], None]
"""(fault, events, lost, repeated, gaps, seconds): a line for one client."""


@pytest.fixture
def report(pytestconfig: pytest.Config) -> Report:
    """Adds a line of its own to those shown at the end of the run."""
    lines = told(pytestconfig, LINES)

    def add(fault: str, events: int, lost: int, repeated: int, gaps: int, seconds: float) -> None:
        lines.append(Line(fault, None, "–", 1, events, lost, repeated, gaps, seconds))

    return add


@pytest.fixture
def gateways(tmp_path: Path) -> Iterator[Launch]:
    """Gateways that end with the test, and must not have met a mistake of their own."""
    made: list[GatewayProcess] = []

    def make(*arguments: str, **more: Any) -> GatewayProcess:
        made.append(GatewayProcess(tmp_path / f"gateway-{len(made)}", *arguments, **more))
        return made[-1]

    yield make
    for gateway in made:
        gateway.clear_up()
    for gateway in made:
        assert "Traceback" not in gateway.errors
        assert "Warning" not in gateway.errors


@pytest.fixture
def serve(gateways: Launch, tmp_path: Path) -> Serve:
    """Start gateways."""

    async def start(streams: Streams, log: str, ready: bool = True, **settings: Any) -> GatewayProcess:
        gateway = gateways("--config", str(configuration(tmp_path, streams, **settings)), "--log", log)
        if ready:
            await gateway.start()
        else:
            gateway.launch()
        return gateway

    return start


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """Opens streams."""
    client = Client()
    yield client
    await client.close()


@pytest.fixture
async def follow() -> AsyncIterator[Follow]:
    """Opens streams that are opened again whenever they end."""
    followers: list[Follower] = []

    async def start(port: int, names: str, last_id: str | None = None, **query: Any) -> Follower:
        followers.append(Follower(port, names, last_id, **query))
        await followers[-1].until(lambda: followers[-1].frames, "the first bytes")
        return followers[-1]

    yield start
    for follower in followers:
        await follower.close()


@pytest.fixture
async def producer(kafka: str) -> AsyncIterator[Producer]:
    """Writes to the broker that runs throughout."""
    async with open_producer(kafka) as producer:
        yield producer
