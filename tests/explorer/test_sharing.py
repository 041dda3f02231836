"""Many tabs of one browser: over HTTP/1.1 it has six connections to the gateway for all of them together."""

from __future__ import annotations

import json
import re

import pytest
from playwright.async_api import Browser, Page, Request, Route, expect

from tests.end_to_end.process import GatewayProcess
from tests.explorer.kit import STREAMS, TIMEOUT, Explorer
from tests.kit.waiting import becomes

pytestmark = [pytest.mark.end_to_end, pytest.mark.asyncio(loop_scope="package")]

ANSWERED = """async () => {
    const began = performance.now();
    await (await fetch('/v2/streams', { signal: AbortSignal.timeout(30_000) })).json();
    return performance.now() - began;
}"""
LOOKED_AT = """seen => {
    Object.defineProperty(document, 'hidden', { get: () => !seen, configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
}"""


async def test_seven_windows_are_all_live_and_leave_room_for_requests(
    browser: Browser, gateway: GatewayProcess, figures: list[str]
) -> None:
    context = await browser.new_context()
    pages = [await context.new_page() for _ in range(7)]
    # Each has another view: nothing that one gets is of use for another.
    for number, page in enumerate(pages):
        await page.goto(f"{gateway.address}/?streams=numbers&columns=n&filter=event.n+%25+7+%3D%3D+{number}")
        await page.locator(".row").first.wait_for(timeout=TIMEOUT)
    for page in pages:
        await expect(page.locator("#state")).to_have_text("Live")
    waits = [await page.evaluate(ANSWERED) for page in pages]
    figures.append(f"seven windows over HTTP/1.1: a request is answered within {max(waits):.0f} ms")
    last = pages[-1]
    await expect(last.locator("#state-detail")).to_have_text(
        re.compile("^every 4 s: 7 pages share the few connections")
    )
    # Those that take turns get on, and miss nothing.
    for page in pages[3:]:
        each = Explorer(page, gateway.address)
        await each.sees(await each.seen() + 60)
        await expect(page.locator("#state")).to_have_text("Live")
    await last.keyboard.press("p")
    numbers = await Explorer(last, gateway.address).all_rows("n")
    assert numbers == list(range(numbers[0], numbers[-1] + 1, 7))
    # When others are closed, there are no turns any more.
    await last.keyboard.press("p")
    for page in pages[:3]:
        await page.close()
    await expect(last.locator("#state-detail")).to_have_text("")
    await context.close()


async def test_a_hidden_page_lets_go_and_comes_back_where_it_was(explorer: Explorer) -> None:
    page = explorer.page
    await explorer.open("?streams=numbers&columns=n")
    await explorer.state("Live")
    ended: list[str] = []

    def note(request: Request) -> None:
        if "/v2/stream/" in request.url and "limit=200" not in request.url:
            ended.append(request.url)

    page.context.on("requestfailed", note)
    await page.evaluate(LOOKED_AT, False)
    await explorer.state("Resting")
    await expect(explorer.text("state-detail")).to_contain_text("it goes on where it was")
    # The browser tells it by another way than the page.
    await becomes(lambda: ended)
    assert len(ended) == 1
    shown = await explorer.seen()
    await page.evaluate(LOOKED_AT, True)
    await explorer.state("Live")
    await explorer.sees(shown + 100)
    await page.keyboard.press("p")
    numbers = await explorer.all_rows("n")
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


async def test_whoever_comes_back_need_not_catch_up(explorer: Explorer) -> None:
    page = explorer.page
    await explorer.open("?streams=numbers&columns=n")
    await explorer.state("Live")
    await page.evaluate(LOOKED_AT, False)
    await explorer.state("Resting")
    asked = len(explorer.streams)
    # The click comes before the stream is back.
    script = """() => new Promise(done => {
        const state = document.getElementById('state');
        new MutationObserver((_, observer) => {
            if (state.textContent !== 'Connecting') return;
            observer.disconnect();
            document.querySelector('[data-back=""]').click();
            done();
        }).observe(state, { childList: true, characterData: true, subtree: true });
    })"""
    await page.evaluate(f"async () => {{ const clicked = ({script})(); ({LOOKED_AT})(true); await clicked; }}")
    await explorer.state("Live")
    # What begins anew says since when; what goes on has an id instead.
    assert any("since=" in url for url in explorer.streams[asked:])


async def test_a_request_without_an_answer_ends_and_is_told(explorer: Explorer) -> None:
    page = explorer.page
    # Ten seconds are a tenth here, but not while the page begins: on a busy machine that takes its time.
    await page.add_init_script(
        "const of = AbortSignal.timeout; window.haste = 1;"
        "AbortSignal.timeout = ms => of.call(AbortSignal, ms / window.haste);"
    )

    async def nothing(route: Route) -> None:
        """Never answered, but for updates, of which there are none."""
        if "event-stream" in route.request.headers["accept"]:
            await route.fulfill(status=429)

    await page.context.route(re.compile("/explorer/rates"), nothing)
    await explorer.open("?streams=numbers&columns=n")
    await explorer.state("Live")
    await page.evaluate("() => { window.haste = 10; }")
    await expect(explorer.text("state-detail")).to_have_text(
        "no answer in time: the gateway is slow, or other tabs hold all connections that the browser has for it"
    )
    await page.evaluate("() => { window.haste = 1; }")
    await page.context.unroute_all()
    await expect(explorer.text("state-detail")).to_have_text(re.compile("^(once a second, the newest events)?$"))
    explorer.forgive()


async def test_up_to_two_windows_have_updates_of_the_rates(browser: Browser, gateway: GatewayProcess) -> None:
    context = await browser.new_context()
    asked: list[tuple[Page, bool]] = []

    def note(request: Request) -> None:
        if request.url.endswith("/explorer/rates"):
            asked.append((request.frame.page, "event-stream" in request.headers["accept"]))

    context.on("request", note)
    # Ten seconds of silence end updates, and a busy machine may stand still for so long.
    await context.add_init_script(
        "const after = setTimeout; window.setTimeout = (act, ms) => after(act, ms === 10_000 ? 120_000 : ms);"
    )
    pages = [await context.new_page() for _ in range(3)]
    for page in pages[:2]:
        await page.goto(f"{gateway.address}/?streams=numbers&columns=n")
        before = await page.locator("path.stroke[d]").first.get_attribute("d", timeout=TIMEOUT)
        # The chart moves without another request.
        await expect(page.locator("path.stroke[d]").first).not_to_have_attribute("d", before or "")
    assert asked == [(page, True) for page in pages[:2]]
    await pages[2].goto(f"{gateway.address}/?streams=numbers&columns=n")
    # Then there are too many, and each asks.
    for page in pages:
        while (page, False) not in asked:
            await page.context.wait_for_event("request", timeout=TIMEOUT)
    await context.close()


async def test_the_list_of_streams_is_renewed_under_search_and_focus(explorer: Explorer) -> None:
    page = explorer.page
    calls = 0

    async def streams(route: Route) -> None:
        nonlocal calls
        calls += 1
        response = await route.fetch(max_retries=3)
        answer = await response.json()
        # A long list, and at each look one more.
        more = [{**answer[0], "name": f"more-{number}", "aliases": []} for number in range(6 + calls)]
        await route.fulfill(response=response, body=json.dumps([*answer, *more]))

    await page.context.route(re.compile("/v2/streams$"), streams)
    await page.clock.install()
    await page.goto(f"{explorer.address}/?streams=numbers")
    await page.get_by_label("Find a stream").fill("numbers")
    card = page.get_by_label("numbers", exact=True)
    await expect(page.locator(".stream:visible")).to_have_count(1)
    await card.focus()
    before = int(await explorer.text("stream-count").inner_text())
    assert before > len(STREAMS) + 6
    await page.clock.fast_forward(61_000)
    await expect(explorer.text("stream-count")).not_to_have_text(str(before))
    await expect(card).to_be_focused()
    await expect(page.locator(".stream:visible")).to_have_count(1)
