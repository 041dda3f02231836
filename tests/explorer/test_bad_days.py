"""The page on bad days: a thousand streams, refused counts, no network, a wrong clock, a small screen."""

from __future__ import annotations

import asyncio
import json
import re
import time

import pytest
from playwright.async_api import Route, expect

from tests.explorer.kit import Explorer, stream_document

pytestmark = [pytest.mark.end_to_end, pytest.mark.asyncio(loop_scope="package")]

COUNTS = re.compile(r"/v2/streams/[^/]+/counts")


async def with_streams(explorer: Explorer, count: int) -> None:
    """A catalogue of so many streams, beside one that is real."""
    names = [f"{head}.{'x' * (number % 40)}{number}" for number in range(count) for head in ("shop", "wiki")][:count]
    answer = json.dumps([stream_document(name) for name in ("numbers", *names)])
    await explorer.page.route(
        re.compile(r"/v2/streams$"), lambda route: route.fulfill(body=answer, content_type="application/json")
    )


async def test_sixty_streams_are_a_dense_list_in_groups(explorer: Explorer) -> None:
    page = explorer.page
    await with_streams(explorer, 60)
    await explorer.open("?streams=numbers")
    groups = page.locator(".group summary")
    await expect(groups).to_have_text([re.compile("^others1$"), re.compile("^shop30$"), re.compile("^wiki30$")])
    # Folded but for what is picked.
    await expect(page.get_by_label("numbers", exact=True)).to_be_visible()
    await expect(page.locator(".stream")).to_have_count(1)
    await page.locator(".group summary", has_text="shop").click()
    await expect(page.locator(".stream")).to_have_count(31)
    box = await page.locator(".stream").nth(5).bounding_box()
    assert box is not None
    assert box["height"] < 40
    await page.get_by_label("Find a stream").fill("wiki.xxx7")
    await expect(page.locator(".stream")).to_have_count(0)
    await expect(page.locator("#streams")).to_contain_text("No stream is called so.")
    await page.get_by_label("Find a stream").fill("xxx3")
    await expect(page.locator(".stream").first).to_be_visible()
    # After the search the list is as it was.
    await page.get_by_label("Find a stream").fill("")
    await expect(page.locator(".stream")).to_have_count(31)


@pytest.mark.parametrize("status", [404, 429, 503])
async def test_without_counts_the_page_begins_as_it_can(explorer: Explorer, status: int) -> None:
    async def refuse(route: Route) -> None:
        await route.fulfill(status=status, body="{}", content_type="application/problem+json")

    await explorer.page.context.route(COUNTS, refuse)
    await explorer.open("?streams=wiki.change")
    await explorer.state("Live")
    await explorer.sees(50)
    explorer.forgive()


async def test_a_lost_network_is_told_and_the_page_goes_on(explorer: Explorer) -> None:
    await explorer.open("?streams=numbers&columns=n")
    await explorer.state("Live")
    await explorer.page.context.set_offline(True)
    await explorer.page.get_by_role("button", name="10 min").click()
    await explorer.state("Reconnecting")
    await expect(explorer.text("state-detail")).to_contain_text("the server cannot be reached; again in")
    await explorer.page.context.set_offline(False)
    await explorer.state("Live")
    await explorer.rows.first.wait_for()
    explorer.forgive()


async def test_a_clock_that_is_off_still_finds_the_newest(explorer: Explorer) -> None:
    """Six hours behind: spans back from now are those of the server's clock."""
    await explorer.page.add_init_script("{ const now = Date.now; Date.now = () => now() - 6 * 3_600_000; }")
    await explorer.open("?streams=late")
    await explorer.becomes("() => document.getElementById('grid').ariaRowCount >= 51")
    # And it is said, since what the computer itself shows is another time.
    told = explorer.text("clock")
    await expect(told).to_have_text(
        "This computer's clock is 6 h 00 min behind the gateway's. The page goes by the gateway's."
    )
    await explorer.page.get_by_label("late", exact=True).uncheck()
    await explorer.page.get_by_label("wiki.change", exact=True).check()
    await explorer.rows.first.wait_for()
    await explorer.state("Live")


async def test_of_a_clock_that_is_right_nothing_is_said(explorer: Explorer) -> None:
    await explorer.open("?streams=late")
    await explorer.state("Live")
    await expect(explorer.text("clock")).to_be_hidden()


@pytest.mark.context(viewport={"width": 360, "height": 780}, has_touch=True)
async def test_on_a_phone_the_events_come_first(explorer: Explorer) -> None:
    page = explorer.page
    await explorer.open("?streams=wiki.change")
    await expect(page.get_by_role("slider", name="Start")).to_be_hidden()
    await expect(explorer.text("when")).to_have_text("live")
    lead = explorer.rows.first.locator(".lead")
    # Asked again and again: the row may be drawn anew meanwhile, and what is out of the page has no style.
    await expect(lead).to_have_attribute("data-path", "title")
    await expect(lead).to_have_css("font-weight", "650")
    box = await explorer.text("grid").bounding_box()
    assert box is not None
    assert box["y"] < 560
    await page.locator("#travel > summary").click()
    await expect(page.get_by_role("slider", name="Start")).to_be_visible()
    # The reference begins with what it is about.
    await page.goto(f"{explorer.address}/docs")
    heading = await page.get_by_role("heading", level=1).bounding_box()
    assert heading is not None
    assert heading["y"] < 300


async def test_older_beside_a_sort_shows_no_event_twice(explorer: Explorer) -> None:
    page = explorer.page
    now = int(time.time())
    span = f"since={(now - 110) * 1000}&until={(now - 80) * 1000}"
    answer = await page.request.get(
        f"{explorer.address}/v2/stream/wiki.change?{span}", headers={"accept": "application/x-ndjson"}
    )
    count = sum(line != "" for line in (await answer.text()).splitlines())

    async def hold(route: Route) -> None:
        await asyncio.sleep(1)
        await route.continue_()

    await explorer.open(f"?streams=wiki.change&columns=title&{span}")
    await explorer.state("Finished")
    await page.context.route(COUNTS, hold)
    await explorer.text("older").click()
    await page.get_by_role("columnheader", name="title").get_by_role("button", name="title").first.click()
    await expect(page).to_have_url(re.compile("sort=-?title"))
    await expect(explorer.text("older")).to_be_hidden()
    assert await page.evaluate("() => document.getElementById('grid').ariaRowCount") == str(count + 1)


async def test_what_cannot_be_had_late_is_told(explorer: Explorer) -> None:
    page = explorer.page
    notice = page.get_by_role("alert").filter(has_text="cannot")
    await explorer.open("?streams=wiki.change")
    await explorer.state("Live")
    refusal = {"status": 429, "body": '{"detail": "too many questions"}', "content_type": "application/problem+json"}
    await page.context.route(COUNTS, lambda route: route.fulfill(**refusal))
    await explorer.text("older").click()
    await expect(notice).to_contain_text("Older events cannot be had now: too many questions")
    await page.locator("#dismiss").click()
    # A part of the page that is loaded once it is wanted.
    await page.context.route(re.compile(r"/use\.js"), lambda route: route.abort())
    await page.get_by_role("button", name="Get code").click()
    await expect(notice).to_contain_text("This part of the page cannot be loaded now")
    explorer.forgive()


async def test_a_trial_that_was_given_up_is_no_mistake(explorer: Explorer) -> None:
    page = explorer.page
    await explorer.open("?streams=numbers")
    await page.route(re.compile("/explorer/trial\\?"), lambda route: asyncio.sleep(0))
    await page.locator("#trial-open").evaluate("button => { button.hidden = false; button.click(); }")
    await page.locator("#trial-run").click()
    await expect(page.locator("#trial-answer")).to_have_text("Running …")
    await page.locator("#trial-close").click()
    await expect(page.locator("#trial-answer")).to_have_text("")
    await expect(page.locator("#trial-run")).to_be_enabled()
