"""How the page looks, to everybody: pictures, an accessibility scan, narrow screens, its weight and its memory."""

from __future__ import annotations

import os
from typing import Any

import pytest
from playwright.async_api import Browser

from tests.conftest import absent
from tests.end_to_end.clients import NODE_MODULES
from tests.end_to_end.process import GatewayProcess
from tests.explorer.kit import ARTEFACTS, HISTORY, RATE, Explorer

pytestmark = [pytest.mark.end_to_end, pytest.mark.asyncio(loop_scope="package")]

AXE = NODE_MODULES / "axe-core" / "axe.min.js"
KEPT = 5000
"""Events that the page keeps at the most."""
STEP = 300
"""Events that come between two looks at the memory, or a part of them."""
STEPS = max(1, round(float(os.environ.get("GATEWAY_TEST_MEMORY_MINUTES", "0")) * 60 * RATE / STEP / 2))
"""Steps between two looks; `GATEWAY_TEST_MEMORY_MINUTES=5` is the long form (with `-o faulthandler_timeout=900`)."""
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "narrow": {"color_scheme": "light", "viewport": {"width": 360, "height": 780}, "has_touch": True},
}


async def scan(explorer: Explorer) -> list[str]:
    """What axe-core finds that is serious."""
    if not AXE.exists():
        absent(f"there is no {AXE}")
    if not await explorer.page.evaluate("() => 'axe' in window"):
        await explorer.page.evaluate(AXE.read_text())
    found = await explorer.page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{violation['impact']}: {violation['id']}: {[node['target'] for node in violation['nodes']][:4]}"
        for violation in found["violations"]
        if violation["impact"] in ("serious", "critical", "moderate")
    ]


@pytest.mark.parametrize("look", [pytest.param(name, marks=pytest.mark.context(**LOOKS[name])) for name in LOOKS])
async def test_it_can_be_used_by_everybody(explorer: Explorer, look: str, figures: list[str]) -> None:
    page = explorer.page
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    await explorer.open("?streams=wiki.change&filter=event.wiki+%3D%3D+%22enwiki%22+%26%26+!event.bot&since=1m")
    await explorer.state("Live")
    await page.get_by_role("columnheader", name="title").wait_for(state="attached")
    violations = await scan(explorer)
    await page.screenshot(path=ARTEFACTS / f"{look}.png", full_page=True)
    await explorer.rows.nth(2).locator(".time").click()
    await page.locator(".unfolded .leaf").first.click()
    await page.screenshot(path=ARTEFACTS / f"{look}-unfolded.png")
    violations += await scan(explorer)
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Columns").click()
    await page.get_by_label("Find a field").wait_for()
    violations += await scan(explorer)
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Get code").click()
    await page.get_by_role("tab", name="Python").click()
    await page.screenshot(path=ARTEFACTS / f"{look}-use.png")
    violations += await scan(explorer)
    await page.get_by_role("button", name="Close").click()
    figures.append(f"accessibility, {look}: {len(violations)} findings")
    assert violations == []
    assert await page.get_by_role("link", name="the API").is_visible()
    assert await page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.context(reduced_motion="reduce")
async def test_nothing_moves_for_those_who_want_it_so(explorer: Explorer) -> None:
    await explorer.open()
    await explorer.state("Live")
    assert await explorer.page.evaluate("() => document.getAnimations().length") == 0


async def test_it_weighs_little_and_is_kept(browser: Browser, gateway: GatewayProcess, figures: list[str]) -> None:
    context = await browser.new_context()
    page = await context.new_page()
    # The page clears the list of what it has loaded, since that would grow.
    observe = """window.loaded = []; for (const type of ['navigation', 'resource'])
        new PerformanceObserver(list => window.loaded.push(...list.getEntries())).observe({ type, buffered: true });"""
    await page.add_init_script(observe)
    weigh = """() => window.loaded.filter(entry => entry.entryType === 'navigation' ||
        entry.name.includes('/explorer/') && !entry.name.endsWith('/rates'))
        .map(entry => [entry.transferSize, entry.decodedBodySize])"""
    totals = []
    for _ in range(2):
        await page.goto(gateway.address)
        await page.locator(".row").first.wait_for()
        sizes = await page.evaluate(weigh)
        totals.append(sum(transfer for transfer, _ in sizes))
        plain = sum(decoded for _, decoded in sizes)
    first, second = totals
    figures.append(f"page weight: {first / 1000:.0f} kB sent ({plain / 1000:.0f} kB plain), {second} B the second time")
    assert first < 110_000
    assert second < 1000
    await context.close()


async def test_its_memory_stays_flat(explorer: Explorer, figures: list[str]) -> None:
    await explorer.open("?streams=wiki.change&since=1h")
    await explorer.sees(HISTORY)
    # From then on one that comes takes the place of another, however many come between two looks.
    full = """n => {
        const older = document.getElementById('older');
        if (!older.hidden) older.click();
        return document.getElementById('grid').ariaRowCount > n;
    }"""
    await explorer.becomes(full, KEPT)
    session = await explorer.page.context.new_cdp_session(explorer.page)
    used = []
    for _ in range(3):
        for _ in range(STEPS):
            await explorer.sees(await explorer.seen() + STEP)
        await session.send("HeapProfiler.collectGarbage")
        used.append((await session.send("Runtime.getHeapUsage"))["usedSize"])
    seconds = 2 * STEPS * STEP // RATE
    figures.append(
        f"memory of the page with 5,000 events: {used[1] / 1e6:.1f} MB, then {used[2] / 1e6:.1f} MB, in {seconds} s"
    )
    # The first figure is that of a page that has just read the past.
    assert used[2] < used[1] * 1.05 + 500_000
