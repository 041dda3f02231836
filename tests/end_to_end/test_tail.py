"""`gateway tail` as people and scripts run it."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from gateway.eventlog.sqlite.log import SqliteLog
from gateway.model.record import NewRecord
from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import ROOT, WAIT, GatewayProcess, environment, run
from tests.kit.events import numbered

pytestmark = pytest.mark.end_to_end

STREAMS = {"numbers": {"topics": ["numbers"]}}


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    """The embedded log that the gateway serves, with the topic in it."""
    log = SqliteLog(tmp_path / "events.db")
    await log.open()
    await log.create("numbers")
    yield log
    await log.close()


async def append(log: SqliteLog, first: int, last: int) -> None:
    """Events of these numbers."""
    await log.append("numbers", [NewRecord(numbered(number)) for number in range(first, last + 1)])


@asynccontextmanager
async def tail(gateway: GatewayProcess, *arguments: str, stdout: int = PIPE) -> AsyncIterator[Process]:
    """The command, killed at the end where it still runs."""
    command = [sys.executable, "-m", "gateway", "tail", "numbers", "--server", gateway.address, *arguments]
    process = await asyncio.create_subprocess_exec(*command, stdout=stdout, stderr=PIPE, cwd=ROOT, env=environment())
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def read_numbers(process: Process, last: int) -> list[int]:
    """The numbers that it prints, up to this one."""
    assert process.stdout is not None
    found: list[int] = []
    async with asyncio.timeout(WAIT):
        while not found or found[-1] < last:
            line = await process.stdout.readline()
            assert line, f"it ended after {found[-1:]}: {process.stderr and (await process.stderr.read()).decode()}"
            found.append(json.loads(line)["n"])
    return found


async def test_it_survives_its_server_and_goes_on_from_its_file(tmp_path: Path, log: SqliteLog, serve: Serve) -> None:
    gateway = await serve(STREAMS, f"sqlite:///{tmp_path}/events.db")
    position = ["--resume", str(tmp_path / "position"), "--since", "1h"]
    await append(log, 1, 100)
    async with tail(gateway, *position) as process:
        got = await read_numbers(process, 100)
        await gateway.kill()
        await append(log, 101, 200)
        await gateway.start()
        got += await read_numbers(process, 200)
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(WAIT):
            assert await process.wait() == 130
        assert process.stderr is not None
        assert "next try in" in (await process.stderr.read()).decode()
    await append(log, 201, 300)
    async with tail(gateway, *position, "--limit", "50") as process:
        got += await read_numbers(process, 250)
        async with asyncio.timeout(WAIT):
            assert await process.wait() == 0
    async with tail(gateway, *position, "--until", "0s") as process:
        got += await read_numbers(process, 300)
        async with asyncio.timeout(WAIT):
            assert await process.wait() == 0
    assert got == list(range(1, 301))


async def test_a_pipe_that_is_closed_and_a_signal_end_it_quietly(tmp_path: Path, log: SqliteLog, serve: Serve) -> None:
    gateway = await serve(STREAMS, f"sqlite:///{tmp_path}/events.db")
    await append(log, 1, 10)
    read, write = os.pipe()
    async with tail(gateway, "--since", "1h", "--quiet", stdout=write) as process:
        os.close(write)
        await asyncio.to_thread(os.read, read, 1)
        os.close(read)
        # No event comes that it could fail to write.
        assert process.stderr is not None
        async with asyncio.timeout(WAIT):
            assert await process.stderr.read() == b""
        assert await process.wait() == 0
    await append(log, 11, 11)
    async with tail(gateway, "--since", "1h", "--quiet") as process:
        await read_numbers(process, 11)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(WAIT):
            assert await process.wait() == 130
        assert process.stderr is not None
        assert await process.stderr.read() == b""


def read_all(terminal: int) -> bytes:
    """What was written to a terminal that nobody has open any more: the kernel may hand it over in several parts."""
    found = b""
    with suppress(OSError):
        while part := os.read(terminal, 65536):
            found += part
    return found


async def test_a_terminal_shows_lines_in_colour(tmp_path: Path, log: SqliteLog, serve: Serve) -> None:
    gateway = await serve(STREAMS, f"sqlite:///{tmp_path}/events.db")
    await log.append("numbers", [NewRecord(b'{"title":"A \\u001b[2J page","user":"Ada","bot":true,"n":1}')])
    terminal, inside = pty.openpty()
    command = [sys.executable, "-m", "gateway", "tail", "numbers", "--server", gateway.address, "--since", "1h"]
    colours = {**environment(), "TERM": "xterm-256color", "COLUMNS": "100"}
    process = await asyncio.create_subprocess_exec(
        *command, "--limit", "1", stdin=inside, stdout=inside, stderr=inside, cwd=ROOT, env=colours
    )
    os.close(inside)
    async with asyncio.timeout(WAIT):
        assert await process.wait() == 0
    shown = (await asyncio.to_thread(read_all, terminal)).decode()
    os.close(terminal)
    assert "\x1b[1mA \\x1b[2J page\x1b[0m" in shown
    assert "\x1b[32mAda" in shown
    assert "bot" in shown


async def test_a_stream_that_is_not_there(tmp_path: Path, log: SqliteLog, serve: Serve) -> None:
    gateway = await serve(STREAMS, f"sqlite:///{tmp_path}/events.db")
    result = await asyncio.to_thread(run, ["tail", "number", "--server", gateway.address])
    assert result.returncode == 1
    assert result.stdout == ""
    assert "/v2/stream/number answered 404: " in result.stderr
    assert "numbers" in result.stderr
