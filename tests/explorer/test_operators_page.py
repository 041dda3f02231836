"""The operators' page of the admin port, in a browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, Route, expect

from tests.end_to_end.process import WAIT, GatewayProcess, configuration
from tests.explorer.kit import ARTEFACTS, STREAMS, Explorer, Feed
from tests.explorer.test_looks import LOOKS, scan
from tests.plain_http import http_client

pytestmark = [pytest.mark.end_to_end, pytest.mark.asyncio(loop_scope="package")]


async def test_it_shows_the_state_the_streams_and_who_reads_them(browser: Browser, gateway: GatewayProcess) -> None:
    context = await browser.new_context()
    page = await context.new_page()
    address = f"http://127.0.0.1:{gateway.admin_port}"
    operator = Explorer(page, address)
    await page.goto(f"{address}/")
    await expect(operator.text("updated")).to_contain_text("Updated")
    state = operator.text("state")
    await expect(state).to_contain_text("answers")
    await expect(state).to_contain_text("1 at work")
    # A row a stream, whose figures live.
    row = page.locator("#streams tbody tr", has_text="wiki.change")
    await expect(row.locator("td").nth(1)).to_have_text("just now")
    connections = page.locator("#connections tbody tr")
    agent = {"user-agent": "<b>agent"}
    async with (
        http_client(timeout=WAIT) as client,
        client.stream("GET", f"{gateway.address}/v2/stream/quiet?filter=event.n%20%3E%201", headers=agent),
    ):
        reader = connections.filter(has_text="<b>agent")
        await expect(reader).to_have_count(1)
        cells = await reader.locator("td").all_inner_texts()
        assert len(cells) == 9
        assert not any(cell.startswith(("{", "[")) for cell in cells), "no raw JSON"
        assert "event.n > 1" in cells[2]
        await expect(page.locator("#streams tbody tr", has_text="quiet").locator("td").nth(2)).to_have_text("1")
    await expect(connections.filter(has_text="<b>agent")).to_have_count(0)
    # What changes something is asked for, and said.
    await page.get_by_role("button", name="Reload").click()
    await expect(operator.text("question")).to_contain_text("Read the configuration again")
    await page.get_by_role("button", name="Yes, do it").click()
    await expect(operator.text("result")).not_to_be_empty()
    await expect(operator.text("result")).not_to_contain_text("refuses")
    await page.get_by_role("button", name="Close").click()
    await page.get_by_role("button", name="Drain").click()
    await page.get_by_role("button", name="Close").click()
    await expect(operator.text("updated")).to_contain_text("Updated")
    # The explorer of this port, over all streams.
    await page.get_by_role("link", name="numbers").click()
    await operator.rows.first.wait_for()
    await expect(page.get_by_label("numbers", exact=True)).to_be_checked()
    await page.get_by_role("button", name="10 min").click()
    await expect(page).to_have_url(f"{address}/explorer?streams=numbers&since=10m")
    assert operator.complaints == []
    assert operator.foreign == []
    await context.close()


async def test_who_is_in_a_table_stays_there_while_it_lives(browser: Browser, gateway: GatewayProcess) -> None:
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(f"http://127.0.0.1:{gateway.admin_port}/")
    link = page.get_by_role("link", name="numbers")
    await link.focus()
    update = "() => document.getElementById('updated').textContent"
    for _ in range(2):
        before = await page.evaluate(update)
        await page.wait_for_function(f"before => ({update})() !== before", arg=before)
        await expect(link).to_be_focused()
    await context.close()


async def test_without_updates_it_asks(browser: Browser, gateway: GatewayProcess) -> None:
    """As where too many pages have them. The clock of the computer, which is off, changes nothing."""
    context = await browser.new_context()
    page = await context.new_page()
    await page.add_init_script("{ const now = Date.now; Date.now = () => now() - 6 * 3_600_000; }")

    async def refuse(route: Route) -> None:
        if "event-stream" in route.request.headers.get("accept", ""):
            await route.fulfill(status=429, body="{}", content_type="application/problem+json")
        else:
            await route.continue_()

    await page.route(re.compile("/-/overview"), refuse)
    await page.goto(f"http://127.0.0.1:{gateway.admin_port}/")
    await expect(page.locator("#updated")).to_contain_text("Updated")
    row = page.locator("#streams tbody tr", has_text="wiki.change")
    await expect(row.locator("td").nth(1)).to_have_text("just now")
    await page.unroute(re.compile("/-/overview"))
    await page.route(re.compile("/-/overview"), lambda route: route.abort())
    await page.locator("#sort").select_option("lag")
    await expect(page.locator("#updated")).to_contain_text("No answer since")
    await context.close()


async def test_draining_is_asked_for_and_told(browser: Browser, feed: Feed, tmp_path: Path) -> None:
    config = configuration(tmp_path, STREAMS)
    gateway = GatewayProcess(tmp_path / "gateway", "--config", str(config), "--log", f"sqlite:///{feed.path}")
    context = await browser.new_context()
    try:
        await gateway.start()
        page = await context.new_page()
        await page.goto(f"http://127.0.0.1:{gateway.admin_port}/")
        await expect(page.locator("#updated")).to_contain_text("Updated")
        await page.get_by_role("button", name="Drain").click()
        await expect(page.get_by_role("button", name="Close")).to_be_focused()
        await page.get_by_role("button", name="Yes, do it").click()
        await expect(page.locator("#result")).to_have_text("status: draining")
        await expect(page.locator("#updated")).to_contain_text("No answer since")
        assert await gateway.ended() == 0
    finally:
        await context.close()
        gateway.clear_up()


@pytest.mark.parametrize("look", list(LOOKS))
async def test_it_can_be_used_by_everybody(browser: Browser, gateway: GatewayProcess, look: str) -> None:
    context = await browser.new_context(**LOOKS[look])
    operator = Explorer(await context.new_page(), f"http://127.0.0.1:{gateway.admin_port}")
    await operator.page.goto(f"{operator.address}/")
    await expect(operator.text("updated")).to_contain_text("Updated")
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    await operator.page.screenshot(path=ARTEFACTS / f"operators-{look}.png", full_page=True)
    assert await scan(operator) == []
    assert await operator.page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    await context.close()
