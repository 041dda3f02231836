"""Travelling in time: the slider, spans back from now, exact times, playing, and what is said on the way."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import expect

from tests.end_to_end.process import GatewayProcess
from tests.explorer.kit import HISTORY, RATE, Explorer, Feed

pytestmark = [pytest.mark.end_to_end, pytest.mark.asyncio(loop_scope="package")]


def ago(seconds: float, now: datetime | None = None) -> str:
    """A moment in whole seconds."""
    moment = (now or datetime.now(UTC)) - timedelta(seconds=seconds)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


async def test_all_of_the_past_and_on_to_live(explorer: Explorer) -> None:
    page = explorer.page
    began = time.monotonic()
    await explorer.open()
    await page.get_by_role("button", name="All", exact=True).click()
    await expect(page).to_have_url(re.compile("since="))
    await explorer.sees(HISTORY)
    await explorer.state("Live")
    # All of it is counted, and no more than what can be looked at is moved.
    words = re.compile(r"newest ([\d,]+) of ([\d,]+)")
    await expect(explorer.text("kept")).to_have_text(words)
    kept = await explorer.text("kept").inner_text()
    found = words.fullmatch(kept)
    assert found, kept
    moved, total = (int(number.replace(",", "")) for number in found.groups())
    # What came since is moved, too: on a busy machine that is long ago.
    assert moved <= 1500 + RATE * (time.monotonic() - began)
    assert moved < HISTORY <= total
    await expect(page.locator("#chart canvas")).to_have_attribute("aria-label", re.compile("events between"))
    await page.get_by_role("button", name="Live", exact=True).click()
    await expect(page).to_have_url(f"{explorer.address}/")


async def test_the_slider_starts_where_it_is_put(explorer: Explorer) -> None:
    page = explorer.page
    await explorer.open()
    start = page.get_by_role("slider", name="Start")
    await expect(start).to_have_attribute("aria-valuetext", "live")
    await start.focus()
    await page.keyboard.press("Home")
    await expect(page).to_have_url(re.compile("since=20"))
    await expect(start).to_have_attribute("aria-valuetext", re.compile("UTC, .* ago"))
    await explorer.sees(HISTORY // 2)
    await page.get_by_role("slider", name="End").focus()
    for _ in range(3):
        await page.keyboard.press("PageDown")
    await expect(page).to_have_url(re.compile("until=20"))
    await explorer.state("Finished")


async def test_a_range_has_exactly_its_events(explorer: Explorer, gateway: GatewayProcess, feed: Feed) -> None:
    # 800 events, of which the page moves all; while the feed runs, a second may have none, or those of several.
    filled = datetime.fromtimestamp(feed.filled / 1000, UTC)
    since, until = ago(60, filled), ago(52, filled)
    query = f"since={since}&until={until}"
    answer = await gateway.get(f"/v2/stream/wiki.change?{query}", headers={"accept": "application/x-ndjson"})
    expected = [json.loads(line)["meta"]["id"] for line in answer.text.splitlines() if '"meta"' in line]
    await explorer.open(f"?streams=wiki.change&{query}")
    await explorer.state("Finished")
    await explorer.becomes("n => document.getElementById('grid').ariaRowCount === String(n + 1)", len(expected))
    assert await explorer.seen() == len(expected)
    found = [meta["id"] for meta in await explorer.all_rows("meta")]
    assert found == expected
    assert len(found) > 500


async def test_the_past_is_played_as_fast_as_one_likes(explorer: Explorer) -> None:
    page = explorer.page
    # In real time it stays behind for as long as somebody looks.
    await explorer.page.goto(f"{explorer.address}/?streams=wiki.change&since={ago(60)}&speed=1")
    await explorer.state("Playing")
    await expect(explorer.text("state-detail")).to_contain_text("behind, 1 × as fast as it happened")
    await expect(page.get_by_role("progressbar")).to_be_visible()
    await explorer.rows.first.wait_for()
    assert await explorer.seen() < 5000
    began = time.monotonic()
    await explorer.text("speed").select_option("10")
    await expect(page).to_have_url(re.compile("speed=10$"))
    await explorer.state("Live")
    await explorer.sees(5000)
    # A minute takes six seconds, and somewhat less where some of its events came at once.
    assert time.monotonic() - began > 3


async def test_from_a_row_on(explorer: Explorer) -> None:
    page = explorer.page
    await explorer.open("?streams=wiki.change&since=1m")
    await explorer.rows.nth(4).hover()
    await explorer.rows.nth(4).locator(".time").focus()
    await page.keyboard.press("t")
    await page.get_by_role("menuitem", name="From here").click()
    await expect(page).to_have_url(re.compile("since=20"))
    await explorer.rows.first.wait_for()


async def test_the_histogram_chooses_a_span(explorer: Explorer) -> None:
    page = explorer.page
    await explorer.open("?streams=wiki.change&since=1m")
    await explorer.state("Live")
    box = await page.locator("#chart canvas").bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 20)
    await page.mouse.down()
    await page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 20, steps=4)
    await page.mouse.up()
    await expect(page).to_have_url(re.compile("since=20.*until=20"))
    await explorer.state("Finished")
    await explorer.sees(100)


async def test_a_time_that_is_none_is_refused_at_its_place(explorer: Explorer) -> None:
    page = explorer.page
    await explorer.open()
    await explorer.text("since").fill("the other day")
    await page.keyboard.press("Enter")
    await expect(explorer.text("since")).to_have_attribute("aria-invalid", "true")
    await expect(page).to_have_url(f"{explorer.address}/")
    await explorer.text("since").fill("30s")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(f"{explorer.address}/?since=30s")
