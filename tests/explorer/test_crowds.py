"""More than anybody can read: thousands of events a second, and a thousand streams. Frame times are the oracle."""

from __future__ import annotations

import json
import re
import statistics

import pytest
from playwright.async_api import Page, Route, expect

from tests.explorer.kit import Explorer, Feed, stream_document

pytestmark = [pytest.mark.end_to_end, pytest.mark.asyncio(loop_scope="package")]

RATE = 2000
MILLISECONDS = 3000
"""How long frames are counted."""
FRAMES = """milliseconds => new Promise(done => {
    const times = [];
    let last = performance.now();
    const end = last + milliseconds;
    requestAnimationFrame(function step(now) {
        times.push(now - last);
        last = now;
        if (now < end) requestAnimationFrame(step);
        else done(times.slice(1));
    });
})"""
TYPED = """text => new Promise(done => {
    const box = document.getElementById('find');
    const began = performance.now();
    box.value = text;
    box.dispatchEvent(new InputEvent('input', { bubbles: true }));
    requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)));
})"""


async def frames(page: Page) -> list[float]:
    """The milliseconds that each frame took, from the shortest."""
    found: list[float] = await page.evaluate(FRAMES, MILLISECONDS)
    return sorted(found)


def told(times: list[float]) -> str:
    """Frame times in words."""
    return f"{statistics.median(times):.0f} ms a frame, 95 % below {times[len(times) * 95 // 100]:.0f} ms"


@pytest.mark.alone
async def test_two_thousand_events_a_second_stay_fluid_and_say_what_is_left_out(
    explorer: Explorer, feed: Feed, figures: list[str]
) -> None:
    page = explorer.page
    await page.goto(f"{explorer.address}/?streams=quiet")
    await explorer.state("Live")
    still = await frames(page)
    async with feed.flood(RATE):
        await explorer.open("?streams=flood&columns=n")
        await explorer.state("Live")
        await expect(explorer.text("state-detail")).to_have_text("once a second, the newest events")
        await explorer.becomes("() => /^(1,[6-9]|2,[0-3])\\d\\d.s$/.test(document.getElementById('pace').textContent)")
        busy = await frames(page)
        # Of what came, the newest are kept; how many of how many is said.
        await expect(explorer.text("kept")).to_have_text(re.compile(r"^newest 5,000 of [\d,]{5,}$"))
        assert await explorer.rows.count() < 60
        await page.get_by_role("button", name="Pause").click()
        shown = await explorer.column("n")
        await expect(explorer.text("fresh")).to_have_text(re.compile(r"^↑ 5,000 new \([\d,]+ older ones passed by\)$"))
        assert await explorer.column("n") == shown
        await page.get_by_role("button", name="Resume").click()
        await explorer.becomes(
            "n => Number(document.querySelector('[data-path=n]').textContent) > n + 5000", int(shown[0])
        )
    # The end of the flood: what the page holds has no hole.
    await page.keyboard.press("p")
    numbers = await explorer.all_rows("n")
    assert numbers == list(range(numbers[0], numbers[0] + 5000))
    figures.append(f"at {RATE:,} events a second: {told(busy)}; without any: {told(still)}")
    assert statistics.median(busy) < 2 * statistics.median(still) + 10
    assert busy[len(busy) * 95 // 100] < 150


@pytest.mark.alone
async def test_among_a_thousand_streams_one_is_found_quickly(explorer: Explorer, figures: list[str]) -> None:
    page = explorer.page
    names = ["numbers", *(f"{head}.{number}" for number in range(250) for head in ("shop", "wiki", "bank", "rail"))]
    streams = [stream_document(name) for name in names]
    rates = {name: {"newest": 1_767_225_600_000, "seconds": 60, "counts": [5] * 60} for name in names}

    async def give(route: Route) -> None:
        if "event-stream" in route.request.headers.get("accept", ""):
            # There is no room for updates: so the page asks.
            await route.fulfill(status=429, body="{}", content_type="application/problem+json")
        elif route.request.url.endswith("rates"):
            await route.fulfill(body=json.dumps({"end": 1, "streams": rates}), content_type="application/json")
        else:
            await route.fulfill(body=json.dumps(streams), content_type="application/json")

    await page.route(re.compile(r"/v2/streams$|/explorer/rates$"), give)
    await explorer.open("?streams=numbers&columns=n")
    await explorer.state("Live")
    # All groups unfolded, with as many cards as there ever are, and their rates drawn anew.
    for summary in await page.locator(".group summary").all():
        if await summary.locator("xpath=..").get_attribute("open") is None:
            await summary.click()
    await expect(page.locator(".stream")).to_have_count(801)
    await expect(page.locator("#streams")).to_contain_text("and 50 more, which are found by their names")
    times = await frames(page)
    assert await page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    typed = sorted([await page.evaluate(TYPED, text) for text in ("s", "sh", "shop.17", "shop.171", "")])
    await page.get_by_label("Find a stream").fill("rail.201")
    await expect(page.locator(".stream")).to_have_count(1)
    await page.get_by_label("rail.201", exact=True).check()
    await expect(page).to_have_url(re.compile("numbers,rail.201"))
    figures.append(
        f"with 1,000 streams: {told(times)}; a letter in the search takes {typed[2]:.0f} ms, at most {typed[-1]:.0f} ms"
    )
    assert typed[2] < 300
    assert times[len(times) * 95 // 100] < 150
    explorer.forgive()
