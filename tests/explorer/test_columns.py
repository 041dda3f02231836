"""The table as a tool: order, columns, widths, several streams, and what is older."""

from __future__ import annotations

import asyncio
import csv
import re

import pytest
from playwright.async_api import expect

from tests.explorer.kit import Explorer, Feed

pytestmark = [pytest.mark.end_to_end, pytest.mark.asyncio(loop_scope="package")]


FROM_THE_TOP = """path => {
    const top = row => row.getBoundingClientRect().top;
    return [...document.querySelectorAll('.row')].sort((one, other) => top(one) - top(other))
        .map(row => row.querySelector(`[data-path="${path}"]`).textContent);
}"""
"""The values of a column, as they are seen from the top."""


ROWS_ONCE_FINISHED = """() => document.getElementById('state').textContent === 'Finished'
    && document.getElementById('grid').ariaRowCount"""


async def test_a_click_on_a_head_sorts_all_of_the_range(explorer: Explorer, feed: Feed) -> None:
    page = explorer.page
    # More than is moved at once, and less than the page has room for.
    span = f"since={feed.filled - 60_000}&until={feed.filled - 25_000}"
    await explorer.open(f"?streams=wiki.change&{span}&columns=title,length.new")
    await explorer.state("Finished")
    head = page.get_by_role("columnheader", name="length.new")
    await head.get_by_role("button", name="length.new", exact=True).click()
    await expect(head).to_have_attribute("aria-sort", "descending")
    await expect(page).to_have_url(re.compile("sort=-length.new"))
    # The order of a part would mislead: the rest of the range is fetched.
    await expect(explorer.text("older")).to_be_hidden()
    total = await explorer.seen()
    assert total > 1000
    await explorer.becomes("n => document.getElementById('grid').ariaRowCount === String(n + 1)", total)
    shown = [int(text) for text in await page.evaluate(FROM_THE_TOP, "length.new") if text]
    assert shown == sorted(shown, reverse=True)
    lengths = [length["new"] for length in await explorer.all_rows("length") if length]
    assert shown[0] == max(lengths)
    # Numbers stand below each other, also their heads.
    cell = explorer.rows.first.locator('[data-path="length.new"]')
    await expect(cell).to_have_css("text-align", "right")
    await head.get_by_role("button", name="length.new", exact=True).click()
    await expect(head).to_have_attribute("aria-sort", "ascending")
    await head.get_by_role("button", name="length.new", exact=True).click()
    await expect(page).not_to_have_url(re.compile("sort="))


async def width_of(explorer: Explorer, name: str) -> float:
    """The width of a column."""
    box = await explorer.page.get_by_role("columnheader", name=name).bounding_box()
    assert box is not None
    return box["width"]


async def test_columns_come_from_an_open_event_and_are_moved_and_widened(explorer: Explorer) -> None:
    page = explorer.page
    await explorer.open("?streams=wiki.change&columns=title,wiki")
    await explorer.rows.nth(1).hover()
    await explorer.rows.nth(1).locator(".time").click()
    await page.locator(".unfolded .leaf", has_text="wiki/change/1.0.0").click()
    await page.get_by_role("menuitem", name="Add as a column").click()
    await expect(page).to_have_url(re.compile(r"columns=title,wiki,%24schema"))
    head = page.get_by_role("columnheader", name="title")
    width = await width_of(explorer, "title")
    await head.hover()
    await head.get_by_role("button", name="Choices for title").click()
    await page.get_by_role("menuitem", name="Wider").click()
    assert await width_of(explorer, "title") > width * 1.2
    await head.get_by_role("button", name="Choices for title").click()
    await page.get_by_role("menuitem", name="Move right").click()
    await expect(page).to_have_url(re.compile(r"columns=wiki,title,%24schema"))
    # An edge can be drawn, and the width is kept.
    box = await page.get_by_role("columnheader", name="wiki").bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + box["width"] - 2, box["y"] + 10)
    await page.mouse.down()
    await page.mouse.move(box["x"] + box["width"] + 98, box["y"] + 10, steps=4)
    await page.mouse.up()
    drawn = await width_of(explorer, "wiki")
    assert drawn == pytest.approx(box["width"] + 100, abs=4)
    await page.reload()
    await explorer.rows.first.wait_for()
    assert await width_of(explorer, "wiki") == pytest.approx(drawn, abs=2)


async def test_the_keyboard_reaches_the_heads(explorer: Explorer) -> None:
    page = explorer.page
    await explorer.open("?streams=numbers&columns=n&since=30s&until=1s")
    await explorer.state("Finished")
    await page.locator(".line > [tabindex='0']").focus()
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("ArrowUp")
    await expect(page.get_by_role("button", name="n", exact=True)).to_be_focused()
    await page.keyboard.press("m")
    await page.get_by_role("menuitem", name="The least first").press("Enter")
    await expect(page).to_have_url(re.compile("sort=n$"))
    await expect(page.get_by_role("button", name="n", exact=True)).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page).not_to_have_url(re.compile("sort="))
    await expect(page.get_by_role("button", name="n", exact=True)).to_be_focused()
    await page.keyboard.press("ArrowDown")
    await expect(page.locator(".line > [tabindex='0']")).to_be_focused()


async def test_of_several_streams_each_row_says_its_own(explorer: Explorer) -> None:
    page = explorer.page
    await explorer.open("?streams=wiki.change,numbers&columns=n,title")
    await expect(page.get_by_role("columnheader")).to_have_text(["time (UTC)", "stream", "n", "title"])
    # Paused at once: a moment later there may be rows of one alone, since what is late is written stream by stream.
    await explorer.becomes(
        "() => new Set([...document.querySelectorAll('.cell.stream-name')].map(c => c.textContent)).size === 2"
        " && (document.getElementById('pause').click(), true)"
    )
    # A cell as the others are, not a card as the streams of the list are.
    await expect(page.locator(".line .cell.stream-name").first).to_have_css("border-top-width", "0px")
    await page.locator(".line .cell.stream-name", has_text="numbers").first.click()
    await page.get_by_role("menuitem", name="Only this stream").click()
    await expect(page).to_have_url(re.compile(r"streams=numbers"))
    await expect(page.get_by_role("columnheader", name="stream")).to_have_count(0)


async def test_what_is_older_is_fetched_without_hole_or_double(explorer: Explorer) -> None:
    page = explorer.page
    await explorer.open("?streams=numbers&columns=n")
    await explorer.state("Live")
    await page.keyboard.press("p")
    before = int((await explorer.text("kept").inner_text()).split()[1].replace(",", ""))
    await explorer.text("older").click()
    await explorer.becomes("n => document.getElementById('grid').ariaRowCount > n + 300", before)
    numbers = await explorer.all_rows("n")
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert len(numbers) > before + 300


async def test_the_events_are_a_table_for_spreadsheets(explorer: Explorer, feed: Feed) -> None:
    page = explorer.page
    # So few that all are moved at once.
    span = f"since={feed.filled - 10_000}&until={feed.filled - 5000}"
    await explorer.open(f"?streams=wiki.change&columns=title,bot&{span}")
    # In the moment in which it says so, all is there.
    finished = await page.wait_for_function(ROWS_ONCE_FINISHED)
    assert await finished.json_value() == str(await explorer.seen() + 1)
    async with page.expect_download() as download:
        await page.get_by_role("button", name="Get code").click()
        await page.get_by_role("button", name="Download CSV").click()
    text = (await asyncio.to_thread((await (await download.value).path()).read_bytes)).decode()
    rows = list(csv.reader(text.splitlines()))
    assert rows[0] == ["time", "title", "bot"]
    assert len(rows) == await explorer.seen() + 1
    assert {row[2] for row in rows[1:]} == {"true", "false"}


@pytest.mark.context(permissions=["clipboard-read", "clipboard-write"])
async def test_the_link_names_what_is_shown(explorer: Explorer) -> None:
    page = explorer.page
    await explorer.open()
    link = await explorer.copies(page.locator("#copy-link"))
    assert link == f"{explorer.address}/?streams=wiki.change"
