"""Ten first visits, as somebody makes them who has never been here: counted in clicks, texts and seconds."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Locator, expect

from tests.explorer.guide import page_file
from tests.explorer.kit import Explorer

pytestmark = [pytest.mark.end_to_end, pytest.mark.asyncio(loop_scope="package")]


class Person:
    """Somebody who clicks and types, and is counted."""

    def __init__(self, explorer: Explorer) -> None:
        self.explorer = explorer
        self.page = explorer.page
        self.clicks = 0
        self.texts = 0
        self.began = time.monotonic()

    async def comes(self, query: str = "") -> None:
        """Opens the page."""
        await self.page.goto(f"{self.explorer.address}/{query}")

    async def clicks_on(self, what: Locator) -> None:
        """A click."""
        self.clicks += 1
        await what.click()

    async def button(self, name: str) -> None:
        """A click on a button."""
        await self.clicks_on(self.page.get_by_role("button", name=name, exact=True))

    async def types(self, where: str, text: str) -> None:
        """A text, and the enter key."""
        self.texts += 1
        await self.explorer.text(where).fill(text)
        await self.page.keyboard.press("Enter")


@pytest_asyncio.fixture(loop_scope="package")
async def person(explorer: Explorer, request: pytest.FixtureRequest, figures: list[str]) -> AsyncIterator[Person]:
    """Told at the end, with what the visit was for."""
    person = Person(explorer)
    yield person
    seconds = time.monotonic() - person.began
    name = request.node.name.removeprefix("test_").replace("_", " ")
    figures.append(f"first visit: {name}: {person.clicks} clicks, {person.texts} texts, {seconds:.1f} s")


async def test_see_what_goes_on(person: Person) -> None:
    await person.comes()
    await person.explorer.rows.nth(5).wait_for()
    await person.explorer.state("Live")
    assert (person.clicks, person.texts) == (0, 0)


async def test_find_the_biggest_edits_of_the_last_hour_on_one_wiki(person: Person) -> None:
    await person.comes("?columns=title,user,length.new")
    # The commonest values are of members that the page knows when somebody asks for them.
    await person.page.get_by_role("columnheader", name="length.new").wait_for()
    await person.button("1 h")
    await person.clicks_on(person.page.get_by_text("Top values"))
    wiki = person.page.get_by_role("region", name="wiki")
    await person.clicks_on(wiki.get_by_role("button", name=re.compile("^dewiki")))
    await expect(person.explorer.text("filter")).to_have_value('event.wiki == "dewiki"')
    await person.button("length.new")
    await expect(person.page.get_by_role("columnheader", name="length.new")).to_have_attribute(
        "aria-sort", "descending"
    )
    await person.explorer.rows.first.wait_for()
    assert (person.clicks, person.texts) == (4, 0)


async def test_follow_what_one_user_does(person: Person) -> None:
    await person.comes()
    await person.explorer.rows.nth(3).wait_for()
    user = await person.explorer.pick("user", "Only this")
    person.clicks += 2
    await expect(person.explorer.text("filter")).to_have_value(re.compile(r"^event\.user == "))
    await person.explorer.rows.first.wait_for()
    assert set(await person.explorer.column("user")) == {user}


async def test_see_what_was_an_hour_ago(person: Person) -> None:
    await person.comes("?streams=wiki.change")
    await person.types("since", "1h ago")
    await person.types("until", "1 min ago")
    await person.explorer.state("Finished")
    await person.explorer.rows.first.wait_for()
    assert (person.clicks, person.texts) == (0, 2)


async def test_learn_why_a_stream_is_quiet(person: Person) -> None:
    await person.comes()
    await person.clicks_on(person.page.get_by_label("wiki.change", exact=True))
    await person.clicks_on(person.page.get_by_label("late", exact=True))
    await expect(person.explorer.rows.first.locator(".time")).to_have_text(re.compile(r"\d\d-\d\d "))
    assert (person.clicks, person.texts) == (2, 0)


async def test_find_a_word(person: Person) -> None:
    await person.comes("?streams=wiki.change")
    await person.page.get_by_role("columnheader", name="title").wait_for()
    await person.types("filter", "copyedit")
    await expect(person.page.locator(".chip")).to_contain_text("“copyedit” in a text")
    await person.explorer.rows.first.wait_for()
    assert (person.clicks, person.texts) == (0, 1)


async def test_leave_the_bots_out(person: Person) -> None:
    await person.comes("?streams=wiki.change")
    await person.page.get_by_role("columnheader", name="title").wait_for()
    await person.clicks_on(person.page.get_by_role("button", name="What may be typed here"))
    await person.clicks_on(person.page.get_by_role("button", name=re.compile("^True, or false")))
    await expect(person.explorer.text("filter")).to_have_value("!event.bot")
    await person.button("Apply")
    # The gateway is asked first whether it takes it, and the rows of before stand there meanwhile.
    await expect(person.page).to_have_url(re.compile("filter="))
    await person.explorer.rows.nth(3).wait_for()
    assert set(await person.explorer.column("bot")) == {"false"}
    assert (person.clicks, person.texts) == (3, 0)


@pytest.mark.context(permissions=["clipboard-read", "clipboard-write"])
async def test_take_a_program_along(person: Person) -> None:
    await person.comes("?streams=wiki.change")
    await person.button("Get code")
    await person.clicks_on(person.page.get_by_role("tab", name="Go", exact=True))
    person.clicks += 1
    assert "package main" in await person.explorer.copies(person.page.locator("#copy"))
    assert (person.clicks, person.texts) == (3, 0)


async def test_open_the_last_minutes_in_a_spreadsheet(person: Person) -> None:
    await person.comes("?streams=wiki.change")
    await person.explorer.rows.nth(3).wait_for()
    await person.button("Get code")
    async with person.page.expect_download() as download:
        await person.button("Download CSV")
    assert (await download.value).suggested_filename.endswith(".csv")
    assert (person.clicks, person.texts) == (2, 0)


async def test_send_a_first_event(person: Person, tmp_path: Path) -> None:
    """From the page of the guide; it is there at once, and in the explorer."""
    page = person.page
    await page.goto(page_file(tmp_path, person.explorer.address))
    for label, text in (("Your name", "Ada"), ("A line", "My very first event")):
        person.texts += 1
        await page.get_by_label(label).fill(text)
    await person.button("Send")
    await expect(page.locator("li").first).to_have_text("Ada: My very first event")
    await person.comes("?streams=guestbook")
    # The row may be there before its cells, of which the schema tells.
    cell = person.explorer.rows.first.locator('[data-path="text"]')
    await expect(cell).to_have_text("My very first event")
    assert (person.clicks, person.texts) == (1, 2)
