"""What the tests of the explorer share: a feed under load, and a page as a person uses it."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
from playwright.async_api import ConsoleMessage, Locator, Page, Request, expect

from gateway.demo.wiki import WikiSample
from gateway.eventlog.sqlite.log import SqliteLog
from gateway.model.record import NewRecord
from tests.end_to_end.process import ROOT, WAIT
from tests.kit.events import numbered

ARTEFACTS = ROOT / ".cache" / "explorer"
"""Where the pictures go."""
RATE = 100
"""Events a second."""
HISTORY = 12_000
"""Events that are there when the gateway starts: two minutes."""
STREAMS: dict[str, dict[str, Any]] = {
    "wiki.change": {
        "description": "Every change to a page of the wikis, as it is saved.",
        "schema_title": "wiki/change",
        "stream_aliases": ["changes"],
    },
    "numbers": {"description": "Numbers, one after another."},
    "hostile": {"description": "Whatever <b>people</b> come up with."},
    "harmful": {"description": "Three events, of one test alone."},
    "quiet": {"description": "Nothing at all."},
    "late": {"description": "What was two days ago."},
    "odd": {"description": "Members that nobody has agreed on."},
    "flood": {"description": "More than anybody can read, for a while."},
    "guestbook": {"description": "What visitors write.", "schema_title": "guestbook/entry"},
}

LAUNCH = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Another name than localhost, where a page on plain http is given less.
    "--host-resolver-rules=MAP gateway.test 127.0.0.1",
]
TIMEOUT = WAIT * 1000
expect.set_options(timeout=TIMEOUT)
PATIENT = "const of = AbortSignal.timeout; AbortSignal.timeout = ms => of.call(AbortSignal, 5 * ms);"
"""A page that waits longer for answers. It does without counts that are not there in six seconds, and offers nothing
older then: on a machine that rests for so long, a test would wait for what never comes."""
SAYS = """element => {
    window.said = [];
    new MutationObserver(() => window.said.push(element.textContent)).observe(element, { childList: true });
}"""
"""Keeps in `said` all that an element says from now on, also for a moment alone."""


def stream_document(name: str) -> dict[str, Any]:
    """A stream as the catalogue has it, in which something went on long ago."""
    return {
        "name": name,
        "aliases": [],
        "title": name,
        "description": f"About <b>{name}</b>",
        "schema": None,
        "topics": [name],
        "oldest": "2026-01-01T00:00:00Z",
        "newest": "2026-01-01T00:00:00Z",
        "rate": 0,
        "derived_from": [],
        "derived_into": [],
        "derivation": None,
    }


class Feed:
    """Writes changes and numbers into the log that a gateway serves, at their rate."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = SqliteLog(path, busy_timeout=WAIT)
        self.number = 0
        self.filled = 0
        """When the two minutes were over that were there at first, in milliseconds. Each second of them has as many
        changes as any other; later ones have what the machine had time for."""
        self._sample = WikiSample(7, int(time.time() * 1000) - 1000 * HISTORY // RATE)

    async def fill(self) -> None:
        """Create the topics, and two minutes of changes."""
        await self.log.open()
        for name in STREAMS:
            await self.log.create(name)
        now = int(time.time() * 1000)
        for first in range(0, HISTORY, 2000):
            times = [now - (HISTORY - number) * 1000 // RATE for number in range(first, first + 2000)]
            await self.log.append("wiki.change", [self._change(moment) for moment in times])
        # A minute more than two days: a page that is held up as it is told the time takes it for a little earlier.
        past = now - 2 * 86_400_000 - 60_000
        late = [
            NewRecord(orjson.dumps({"order_id": f"o-{number}", "amount": number}), timestamp=past + number)
            for number in range(80)
        ]
        await self.log.append("late", late)
        self.filled = now

    async def run(self) -> None:
        """Write until cancelled."""
        began, written = time.monotonic(), 0
        while True:
            due = int((time.monotonic() - began) * RATE) - written
            if due > 0:
                now = int(time.time() * 1000)
                await self.log.append("wiki.change", [self._change(now) for _ in range(due)])
                await self.log.append("numbers", [self._count(now) for _ in range(due)])
                written += due
            await asyncio.sleep(0.02)

    async def put(self, stream: str, *events: dict[str, Any]) -> None:
        """Write events of a test."""
        records = [NewRecord(json.dumps(event).encode(), timestamp=int(time.time() * 1000)) for event in events]
        await self.log.append(stream, records)

    @asynccontextmanager
    async def flood(self, rate: int) -> AsyncIterator[None]:
        """Write so many numbers a second meanwhile, besides all else."""
        flooding = asyncio.create_task(self._flood(rate))
        try:
            yield
        finally:
            flooding.cancel()
            with suppress(asyncio.CancelledError):
                await flooding

    async def _flood(self, rate: int) -> None:
        began, written = time.monotonic(), 0
        while True:
            due = min(rate, int((time.monotonic() - began) * rate) - written)
            now = int(time.time() * 1000)
            numbers = range(written, written + due)
            await self.log.append("flood", [NewRecord(numbered(number), timestamp=now) for number in numbers])
            written += due
            await asyncio.sleep(0.05)

    def _change(self, moment: int) -> NewRecord:
        event, _ = self._sample.next(moment)
        return NewRecord(orjson.dumps(event), timestamp=moment)

    def _count(self, moment: int) -> NewRecord:
        self.number += 1
        return NewRecord(numbered(self.number), timestamp=moment)


class Explorer:
    """The page in a browser, and whatever it should not have done."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        self._said: list[str] = []
        self._forgiven: list[str] = []
        self.foreign: list[str] = []
        self.streams: list[str] = []
        """The addresses of the streams that were asked for; those that try a filter are not among them."""
        page.set_default_timeout(TIMEOUT)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self._hear(str(error)))
        page.context.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._hear(f"{message.text} ({message.location.get('url', '')})")

    def _hear(self, text: str) -> None:
        self._said.append(text)
        # For a test that fails before it looks.
        logging.getLogger(__name__).warning("the page complains: %s", text)

    def _request(self, request: Request) -> None:
        # A saved page lies in a file.
        if not request.url.startswith((self.address, f"blob:{self.address}", "data:", "file:")):
            self.foreign.append(request.url)
        if "/v2/stream/" in request.url and "limit=200" not in request.url:
            self.streams.append(request.url)

    @property
    def complaints(self) -> list[str]:
        """Errors and warnings of the console and exceptions that nothing caught, but for what is forgiven."""
        return [text for text in self._said if not any(words in text for words in self._forgiven)]

    def forgive(self, words: str = "Failed to load resource") -> None:
        """What the browser itself says of an answer that a test wants: a refusal, or none at all.

        Whenever it says so: the page may try again until it is closed, and the console is told late."""
        self._forgiven.append(words)

    async def open(self, query: str = "") -> None:
        """Open the page at a view, and wait until events are shown, with their columns."""
        await self.page.goto(f"{self.address}/{query}")
        # Rows may be there before the page knows what the events of the stream have. Until then there are no heads, and
        # no cells but that of the time; nor can it offer members, values or recipes.
        await self.page.locator(".head > .cell").first.wait_for(state="attached")
        await self.rows.first.wait_for()

    @property
    def rows(self) -> Locator:
        """The rows that exist."""
        return self.page.locator(".row")

    def text(self, name: str) -> Locator:
        """What the page says somewhere."""
        return self.page.locator(f"#{name}")

    async def state(self, words: str) -> None:
        """Wait for a state of the connection."""
        await expect(self.text("state")).to_have_text(words)

    async def seen(self) -> int:
        """How many events the page says that it has seen."""
        return int(re.sub(r"\D", "", await self.text("seen").inner_text()))

    async def sees(self, count: int) -> None:
        """Wait until the page says that it has seen so many events, or about so many: a busy gateway estimates."""
        script = r"n => Number(document.getElementById('seen').textContent.replace(/\D/g, '')) >= n"
        await self.becomes(script, count)

    async def column(self, path: str) -> list[str]:
        """The values of a column, from the newest down."""
        script = """path => [...document.querySelectorAll('.row')]
            .sort((one, other) => other.dataset.seq - one.dataset.seq)
            .map(row => row.querySelector(`[data-path="${path}"]`)?.textContent ?? '')"""
        found: list[str] = await self.page.evaluate(script, path)
        return found

    async def all_rows(self, member: str) -> list[Any]:
        """A member of all the events that the page holds, from the oldest; the page is paused."""
        async with self.page.expect_download() as download:
            await self.page.get_by_role("button", name="Get code").click()
            await self.page.get_by_role("button", name="Download NDJSON").click()
        await self.page.keyboard.press("Escape")
        path = await (await download.value).path()
        text = await asyncio.to_thread(path.read_text)
        return [json.loads(line).get(member) for line in text.splitlines()]

    async def becomes(self, script: str, given: Any = None) -> None:
        """Wait until something is true in the page."""
        await self.page.wait_for_function(script, arg=given, timeout=TIMEOUT)

    async def copies(self, button: Locator) -> str:
        """Click a button that copies, and wait until it has said so, which it does for a second; what was copied."""
        await button.evaluate(SAYS)
        await button.click()
        await self.becomes("() => window.said.includes('Copied')")
        copied: str = await self.page.evaluate("() => navigator.clipboard.readText()")
        return copied

    async def pick(self, path: str, choice: str) -> str:
        """Click a value in the table, then an entry of its menu; returns the value."""
        box = await self.page.locator("#grid").bounding_box()
        assert box is not None
        # The table stands still from when it is pointed at. A pointer that was there before another view was asked for
        # does not hold that one: so it goes away first.
        await self.page.mouse.move(0, 0)
        x, y = box["x"] + 20, box["y"] + 80
        await self.page.mouse.move(x, y)
        script = "([x, y]) => document.elementFromPoint(x, y)?.closest('.row')?.dataset.seq"
        found = await self.page.wait_for_function(script, arg=[x, y], timeout=TIMEOUT)
        sequence = await found.json_value()
        cell = self.page.locator(f'.row[data-seq="{sequence}"] [data-path="{path}"]')
        value = await cell.inner_text()
        await cell.click()
        await self.page.get_by_role("menuitem", name=re.compile(f"^{choice}")).click()
        return value
