"""Taking a subscription along: each snippet is pasted and run."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.async_api import Browser

from tests.end_to_end.clients import NODE_MODULES
from tests.end_to_end.process import ROOT, WAIT, environment, eventually
from tests.explorer.kit import Explorer

pytestmark = [pytest.mark.end_to_end, pytest.mark.asyncio(loop_scope="package")]

FILTER = """event.wiki == "enwiki" && !event.bot && event.title != 'it"s 100 % + done'"""
ENOUGH = 5
PROGRAM = 3 * WAIT
"""Seconds until a program prints its first lines: a compiler may have its own library to compile first."""


async def snippet(explorer: Explorer, name: str) -> str:
    """What the page offers, by way of the clipboard."""
    page = explorer.page
    await page.get_by_role("button", name="Get code").click()
    await page.get_by_role("tab", name=name, exact=True).click()
    text = await explorer.text("code").text_content() or ""
    await page.get_by_role("button", name="Copy", exact=True).click()

    async def copied() -> bool:
        # The button says so for a second only, which a busy machine may miss.
        return text != "" and await page.evaluate("() => navigator.clipboard.readText()") == text

    await eventually(copied, f"{name} is copied")
    await page.get_by_role("button", name="Close").click()
    return text


async def lines_of(command: Sequence[str], wanted: str, folder: Path) -> list[str]:
    """What a program prints, until there is enough of it."""
    commands = {**environment(), "PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(
        *command, stdout=PIPE, stderr=DEVNULL, env=commands, cwd=folder, limit=1 << 20, start_new_session=True
    )
    assert process.stdout is not None
    found: list[str] = []
    try:
        async with asyncio.timeout(PROGRAM):
            while len(found) < ENOUGH:
                line = (await process.stdout.readline()).decode()
                assert line, f"it ended after {found}"
                if wanted in line:
                    found.append(line)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        await process.wait()
    return found


@pytest.fixture
def query() -> str:
    """A view with a filter that needs quoting everywhere, and fields."""
    return f"?{urlencode({'streams': 'wiki.change', 'filter': FILTER, 'columns': 'title,user,bot', 'only': 'true'})}"


CLIPBOARD = pytest.mark.context(permissions=["clipboard-read", "clipboard-write"])


@CLIPBOARD
async def test_in_a_terminal(explorer: Explorer, query: str, tmp_path: Path, curl: str) -> None:
    assert curl
    # The command as it is installed.
    (tmp_path / "gateway").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gateway "$@"\n')
    (tmp_path / "gateway").chmod(0o755)
    await explorer.open(query)
    for name, wanted in (("curl", "data: "), ("gateway tail", "{")):
        text = await snippet(explorer, name)
        lines = await lines_of(["sh", "-c", text], wanted, tmp_path)
        events = [json.loads(line.removeprefix("data: ")) for line in lines]
        assert all(event["bot"] is False for event in events)
        assert {name for event in events for name in event} <= {"$schema", "meta", "title", "user", "bot"}


@CLIPBOARD
async def test_in_python(explorer: Explorer, query: str, tmp_path: Path) -> None:
    await explorer.open(query)
    for name in ("Python", "httpx"):
        program = tmp_path / "follow.py"
        program.write_text(await snippet(explorer, name))
        lines = await lines_of([sys.executable, "-W", "error", str(program)], "'bot': False", tmp_path)
        assert len(lines) == ENOUGH


@CLIPBOARD
@pytest.mark.parametrize(
    ("name", "file", "command", "wanted"),
    [
        ("Node", "follow.mjs", ["node"], "bot: false"),
        ("Go", "follow.go", ["go", "run"], '"bot":false'),
        ("Java", "Follow.java", ["java"], '"bot":false'),
    ],
)
async def test_in_other_languages(
    explorer: Explorer, query: str, tmp_path: Path, name: str, file: str, command: list[str], wanted: str
) -> None:
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    await explorer.open(query)
    program = tmp_path / file
    program.write_text(await snippet(explorer, name))
    lines = await lines_of([*command, str(program)], wanted, tmp_path)
    assert len(lines) == ENOUGH


@CLIPBOARD
async def test_in_a_browser(explorer: Explorer, query: str, browser: Browser) -> None:
    await explorer.open(query)
    text = await snippet(explorer, "JavaScript")
    page = await browser.new_page()
    got: list[str] = []
    enough = asyncio.Event()

    def note(message: str) -> None:
        got.append(message)
        if len(got) >= ENOUGH:
            enough.set()

    page.on("console", lambda message: note(message.text) if message.type == "log" else None)
    await page.goto(f"{explorer.address}/healthz")
    await page.add_script_tag(content=text)
    async with asyncio.timeout(WAIT):
        await enough.wait()
    await page.close()
    assert len(got) >= ENOUGH


@CLIPBOARD
async def test_the_address_and_the_file(explorer: Explorer, query: str) -> None:
    page = explorer.page
    await explorer.open(query)
    url = await snippet(explorer, "URL")
    assert url.startswith(f"{explorer.address}/v2/stream/wiki.change?filter=event.wiki%20%3D%3D%20%22enwiki%22")
    assert url.endswith("&fields=title%2Cuser%2Cbot")
    await page.keyboard.press("p")
    shown = await explorer.column("title")
    titles = await explorer.all_rows("title")
    assert list(reversed(titles))[: len(shown)] == shown
