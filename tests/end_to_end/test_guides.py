"""The commands and programs of README.md, docs/START.md and docs/STREAMS.md, run against the demo."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import sqlite3
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright

from tests.conftest import absent
from tests.end_to_end.kafka import open_producer
from tests.end_to_end.process import ROOT, WAIT, GatewayProcess, environment, eventually
from tests.eventlog.kit import create_topic
from tests.explorer.kit import LAUNCH
from tests.services.kafka import free_port

pytestmark = [pytest.mark.end_to_end, pytest.mark.asyncio(loop_scope="module")]

START = (ROOT / "docs/START.md").read_text()
PAGES = [(ROOT / name).read_text() for name in ("README.md", "docs/STREAMS.md")]
ADDRESS = "http://127.0.0.1:8080"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ENOUGH = 5
"""Lines after which a program that goes on for ever has shown that it works."""
BUILD = 180.0
"""Seconds that a compiler may take."""


def blocks(language: str) -> list[str]:
    """The programs in docs/START.md of a language."""
    return [text for name, text in BLOCK.findall(START) if name == language]


def commands(text: str) -> list[str]:
    """The commands in a page's indented lines that ask the gateway; one that goes over several lines as it is."""
    found = re.findall(r"^    ((?:curl|\.venv/bin/gateway (?:tail|produce)) (?:.*\n     )*.*)$", text, re.MULTILINE)
    return [re.sub(r"\s+# .*$", "", each) for each in found]


SHELL = [text for text in blocks("sh") if text.startswith("curl")]
IN_PAGES = list(dict.fromkeys(each for text in PAGES for each in commands(text) if "stream.example.org" not in each))


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def demo(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """What `scripts/demo` starts."""
    directory = tmp_path_factory.mktemp("guides")
    demo = GatewayProcess(directory / "gateway", "--log", f"sqlite:///{directory}/demo.db", command="demo")
    await demo.start()
    yield demo
    demo.clear_up()
    assert "Traceback" not in demo.errors


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty one, with the command as it is installed."""
    command = tmp_path / ".venv" / "bin" / "gateway"
    command.parent.mkdir(parents=True)
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gateway "$@"\n')
    command.chmod(0o755)
    return tmp_path


class Run:
    """A program of a guide, in a folder, against a gateway of the test."""

    def __init__(self, demo: GatewayProcess, folder: Path, **variables: str) -> None:
        self._demo = demo
        self._folder = folder
        path = f"{folder / '.venv' / 'bin'}:{os.environ['PATH']}"
        own = {"PATH": path, "PYTHONPATH": str(ROOT), "GATEWAY_SERVER": demo.address}
        self._environment = {**environment(), **own, **variables}

    def write(self, name: str, text: str) -> Path:
        """A file, with the address of the gateway in the place of the guide's."""
        path = self._folder / name
        path.write_text(text.replace(ADDRESS, self._demo.address))
        return path

    async def start(self, *command: str | Path) -> asyncio.subprocess.Process:
        """Start a program."""
        return await asyncio.create_subprocess_exec(
            *command,
            stdout=PIPE,
            stderr=PIPE,
            env=self._environment,
            cwd=self._folder,
            limit=1 << 20,
            start_new_session=True,
        )

    async def lines(self, *command: str | Path, seconds: float = WAIT) -> list[str]:
        """What a program writes, blank lines aside, until it ends or that is enough; what it complains of fails."""
        process = await self.start(*command)
        assert process.stdout is not None
        assert process.stderr is not None
        found: list[str] = []
        try:
            async with asyncio.timeout(seconds):
                while len(found) < ENOUGH and (line := await process.stdout.readline()):
                    if text := line.decode().strip():
                        found.append(text)
                if len(found) < ENOUGH:
                    complaint = (await process.stderr.read()).decode()
                    assert await process.wait() == 0, complaint
        finally:
            end(process)
            await process.wait()
        return found


def end(process: asyncio.subprocess.Process) -> None:
    """As `kill -9` does."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


async def logged(demo: GatewayProcess) -> list[str]:
    """The ids of the events of the last twenty minutes, in order."""
    answer = await demo.get("/v2/stream/wiki.change?since=20m&until=0s", headers={"accept": "application/x-ndjson"})
    return [json.loads(line)["meta"]["id"] for line in answer.text.splitlines() if '"meta"' in line]


def assert_each_once(found: Sequence[str], log: Sequence[str]) -> None:
    """What was found is a part of the log without a gap."""
    first = log.index(found[0])
    assert list(found) == list(log[first : first + len(found)])


@pytest.mark.parametrize("text", [*SHELL, *IN_PAGES])
async def test_a_command(text: str, demo: GatewayProcess, folder: Path, curl: str) -> None:
    assert curl
    run = Run(demo, folder)
    found = await run.lines("sh", run.write("command.sh", text))
    assert any('"' in line for line in found)
    assert not any('"status":4' in line or '"invalid"' in line for line in found)


async def test_the_guides_have_commands() -> None:
    assert len(SHELL) == 2
    assert len(IN_PAGES) >= 6


async def test_the_page(demo: GatewayProcess, folder: Path) -> None:
    program = shutil.which("chromium") or absent("there is no chromium")
    page_file = Run(demo, folder).write("page.html", blocks("html")[0])
    enough = asyncio.Event()
    titles: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=LAUNCH)
        page = await browser.new_page()

        def note(text: str) -> None:
            titles.append(text)
            if len(titles) == ENOUGH:
                enough.set()

        page.on("console", lambda message: note(message.text))
        await page.goto(page_file.as_uri())
        async with asyncio.timeout(WAIT):
            await enough.wait()
        await browser.close()
    assert all(titles)


async def test_the_program_in_python(demo: GatewayProcess, folder: Path) -> None:
    run = Run(demo, folder)
    assert len(await run.lines(sys.executable, "-W", "error", run.write("main.py", blocks("python")[0]))) == ENOUGH


async def test_the_program_in_node(demo: GatewayProcess, folder: Path) -> None:
    node = shutil.which("node") or absent("there is no node")
    run = Run(demo, folder)
    assert len(await run.lines(node, run.write("main.mjs", blocks("js")[0]))) == ENOUGH


async def test_the_program_in_go(demo: GatewayProcess, folder: Path) -> None:
    go = shutil.which("go") or absent("there is no go")
    run = Run(demo, folder, GOFLAGS="-mod=mod", GOTOOLCHAIN="local")
    assert len(await run.lines(go, "run", run.write("main.go", blocks("go")[0]), seconds=BUILD)) == ENOUGH


async def test_results_and_position_together_are_there_once(demo: GatewayProcess, folder: Path) -> None:
    """Killed twice; what it stored is the log without a gap or a repetition."""
    run = Run(demo, folder)
    program = run.write("edits.py", blocks("python")[1])
    path = folder / "edits.db"

    def stored() -> list[str]:
        with suppress(sqlite3.OperationalError):
            database = sqlite3.connect(path)
            try:
                return [name for (name,) in database.execute("SELECT id FROM edits ORDER BY rowid")]
            finally:
                database.close()
        return []

    for _ in range(3):
        before = len(stored())
        process = await run.start(sys.executable, program)

        async def came(more: int = before + 40) -> bool:
            return len(stored()) >= more

        await eventually(came, "it stores events")
        end(process)
        await process.wait()
    assert_each_once(stored(), await logged(demo))


async def test_each_run_of_tail_goes_on_where_the_last_one_stopped(demo: GatewayProcess, folder: Path) -> None:
    run = Run(demo, folder)
    text = next(text for text in blocks("sh") if text.startswith("gateway tail"))
    assert await run.lines("sh", run.write("tail.sh", text)) == []
    lines = [line for name in ("first", "second") for line in (folder / f"{name}.ndjson").read_text().splitlines()]
    assert len(lines) == 200
    assert_each_once([json.loads(line)["meta"]["id"] for line in lines], await logged(demo))


@pytest.mark.kafka
async def test_on_your_own_kafka(demo: GatewayProcess, folder: Path, kafka: str) -> None:
    port = free_port()
    run = Run(demo, folder, GATEWAY_PORT=str(port), GATEWAY_ADMIN_PORT=str(free_port()))
    run.write("my.yaml", blocks("yaml")[0])
    check, serve = next(text for text in blocks("sh") if "kafka://" in text).splitlines()
    await run.lines("sh", "-c", check)
    await create_topic(kafka, "shop.orders")
    async with open_producer(kafka) as producer:
        await producer.values("shop.orders", [b'{"order": 1}'])
    process = await run.start("sh", "-c", f"exec {serve.replace('broker:9092', kafka)}")
    gateway = Run(demo, folder)
    try:
        url = f"http://127.0.0.1:{port}/v2/stream/orders?since=1h&limit=1"
        asks = ["curl", "-sS", "--retry", "30", "--retry-delay", "1", "--retry-connrefused", url]
        assert '{"order": 1}' in await gateway.lines(*asks, "-H", "accept: application/x-ndjson")
    finally:
        end(process)
        await process.wait()
