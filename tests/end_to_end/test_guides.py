"""The commands and programs of README.md, docs/START.md, docs/STREAMS.md, docs/VIEWS.md and docs/ARCHIVE.md, run
against the demo."""

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
from urllib.parse import quote

import duckdb
import pytest
import pytest_asyncio
from playwright.async_api import async_playwright

from tests.archive.kit import dataset
from tests.conftest import absent
from tests.end_to_end.kafka import open_producer
from tests.end_to_end.process import ROOT, WAIT, GatewayProcess, environment, eventually
from tests.eventlog.kit import create_topic
from tests.explorer.kit import LAUNCH
from tests.services.chromium import chromium
from tests.services.kafka import free_port

pytestmark = [pytest.mark.end_to_end, pytest.mark.asyncio(loop_scope="module")]

START = (ROOT / "docs/START.md").read_text()
PAGES = [(ROOT / name).read_text() for name in ("README.md", "docs/STREAMS.md", "docs/VIEWS.md", "docs/ARCHIVE.md")]
ADDRESS = "http://127.0.0.1:8080"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ENOUGH = 5
"""Lines after which a program that goes on for ever has shown that it works."""
BUILD = 180.0
"""Seconds that a compiler may take."""


def blocks(language: str) -> list[str]:
    """The programs in docs/START.md of a language."""
    return [text for name, text in BLOCK.findall(START) if name == language]


def in_guide(language: str, name: str) -> list[str]:
    """The programs of a guide in a language."""
    return [text for each, text in BLOCK.findall((ROOT / name).read_text()) if each == language]


def archive_of(demo: GatewayProcess) -> Path:
    """Where the demo of these tests has its archive."""
    return demo.error_path.parent.parent / "demo-archive"


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
    places = ("--log", f"sqlite:///{directory}/demo.db", "--archive", str(directory / "demo-archive"))
    demo = GatewayProcess(directory / "gateway", *places, command="demo")
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
    page_file = Run(demo, folder).write("page.html", blocks("html")[0])
    enough = asyncio.Event()
    titles: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=LAUNCH)
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


async def test_the_program_that_follows_a_view(demo: GatewayProcess, folder: Path) -> None:
    run = Run(demo, folder)
    (text,) = [text for name, text in BLOCK.findall((ROOT / "docs/VIEWS.md").read_text()) if name == "python"]
    first, *others = await run.lines(sys.executable, "-W", "error", run.write("view.py", text))
    assert int(first.split()[0]) > 100
    assert all(line.startswith("change ('enwiki', ") for line in others)


async def test_the_page_that_follows_a_view(demo: GatewayProcess, folder: Path) -> None:
    (text,) = in_guide("html", "docs/VIEWS.md")
    Run(demo, folder).write("page.html", text)
    shutil.copy(ROOT / "docs" / "view-map.js", folder)
    port = free_port()
    site = await Run(demo, folder).start(sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1")
    found: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    try:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chromium(), args=LAUNCH)
            page = await browser.new_page()

            def note(said: str) -> None:
                if re.match(r"\d+ ", said) and not found.done():
                    found.set_result(said)

            page.on("console", lambda message: note(message.text))
            await is_open(port)
            await page.goto(f"http://127.0.0.1:{port}/page.html")
            async with asyncio.timeout(WAIT):
                size = (await found).split()[0]
            await browser.close()
    finally:
        end(site)
        await site.wait()
    assert int(size) > 500


async def is_open(port: int) -> None:
    """Wait until somebody listens there."""

    async def connects() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    await eventually(connects, "the site is open")


async def test_a_key_of_a_view_is_asked_for(demo: GatewayProcess, folder: Path) -> None:
    """The demo makes other pages each time: one that there is stands for the guide's."""

    async def is_built() -> bool:
        return (await demo.get("/v2/views/pages?limit=1")).status_code == 200

    await eventually(is_built, "the view is built")
    (row,) = (await demo.get("/v2/views/pages?prefix=enwiki&limit=1&at=10m")).json()["rows"]
    title = quote(row["key"]["title"], safe="")
    (text,) = in_guide("sh", "docs/VIEWS.md")
    lines = text.replace("/Ashford", f"/{title}").splitlines()
    assert len(lines) == 3
    for line in lines:
        (answer,) = await Run(demo, folder).lines("sh", Run(demo, folder).write("command.sh", line))
        assert row["key"]["title"] in answer
        assert "status" not in json.loads(answer)


async def test_yesterday_in_a_file(demo: GatewayProcess, folder: Path) -> None:
    run = Run(demo, folder)
    (text,) = in_guide("sh", "docs/ARCHIVE.md")
    assert await run.lines("sh", run.write("yesterday.sh", text)) == []
    events = [json.loads(line) for line in (folder / "yesterday.ndjson").read_text().splitlines() if line]
    # A minute has one, about, and a demo that began less than an hour ago has more of the day before.
    assert len(events) > 1_200
    assert len({event["meta"]["dt"][:10] for event in events}) == 1


async def test_a_year_in_duckdb(demo: GatewayProcess) -> None:
    changes = dataset(str(archive_of(demo) / "wiki.change"))
    with duckdb.connect() as connection:
        connection.register("changes", changes)
        found = [
            connection.execute(text.replace("delta_scan('var/demo-archive/wiki.change')", "changes")).fetchall()
            for text in in_guide("sql", "docs/ARCHIVE.md")
        ]
    days, growth, moves = found
    assert len({day for day, *_ in days}) >= 7
    assert sum(count for *_, count in days) >= 10_000
    assert len(growth) == len(moves) == 10
    assert all(user and grown > 0 for user, grown in growth)
    assert all(title and count for title, count in moves)


async def test_the_program_that_reads_the_table(demo: GatewayProcess, folder: Path) -> None:
    (folder / "var").mkdir()
    (folder / "var" / "demo-archive").symlink_to(archive_of(demo))
    (text,) = in_guide("python", "docs/ARCHIVE.md")
    *most, _ = text.replace(".to_pandas(", ".to_pyarrow_table(").splitlines()
    # pandas is not there. What it makes of the same table is a matter of its own.
    program = Run(demo, folder).write("table.py", "\n".join([*most, "print(changes.num_rows, flush=True)"]))
    process = await asyncio.create_subprocess_exec(sys.executable, program, cwd=folder, stdout=PIPE)
    async with asyncio.timeout(WAIT):
        output, _ = await process.communicate()
    # What it ends with is not looked at: the file system of delta-rs may abort a process at its end.
    assert int(output) > 3_000


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
async def test_on_your_own_kafka(demo: GatewayProcess, folder: Path, kafka: str, topic: str) -> None:
    """With a topic that is this test's own: another guide has one of the same name."""
    port = free_port()
    run = Run(demo, folder, GATEWAY_PORT=str(port), GATEWAY_ADMIN_PORT=str(free_port()))
    (text,) = blocks("yaml")
    assert text.count("shop.orders") == 1
    run.write("my.yaml", text.replace("shop.orders", topic))
    check, serve = next(text for text in blocks("sh") if "kafka://" in text).splitlines()
    await run.lines("sh", "-c", check)
    await create_topic(kafka, topic)
    async with open_producer(kafka) as producer:
        await producer.values(topic, [b'{"order": 1}'])
    process = await run.start("sh", "-c", f"exec {serve.replace('broker:9092', kafka)}")
    gateway = Run(demo, folder)
    try:
        url = f"http://127.0.0.1:{port}/v2/stream/orders?since=1h&limit=1"
        asks = ["curl", "-sS", "--retry", "100", "--retry-delay", "1", "--retry-connrefused", url]
        assert '{"order": 1}' in await gateway.lines(*asks, "-H", "accept: application/x-ndjson")
    finally:
        end(process)
        await process.wait()
