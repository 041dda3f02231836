"""What goes wrong: the server restarts, limits, gaps, refusals, and events that mean harm."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.async_api import Browser, Route, expect

from tests.end_to_end.process import GatewayProcess, configuration, eventually
from tests.explorer.kit import STREAMS, Explorer, Feed

pytestmark = [pytest.mark.end_to_end, pytest.mark.asyncio(loop_scope="package")]

STREAM = re.compile(r"/v2/stream/numbers\?since=\d{13}$")
EVENTS = {"content-type": "text/event-stream"}
STATES = """addEventListener('DOMContentLoaded', () => {
    window.states = [];
    const both = ['state', 'state-detail'].map(id => document.getElementById(id));
    const observer = new MutationObserver(() => window.states.push(both.map(each => each.textContent).join(': ')));
    for (const each of both) observer.observe(each, { childList: true });
});"""
"""Keeps what the page says of the connection, also for a moment alone."""
IDENTIFIER = '[{"topic":"numbers","partition":0,"offset":1,"timestamp":1700000000000}]'


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_a_restart_of_the_server_loses_nothing(explorer: Explorer, gateway: GatewayProcess, end: str) -> None:
    await explorer.open("?streams=numbers&columns=n")
    await explorer.state("Live")
    before = await explorer.seen()
    await (gateway.stop() if end == "stop" else gateway.kill())
    await explorer.state("Reconnecting")
    await expect(explorer.text("state-detail")).to_contain_text("again in")
    await gateway.start()
    await explorer.state("Live")
    await explorer.sees(before + 200)
    await explorer.page.keyboard.press("p")
    numbers = await explorer.all_rows("n")
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    explorer.forgive()


def answers(*given: tuple[int, dict[str, str], str]) -> Callable[[Route], object]:
    """A server that answers so, in this order, and then as it does."""
    left = list(given)

    async def answer(route: Route) -> None:
        if left:
            status, headers, body = left.pop(0)
            await route.fulfill(status=status, headers=headers, body=body)
        else:
            await route.continue_()

    return answer


async def test_a_limit_is_told_with_the_time_of_the_next_try(explorer: Explorer) -> None:
    problem = json.dumps({"title": "Too many requests", "detail": "there are 10 connections from your address"})
    refusal = (429, {"retry-after": "3", "content-type": "application/problem+json"}, problem)
    await explorer.page.context.route(STREAM, answers(refusal))
    await explorer.page.add_init_script(STATES)
    await explorer.page.goto(f"{explorer.address}/?streams=numbers&since=10s")
    told = "Limit reached: there are 10 connections from your address; again in "
    await explorer.becomes("told => window.states.some(each => each.startsWith(told))", told)
    await explorer.state("Live")
    explorer.forgive()


async def test_a_limit_of_the_gateway_is_told(browser: Browser, feed: Feed, tmp_path: Path) -> None:
    """One stream an address: the second page says so, and can go on when the first is closed."""
    # Loopback is exempt otherwise.
    config = configuration(tmp_path, STREAMS, exempt_networks=["192.0.2.0/24"], limit_streams_per_address=1)
    gateway = GatewayProcess(tmp_path / "gateway", "--config", str(config), "--log", f"sqlite:///{feed.path}")
    try:
        await gateway.start()
        first = await browser.new_page()
        await first.goto(f"{gateway.address}/?streams=numbers")
        await expect(first.locator("#state")).to_have_text("Live")
        second = await browser.new_page()
        await second.goto(f"{gateway.address}/?streams=numbers")
        await expect(second.locator("#state")).to_have_text("Limit reached")
        await expect(second.locator("#state-detail")).to_have_text(re.compile(r"^[^;]*streams[^;]*; again in \d+ s$"))
        # A click on another view asks again at once.
        await first.close()
        await second.get_by_role("button", name="10 min").click()
        await expect(second.locator("#state")).to_have_text("Live")
        await second.close()
    finally:
        gateway.clear_up()


async def test_a_filter_that_cannot_be_tried_now_is_not_called_wrong(explorer: Explorer) -> None:
    page = explorer.page
    await explorer.open("?streams=numbers")
    problem = json.dumps({"title": "Too many requests", "detail": "too many requests from your address"})
    refusal = (429, {"retry-after": "3", "content-type": "application/problem+json"}, problem)
    await page.context.route(re.compile("limit=200"), answers(refusal))
    await explorer.text("filter").fill("event.n > 0")
    await expect(explorer.text("answer")).to_have_text("not tried: too many requests from your address")
    await expect(explorer.text("filter")).to_have_attribute("aria-invalid", "false")
    await page.keyboard.press("Enter")
    await explorer.state("Live")
    await expect(explorer.text("answer")).to_contain_text("lets 100 % through")
    explorer.forgive()


async def test_a_gap_is_told(explorer: Explorer) -> None:
    gap = {"topic": "numbers", "partition": 0, "requested": 5, "resumed": 90, "reason": "expired"}
    frames = f": welcome\nid: {IDENTIFIER}\n\nevent: gap\nid: {IDENTIFIER}\ndata: {json.dumps(gap)}\n\n"
    await explorer.page.context.route(STREAM, answers((200, EVENTS, frames)))
    await explorer.page.goto(f"{explorer.address}/?streams=numbers&since=10s")
    notice = explorer.page.get_by_role("alert")
    await expect(notice).to_contain_text("events of numbers, partition 0, from 5 to 90 are gone; they have expired.")
    await explorer.rows.first.wait_for()
    await notice.get_by_role("button", name="Dismiss").click()
    await expect(notice).to_be_hidden()


async def test_a_log_that_is_away_is_waited_for(explorer: Explorer) -> None:
    frames = f": welcome\nid: {IDENTIFIER}\n\n: waiting for the log\nid: {IDENTIFIER}\n\n"
    await explorer.page.context.route(STREAM, answers((200, EVENTS, frames)))
    await explorer.page.add_init_script(STATES)
    await explorer.page.goto(f"{explorer.address}/?streams=numbers&since=10s")
    await explorer.becomes("() => window.states.some(each => each.startsWith('Waiting: '))")
    await explorer.state("Live")


async def test_a_failure_that_will_not_heal_is_told(explorer: Explorer) -> None:
    problem = json.dumps({"title": "Internal error", "detail": "the gateway made a mistake"})
    frames = f"id: {IDENTIFIER}\n\nevent: error\nid: {IDENTIFIER}\ndata: {problem}\n\n"
    await explorer.page.context.route(STREAM, answers((200, EVENTS, frames)))
    await explorer.page.goto(f"{explorer.address}/?streams=numbers&since=10s")
    await explorer.state("Refused")
    await expect(explorer.text("state-detail")).to_have_text("the gateway made a mistake")


async def test_a_stream_that_is_not_there_is_named(explorer: Explorer) -> None:
    await explorer.page.goto(f"{explorer.address}/?streams=nmbers")
    await explorer.state("Refused")
    await expect(explorer.text("state-detail")).to_contain_text("numbers")
    await expect(explorer.text("empty")).to_have_text("Nothing can be shown.")
    explorer.forgive()


async def test_hostile_events_are_shown_as_text(explorer: Explorer, feed: Feed) -> None:
    page = explorer.page
    title = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    await feed.put(
        "harmful",
        {"title": title, "__proto__": {"polluted": 1}, 'a"b<c>': [{"<i>": "</script>"}], "deep": [[[[{"x": None}]]]]},
        {"title": "bell\u0007 right\u202eleft zero\u0000 line\nend \ud83d\ude00", "number": 12345678901234567890},
        {"title": "x" * 1_000_000, "many": list(range(20_000))},
    )
    failures: list[str] = []
    page.on("dialog", lambda dialog: failures.append(dialog.message))
    await explorer.open("?streams=harmful&since=1h&columns=title,number")
    await explorer.becomes("() => document.querySelectorAll('.row').length === 3")
    titles = await explorer.column("title")
    assert titles[2] == title
    assert titles[1] == "bell‹U+0007› right‹U+202E›left zero‹U+0000› line⏎end 😀"
    assert len(titles[0]) < 400
    assert (await explorer.column("number"))[1] == "12345678901234567890"
    for index in range(3):
        await explorer.rows.nth(index).locator(".time").click()
    await expect(page.locator(".unfolded")).to_have_count(3)
    await page.get_by_role("button", name="all 1,000,002 characters").click()
    tree = page.locator(".unfolded", has_text="onerror")
    await expect(tree).to_contain_text('"<img src=x onerror=alert(1)><script>alert(2)</script>"')
    assert await page.locator(".events img, .events script, .events i").count() == 0
    # A filter made of it is a text in CEL, and finds it again.
    await page.locator(".unfolded .leaf", has_text="onerror").click()
    await page.get_by_role("menuitem", name="Only this").click()
    await explorer.becomes("() => document.querySelectorAll('.row').length === 1")
    assert await explorer.column("title") == [title]
    assert await page.evaluate("() => ({}).polluted") is None
    assert failures == []


async def test_names_that_strangers_made_up_are_shown_as_text_and_have_little_room(
    explorer: Explorer, gateway: GatewayProcess, feed: Feed
) -> None:
    page = explorer.page
    members = {"\u202eevil<i>": "<b>", "is_" + "x" * 100_000: True, "y" * 70: 1, "title": "z" * 100_000}
    await feed.put("odd", members)

    async def is_read() -> bool:
        return (await gateway.get("/v2/streams/odd")).json()["example"] is not None

    # Where there is no schema, the page asks once for the newest event, to learn what there is.
    await eventually(is_read, "the gateway has read the event")
    await explorer.open("?streams=odd")
    heads = page.get_by_role("columnheader")
    await expect(heads).to_have_text(["time (UTC)", "‹U+202E›evil<i>", "y" * 70, "title"])
    assert await page.evaluate("() => document.querySelector('.head').scrollWidth < 1200")
    # What is too long for a filter is found by how it begins.
    await explorer.rows.first.locator('[data-path="title"]').click()
    await page.get_by_role("menuitem", name=re.compile("^Only what begins so")).click()
    await expect(explorer.text("filter")).to_have_value(f'event.title.startsWith("{"z" * 80}")')
    await explorer.rows.first.wait_for()
    await explorer.rows.first.locator(".time").click()
    names = page.locator(".unfolded .name")
    await expect(names).to_have_text(['"‹U+202E›evil<i>"', re.compile(r'^"is_x{196}…$'), f'"{"y" * 70}"', '"title"'])
    await page.get_by_role("button", name="Columns").click()
    await expect(page.locator("#fields")).to_contain_text("‹U+202E›evil<i>")
    assert await page.locator("#fields i").count() == 0
