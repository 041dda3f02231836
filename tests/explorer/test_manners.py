"""What the page owes to those who read, speak and copy: the order of rows, keys, the clipboard; and odd events."""

from __future__ import annotations

import json
import re

import pytest
from playwright.async_api import Browser, expect

from gateway.model.record import NewRecord
from tests.end_to_end.process import GatewayProcess, eventually
from tests.explorer.kit import Explorer, Feed

pytestmark = [pytest.mark.end_to_end, pytest.mark.asyncio(loop_scope="package")]

LASTING = """{ const after = setTimeout;
    window.setTimeout = (act, ms) => after(act, ms === 1250 || ms === 2500 ? 120_000 : ms); }"""
"""What is said for a second or two stays, for those who look late."""
IN_THE_DOCUMENT = "rows => rows.map(row => Number(row.dataset.seq))"


async def test_rows_stand_in_the_document_as_they_are_seen(explorer: Explorer) -> None:
    page = explorer.page
    await explorer.open("?streams=numbers&columns=n")
    await explorer.state("Live")
    for _ in range(3):
        await explorer.sees(await explorer.seen() + 30)
        order = await explorer.rows.evaluate_all(IN_THE_DOCUMENT)
        assert order == sorted(order, reverse=True)
    # Scrolled down and up again, with a row unfolded, and while the keyboard is in the table.
    await page.keyboard.press("p")
    await explorer.rows.nth(2).locator(".time").click()
    await page.keyboard.press("ArrowDown")
    focused = await page.evaluate("document.activeElement.closest('.row').dataset.seq")
    for distance in (500, 300, -400):
        await page.mouse.wheel(0, distance)
        await page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        order = await explorer.rows.evaluate_all(IN_THE_DOCUMENT)
        assert order == sorted(order, reverse=True)
    await page.mouse.wheel(0, -900)
    await explorer.becomes("n => document.querySelector(`[data-seq='${n}']`) !== null", focused)
    copied = await page.evaluate(
        "() => { getSelection().selectAllChildren(document.querySelector('.body')); return String(getSelection()); }"
    )
    numbers = [int(text) for text in re.findall(r"^(\d+)$", copied, re.MULTILINE)]
    assert len(numbers) > 5
    assert numbers == sorted(numbers, reverse=True)


async def test_single_keys_can_be_turned_off_for_good(explorer: Explorer) -> None:
    page = explorer.page
    await explorer.open("?streams=numbers&columns=n&since=1m")
    await page.get_by_label("Shortcuts", exact=True).uncheck()
    await page.get_by_role("button", name="Get code").focus()
    for key in ("p", "l", "/"):
        await page.keyboard.press(key)
    await expect(page.get_by_role("button", name="Pause")).to_be_visible()
    await expect(explorer.text("filter")).not_to_be_focused()
    await page.reload()
    await expect(page.get_by_label("Shortcuts", exact=True)).not_to_be_checked()
    await page.keyboard.press("l")
    await expect(page).to_have_url(re.compile("since=1m"))
    await page.get_by_label("Shortcuts", exact=True).check()
    await page.get_by_role("button", name="Get code").focus()
    await page.keyboard.press("p")
    await expect(page.get_by_role("button", name="Resume")).to_be_visible()


async def test_whoever_goes_live_can_go_back_to_the_range(explorer: Explorer) -> None:
    page = explorer.page
    await explorer.open("?streams=wiki.change&since=1m&until=2s")
    await explorer.state("Finished")
    await page.keyboard.press("l")
    await explorer.state("Live")
    await expect(page).to_have_url(f"{explorer.address}/?streams=wiki.change")
    await page.get_by_role("button", name="Back to 1m … 2s").click()
    await expect(page).to_have_url(f"{explorer.address}/?streams=wiki.change&since=1m&until=2s")
    await expect(explorer.text("return")).to_be_hidden()
    await explorer.state("Finished")


async def test_copying_works_on_plain_http_by_any_name(browser: Browser, gateway: GatewayProcess) -> None:
    context = await browser.new_context()
    explorer = Explorer(await context.new_page(), gateway.address.replace("127.0.0.1", "gateway.test"))
    page = explorer.page
    await page.add_init_script(LASTING)
    await explorer.open("?streams=numbers&columns=n")
    assert await page.evaluate("() => [isSecureContext, navigator.clipboard === undefined]") == [False, True]
    value = await explorer.pick("n", "Copy")
    await expect(explorer.text("told")).to_have_text("Copied")
    await explorer.text("filter").focus()
    await page.keyboard.press("Control+V")
    await expect(explorer.text("filter")).to_have_value(value)
    await explorer.text("filter").fill("")
    # From a dialog, beside which nothing can be selected or read out.
    await page.get_by_role("button", name="Get code").click()
    await page.get_by_role("tab", name="URL", exact=True).click()
    await page.get_by_role("button", name="Copy", exact=True).click()
    await expect(page.get_by_role("button", name="Copied")).to_be_focused()
    await expect(page.get_by_role("dialog").get_by_role("status")).to_have_text("Copied")
    await page.get_by_role("button", name="Close").click()
    await explorer.text("filter").focus()
    await page.keyboard.press("Control+V")
    await expect(explorer.text("filter")).to_have_value(f"{explorer.address}/v2/stream/numbers")
    await context.close()


async def test_no_event_stops_the_others(explorer: Explorer, feed: Feed) -> None:
    page = explorer.page
    deep = '{"title":"deep","deep":' + "[" * 120 + "]" * 120 + "}"
    await feed.log.append(
        "hostile",
        [
            NewRecord(b'{"title":"of no calendar"}', timestamp=9_000_000_000_000_000_000),
            NewRecord(deep.encode(), timestamp=1_700_000_000_000),
            NewRecord(b'{"title":"large","number":1e400}', timestamp=1_700_000_000_001),
            NewRecord(b'{"title":"the last"}', timestamp=1_700_000_000_002),
        ],
    )
    # An engine that fails on one of them.
    fail = """const write = JSON.stringify; JSON.stringify = (value, ...more) => {
        if (value?.length === 1 && Array.isArray(value[0])) throw new RangeError('Maximum call stack size exceeded');
        return write(value, ...more);
    };"""
    await page.add_init_script(fail)
    await explorer.open("?streams=hostile&since=0&columns=title,number,deep")
    await page.locator('[data-path="title"]', has_text="the last").wait_for()
    titles = await explorer.column("title")
    assert {"of no calendar", "deep", "large", "the last"} <= set(titles)
    assert "‹nested too deep›" in await explorer.column("deep")
    assert (await explorer.column("number"))[titles.index("large")] == "1e400"
    await page.locator(".row", has_text="large").locator('[data-path="number"]').click()
    await page.get_by_role("menuitem", name=re.compile("^At least this")).click()
    await explorer.becomes("() => document.querySelectorAll('.row').length === 1")
    assert await explorer.column("title") == ["large"]


async def test_a_relative_end_stays_where_it_was(explorer: Explorer) -> None:
    page = explorer.page
    await explorer.open("?streams=wiki.change&since=1m&until=20s")
    await explorer.state("Finished")
    [first] = [url for url in explorer.streams if "until=" in url]
    until = re.search(r"until=(\d{13})", first)
    assert until
    # The same end for another filter, and after the other end was moved. What tries a filter has ends of its own.
    stream = re.compile(r"/v2/stream/wiki\.change\?filter=event\.bot&since=[^&]+&until=[^&]+$")
    await explorer.text("filter").fill("event.bot")
    async with page.expect_request(stream):
        await page.keyboard.press("Enter")
    await explorer.becomes("() => document.querySelectorAll('.chip').length === 0")
    await page.get_by_role("slider", name="Start").focus()
    async with page.expect_request(stream):
        await page.keyboard.press("PageDown")
    await expect(page).to_have_url(re.compile(r"since=20\d\d.*&until=20s"))
    await explorer.state("Finished")
    asked = [url for url in explorer.streams if "until=" in url]
    assert len(asked) >= 3
    assert all(until.group() in url for url in asked)


async def test_timings_of_requests_do_not_pile_up(explorer: Explorer) -> None:
    await explorer.open("?streams=numbers")
    await explorer.page.evaluate(
        "async () => { for (let n = 0; n < 300; n += 1) await (await fetch('/healthz')).text(); }"
    )
    await explorer.becomes("() => performance.getEntriesByType('resource').length < 20")
    # So there is always room for what a filter's trial measures.
    answer = explorer.text("answer")

    async def is_measured() -> bool:
        await explorer.text("filter").fill("")
        await expect(answer).to_have_text(re.compile("^every event"))
        await explorer.text("filter").fill("event.n > 0")
        await expect(answer).to_have_text(re.compile("^(?!every event).+/s( compressed)?$"))
        return "compressed" in await answer.inner_text()

    # A trial does not wait long for the browser's measure, which a busy one has late.
    await eventually(is_measured, "a trial measures")
    assert (
        json.loads(await explorer.page.evaluate("JSON.stringify(performance.getEntriesByType('resource').length)")) < 20
    )
