"""What somebody sees who has never been here: events at once, in words what is so, and no step that leads astray."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from tests.explorer.kit import Explorer, Feed

pytestmark = [pytest.mark.end_to_end, pytest.mark.asyncio(loop_scope="package")]


async def test_a_stream_begins_with_its_newest_events_however_old_they_are(explorer: Explorer) -> None:
    await explorer.open("?streams=late")
    await explorer.state("Live")
    await explorer.becomes("() => document.getElementById('grid').ariaRowCount >= 51")
    assert (await explorer.column("order_id"))[0] == "o-79"
    # Of another day the day is told, and the histogram shows when it was.
    await expect(explorer.rows.first.locator(".time")).to_have_text(re.compile(r"\d\d-\d\d \d\d:\d\d:\d\d$"))
    label = await explorer.page.locator("#chart canvas").get_attribute("aria-label")
    assert label is not None
    assert re.match(r"(5\d|[67]\d|80) events between", label)


async def test_where_nothing_matches_it_says_when_the_last_event_came(explorer: Explorer) -> None:
    await explorer.page.goto(f"{explorer.address}/?streams=late&filter=event.amount+%3E+1000")
    await explorer.state("Live")
    await expect(explorer.text("empty")).to_have_text(
        re.compile(
            r"^No event matches the filter\. The last event of these streams came 2 days ago, at 20\d\d-.* UTC\.$"
        )
    )


async def test_paused_is_said_with_what_waits(explorer: Explorer) -> None:
    await explorer.open("?streams=numbers")
    await explorer.state("Live")
    await explorer.page.get_by_role("button", name="Pause").click()
    await explorer.state("Paused")
    await expect(explorer.text("state-detail")).to_have_text(re.compile(r"^· [\d,]+ new$"))
    await explorer.page.get_by_role("button", name="Resume").click()
    await explorer.state("Live")


async def test_a_mistake_marks_the_box_and_leaves_the_running_view(explorer: Explorer) -> None:
    page = explorer.page
    await explorer.open("?streams=wiki.change")
    await explorer.state("Live")
    await explorer.text("filter").fill("event.wiki ==")
    await page.keyboard.press("Enter")
    await expect(explorer.text("filter")).to_have_attribute("aria-invalid", "true")
    await expect(explorer.text("answer")).to_contain_text("the expression ends too early")
    await explorer.state("Live")
    await expect(page).to_have_url(f"{explorer.address}/?streams=wiki.change")
    await explorer.sees(await explorer.seen() + 50)
    explorer.forgive()


async def test_what_the_schema_does_not_know_is_told_beside_what_is_shown(explorer: Explorer) -> None:
    await explorer.open("?streams=wiki.change")
    await explorer.text("filter").fill('event.wikki == "enwiki"')
    await expect(explorer.text("answer")).to_contain_text("wikki")
    await expect(explorer.text("answer")).to_contain_text("nothing of the last minutes")


async def test_focus_opens_nothing_and_the_tab_key_goes_on(explorer: Explorer) -> None:
    page = explorer.page
    await explorer.open("?streams=wiki.change")
    await page.keyboard.press("/")
    await expect(explorer.text("completions")).to_be_hidden()
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("button", name="What may be typed here")).to_be_focused()
    await expect(explorer.text("filter")).to_have_value("")
    # The arrow opens it, with what this stream has, and the tab key still types nothing that was not chosen.
    await page.keyboard.press("Shift+Tab")
    await page.keyboard.press("ArrowDown")
    option = page.get_by_role("option", name=re.compile(r"^event\.wiki\b"))
    await expect(option).to_contain_text(re.compile('"enwiki"'))
    await expect(explorer.text("filter")).to_have_attribute(
        "placeholder", 'words, or event.type == "edit" && !event.bot'
    )


async def test_the_cookbook_has_filters_of_this_stream(explorer: Explorer) -> None:
    page = explorer.page
    await explorer.open("?streams=wiki.change")
    await page.get_by_role("button", name="What may be typed here").click()
    await page.get_by_role("button", name=re.compile("^By how much")).click()
    await expect(explorer.text("filter")).to_have_value(
        "has(event.length) && event.length.new - event.length.old > 500"
    )
    await page.keyboard.press("Enter")
    await expect(page.locator(".chip")).to_have_count(2)
    await explorer.rows.first.wait_for()


async def test_words_are_looked_for_in_texts(explorer: Explorer) -> None:
    page = explorer.page
    await explorer.open("?streams=wiki.change")
    await page.get_by_role("columnheader", name="title").wait_for()
    await explorer.text("filter").fill("Copyedit")
    await expect(explorer.text("answer")).to_contain_text("these words in ")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile("filter=.*matches"))
    await expect(page.locator(".chip")).to_have_text(re.compile("“Copyedit” in a text"))
    await expect(explorer.text("filter")).to_have_value("Copyedit")
    await explorer.rows.nth(2).wait_for()
    texts = [await row.inner_text() for row in (await explorer.rows.all())[:3]]
    assert all("copyedit" in text.lower() for text in texts)
    # A link shows the words, too.
    await page.reload()
    await expect(explorer.text("filter")).to_have_value("Copyedit")
    await page.get_by_role("button", name=re.compile("^Remove ")).click()
    await expect(explorer.text("filter")).to_have_value("")


async def test_the_commonest_values_are_a_click_away(explorer: Explorer) -> None:
    page = explorer.page
    await explorer.open("?streams=wiki.change&since=1m")
    await page.get_by_text("Top values").click()
    box = page.get_by_role("region", name="wiki")
    await expect(box.get_by_role("button").first).to_contain_text("enwiki")
    await expect(box).not_to_contain_text("that the page holds")
    counts = [int(text.replace(",", "")) for text in await box.locator(".count").all_inner_texts()]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 1000
    await box.get_by_role("button", name=re.compile("enwiki")).click()
    await expect(explorer.text("filter")).to_have_value('event.wiki == "enwiki"')
    await expect(box.get_by_role("button")).to_have_count(1)
    await box.get_by_role("button", name=re.compile("enwiki"), pressed=True).click()
    await expect(explorer.text("filter")).to_have_value("")


async def test_a_click_on_a_bar_goes_into_it(explorer: Explorer, feed: Feed) -> None:
    page = explorer.page
    # A bar is of a second, and none is empty here: of the time since, a busy machine may have left some out.
    await explorer.open(f"?streams=wiki.change&since={feed.filled - 110_000}&until={feed.filled - 10_000}")
    await explorer.state("Finished")
    await explorer.sees(5000)
    chart = page.locator("#chart canvas")
    box = await chart.bounding_box()
    assert box is not None
    await chart.click(position={"x": box["width"] * 0.6, "y": box["height"] - 6})
    await expect(page).to_have_url(re.compile(r"since=20.*until=20"))
    await explorer.state("Finished")
    assert 50 < await explorer.seen() < 2000


@pytest.mark.context(timezone_id="Asia/Tokyo")
async def test_times_are_local_on_request_and_taken_as_people_say_them(explorer: Explorer) -> None:
    page = explorer.page
    await explorer.open("?streams=wiki.change")
    utc = int((await explorer.rows.first.locator(".time").inner_text()).split(":")[0].strip(" ›"))
    await page.get_by_role("button", name="time (UTC)").click()
    await expect(page.get_by_role("button", name="time (local)")).to_be_visible()
    local = int((await explorer.rows.first.locator(".time").inner_text()).split(":")[0].strip(" ›"))
    assert (local - utc) % 24 in (9, 10)
    for words, address in (("1h ago", "since=1h$"), ("yesterday", r"since=20\d\d-\d\d-\d\dT15:00:00Z$")):
        await explorer.text("since").fill(words)
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(re.compile(address))
    # From the calendar, by the clocks that are shown.
    await explorer.text("pause").focus()
    pick = """date => {
        const box = document.getElementById('date-since');
        box.value = date;
        box.dispatchEvent(new Event('change'));
    }"""
    await page.evaluate(pick, "2026-01-02T09:30:00")
    await expect(page).to_have_url(re.compile("since=2026-01-02T00:30:00Z"))
    await expect(explorer.text("since")).to_have_value("2026-01-02 09:30:00")
    await page.get_by_role("button", name="time (local)").click()
    await expect(explorer.text("since")).to_have_value("2026-01-02 00:30:00")
