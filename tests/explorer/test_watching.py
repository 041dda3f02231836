"""Watching streams: the catalogue, the table, an event unfolded, columns."""

from __future__ import annotations

import json
import re

import pytest
from playwright.async_api import expect

from tests.explorer.kit import RATE, Explorer

pytestmark = [pytest.mark.end_to_end, pytest.mark.asyncio(loop_scope="package")]

FIRST_ROW = """new MutationObserver((_, observer) => {
    if (!document.querySelector('.row')) return;
    observer.disconnect();
    requestAnimationFrame(() => { window.firstRow = performance.now(); });
}).observe(document, { childList: true, subtree: true });"""
FRAMES = """() => new Promise(done => {
    const began = performance.now();
    let frames = 0, longest = 0, last = began;
    const step = now => {
        frames += 1;
        longest = Math.max(longest, now - last);
        last = now;
        if (now - began < 3000) requestAnimationFrame(step);
        else done([frames * 1000 / (now - began), longest]);
    };
    requestAnimationFrame(step);
})"""


@pytest.mark.alone
async def test_the_address_alone_shows_events_at_once(explorer: Explorer, figures: list[str]) -> None:
    page = explorer.page
    await page.add_init_script(FIRST_ROW)
    await explorer.open()
    await explorer.becomes("() => window.firstRow > 0")
    milliseconds = await page.evaluate("() => window.firstRow")
    figures.append(f"from opening the page to the first event shown: {milliseconds:.0f} ms")
    await explorer.state("Live")
    await expect(page).to_have_title("wiki.change · Event gateway")
    await expect(page.get_by_label("wiki.change", exact=True)).to_be_checked()
    assert milliseconds < 10_000
    # The first stream in which something goes on, and of its fields those that say most.
    heads = await page.get_by_role("columnheader").all_inner_texts()
    assert heads[0] == "time (UTC)"
    assert {"type", "wiki", "title", "user", "bot", "comment"} <= set(heads)


async def test_the_catalogue_says_what_each_stream_is_and_what_goes_on_in_it(explorer: Explorer) -> None:
    page = explorer.page
    await explorer.open()
    card = page.get_by_role("listitem").filter(has=page.get_by_label("wiki.change", exact=True))
    await expect(card).to_contain_text("Every change to a page of the wikis, as it is saved.")
    await expect(card).to_contain_text(re.compile(r"since \d+ (s|min) ago"))
    # The rate is near that of the feed, and the chart moves.
    await expect(card.locator(".rate")).to_have_text(re.compile(r"^(8|9|1[0-2])\d.*/s$"))
    chart = card.locator(".stroke")
    # The rate is in the list of streams, too: the chart comes later.
    await expect(chart).to_have_attribute("d", re.compile("^M"))
    before = await chart.get_attribute("d")
    assert before
    await expect(chart).not_to_have_attribute("d", before)
    await expect(page.get_by_role("listitem").filter(has=page.get_by_label("quiet", exact=True))).to_contain_text(
        "empty"
    )
    link = await card.get_by_role("link", name="Schema of wiki.change").get_attribute("href")
    schema = await page.evaluate("async link => await (await fetch(link)).json()", link)
    assert schema["title"] == "wiki/change"
    assert "wiki" in schema["properties"]


@pytest.mark.alone
async def test_a_hundred_events_a_second_stay_readable(explorer: Explorer, figures: list[str]) -> None:
    await explorer.open()
    await explorer.state("Live")
    frames, longest = await explorer.page.evaluate(FRAMES)
    figures.append(f"at {RATE} events a second: {frames:.0f} frames a second, the longest took {longest:.0f} ms")
    assert frames > 20
    before = await explorer.seen()
    await explorer.sees(before + 100)
    # Newest first, and no more rows exist than are in view.
    order = await explorer.rows.evaluate_all(
        "rows => rows.sort((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top)"
        ".map(row => Number(row.dataset.seq))"
    )
    assert 5 < len(order) < 60
    assert order == sorted(order, reverse=True)
    await explorer.becomes("() => /^(8|9|1[0-2])\\d/.test(document.getElementById('pace').textContent)")


async def test_paused_the_table_stands_still_and_nothing_is_lost(explorer: Explorer) -> None:
    page = explorer.page
    await explorer.open("?streams=numbers&columns=n")
    await page.get_by_role("button", name="Pause").click()
    shown = await explorer.column("n")
    seen = await explorer.seen()
    await explorer.sees(seen + 150)
    assert await explorer.column("n") == shown
    await expect(explorer.text("fresh")).to_contain_text("new")
    await explorer.text("fresh").click()
    await expect(page.get_by_role("button", name="Pause")).to_be_visible()
    await explorer.becomes("n => document.querySelectorAll('.row').length > 5", None)
    await page.keyboard.press("p")
    numbers = await explorer.all_rows("n")
    assert len(numbers) > 150
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


async def test_the_table_stands_still_while_it_is_pointed_at_or_scrolled(explorer: Explorer) -> None:
    await explorer.open("?streams=numbers&columns=n")
    await explorer.rows.nth(3).hover()
    shown = await explorer.column("n")
    await expect(explorer.text("fresh")).to_contain_text("new")
    assert await explorer.column("n") == shown
    await explorer.page.mouse.wheel(0, 900)
    gone = "n => ![...document.querySelectorAll('[data-path=n]')].some(cell => cell.textContent === n)"
    await explorer.becomes(gone, shown[0])
    await expect(explorer.page.get_by_role("columnheader", name="time")).to_be_in_viewport()
    await explorer.page.mouse.move(5, 5)
    await expect(explorer.text("fresh")).to_be_visible()
    await explorer.text("fresh").click()
    # As numbers: as texts, 1000 is less than 999.
    newer = "n => Number(document.querySelector('.row [data-path=n]')?.textContent) > Number(n)"
    await explorer.becomes(newer, shown[0])


async def test_an_event_unfolds_into_its_json(explorer: Explorer) -> None:
    page = explorer.page
    await explorer.open()
    await explorer.rows.nth(2).hover()
    title = await explorer.rows.nth(2).locator('[data-path="title"]').inner_text()
    await explorer.rows.nth(2).locator(".time").click()
    detail = page.locator(".unfolded")
    await expect(detail).to_contain_text('"$schema"')
    await expect(detail).to_contain_text(json.dumps(title, ensure_ascii=False))
    await expect(detail).to_contain_text("offset")
    await expect(page.get_by_role("button", name="Resume")).to_be_visible()
    await page.locator(".row.open .time").click()
    await expect(detail).to_have_count(0)


async def test_the_keyboard_does_all_of_it(explorer: Explorer) -> None:
    page = explorer.page
    await explorer.open()
    await page.keyboard.press("/")
    await expect(explorer.text("filter")).to_be_focused()
    await page.keyboard.press("Escape")
    await explorer.text("pause").focus()
    await page.keyboard.press("Tab")
    cell = page.locator(".line > [tabindex='0']")
    await expect(cell).to_be_focused()
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await expect(page.locator(".unfolded")).to_be_visible()
    await expect(cell).to_have_attribute("aria-expanded", "true")
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("ArrowRight")
    wiki = await cell.inner_text()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("menuitem", name="Only this")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(explorer.text("filter")).to_have_value(f'event.wiki == "{wiki}"')


async def test_streams_are_picked_and_the_back_button_takes_it_back(explorer: Explorer) -> None:
    page = explorer.page
    await explorer.open()
    await page.get_by_label("numbers", exact=True).check()
    await expect(page).to_have_url(f"{explorer.address}/?streams=wiki.change,numbers")
    await explorer.becomes("() => [...document.querySelectorAll('.cell.absent')].length > 0")
    assert explorer.streams[-1].startswith(f"{explorer.address}/v2/stream/wiki.change,numbers?")
    await page.get_by_label("wiki.change", exact=True).uncheck()
    await expect(page).to_have_url(f"{explorer.address}/?streams=numbers")
    await expect(page.get_by_role("columnheader")).to_have_text(["time (UTC)", "n"])
    await page.get_by_label("numbers", exact=True).uncheck()
    await expect(explorer.text("empty")).to_have_text("Pick a stream to see its events.")
    await page.go_back()
    await page.go_back()
    await expect(page).to_have_url(f"{explorer.address}/?streams=wiki.change,numbers")
    await expect(page.get_by_label("wiki.change", exact=True)).to_be_checked()
    await explorer.rows.first.wait_for()
    await page.reload()
    await expect(page.get_by_label("numbers", exact=True)).to_be_checked()
    await explorer.rows.first.wait_for()


async def test_an_alias_in_a_link_picks_its_stream(explorer: Explorer) -> None:
    await explorer.open("?streams=changes")
    await expect(explorer.page.get_by_label("wiki.change", exact=True)).to_be_checked()


async def test_a_quiet_stream_says_so(explorer: Explorer) -> None:
    await explorer.page.goto(f"{explorer.address}/?streams=quiet")
    await explorer.state("Live")
    await expect(explorer.text("empty")).to_contain_text("Nothing has come yet.")


async def test_columns_are_chosen_from_the_schema(explorer: Explorer) -> None:
    page = explorer.page
    await explorer.open()
    await page.get_by_role("button", name="Columns").click()
    dialog = page.get_by_role("dialog", name="Columns")
    await dialog.get_by_label("Find a field").fill("after the change")
    await dialog.get_by_label("length.new").check()
    await expect(page.get_by_role("columnheader", name="length.new")).to_be_visible()
    await dialog.get_by_label("Find a field").fill("comment")
    await dialog.get_by_label("comment", exact=False).first.uncheck()
    await dialog.get_by_label("Ask the server for these alone").check()
    await expect(page).to_have_url(f"{explorer.address}/?columns=type,wiki,title,user,bot,length.new&only=true")
    await page.keyboard.press("Escape")
    await explorer.rows.first.wait_for()
    assert "fields=type%2Cwiki%2Ctitle%2Cuser%2Cbot%2Clength.new" in explorer.streams[-1]
    await explorer.rows.nth(1).hover()
    await explorer.rows.nth(1).locator(".time").click()
    await expect(page.locator(".unfolded")).not_to_contain_text('"comment"')
