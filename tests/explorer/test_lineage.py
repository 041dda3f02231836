"""The lineage of a stream, and declarations that are tried: in a browser, for everybody."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.end_to_end.process import GatewayProcess, configuration, eventually
from tests.explorer.kit import ARTEFACTS, STREAMS, Explorer, Feed
from tests.explorer.test_looks import LOOKS, scan

pytestmark = [pytest.mark.end_to_end, pytest.mark.asyncio(loop_scope="package")]

DERIVED: dict[str, dict[str, Any]] = {
    "wiki.activity": {
        "schema_title": "wiki/activity",
        "derive": {
            "from": ["wiki.change"],
            "window": {"every": "10s"},
            "by": {"wiki": "event.wiki"},
            "late": "5s",
            "select": {"changes": "count()", "bots": "count(event.bot)"},
        },
    },
    "wiki.large-edits": {
        "schema_title": "wiki/large-edits",
        "derive": {
            "from": ["wiki.change"],
            "where": 'event.type == "edit" && event.length.new - event.length.old >= 500',
            "select": {
                "wiki": "event.wiki",
                "title": "event.title",
                "user": "event.user",
                "grown": "event.length.new - event.length.old",
            },
        },
    },
}
OWN_STREAM = {"strange": {"description": "What a test of these alone writes."}}
ANSWER = re.compile(r"^[\d,]+ rows? of [\d,]+ records(; the records took more than .+)?$")
"""That of a trial. On a slow machine the records take more than they may; then it says so."""
TRIES = 4
WRONG = """my.stream:
  schema_title: my/stream
  derive:
    from: [wiki.chang]
    select: {user: event.user}
"""
MISSPELT = WRONG.replace("wiki.chang]", "wiki.change]").replace("event.user", "event.usr")


@pytest_asyncio.fixture(loop_scope="package", scope="module")
async def deriving(tmp_path_factory: pytest.TempPathFactory, feed: Feed) -> AsyncIterator[GatewayProcess]:
    """A gateway with derived streams, whose declarations everybody may try."""
    directory = tmp_path_factory.mktemp("lineage")
    await feed.log.create("strange")
    config = configuration(directory, {**STREAMS, **DERIVED, **OWN_STREAM})
    options = ("--config", str(config), "--log", f"sqlite:///{feed.path}", "--derive-trials", "public")
    gateway = GatewayProcess(directory / "gateway", *options)
    await gateway.start()
    yield gateway
    gateway.clear_up()
    assert "Traceback" not in gateway.errors


def generations(explorer: Explorer) -> Any:
    return explorer.page.locator("#generations > li")


async def tried(page: Page) -> None:
    """Try the declaration; again where a busy machine did not come to a few rows in the seconds that a trial has."""
    answer, rows = page.locator("#trial-answer"), page.locator("#trial .rows li")
    for _ in range(TRIES):
        await page.get_by_role("button", name="Try", exact=True).click()
        await expect(answer).not_to_have_text(re.compile("^Running"))
        if await rows.count() > 3:
            break
    await expect(answer).to_have_text(ANSWER)
    assert await rows.count() > 3


@pytest.mark.parametrize("look", list(LOOKS))
async def test_a_lineage_is_followed_and_a_declaration_is_tried(
    look: str, browser: Browser, deriving: GatewayProcess, figures: list[str]
) -> None:
    context = await browser.new_context(
        **{
            "viewport": {"width": 1280, "height": 900},
            "permissions": ["clipboard-read", "clipboard-write"],
            **LOOKS[look],
        }
    )
    page = await context.new_page()
    explorer = Explorer(page, deriving.address)
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    await explorer.open("?streams=wiki.activity&since=2m")
    await expect(generations(explorer)).to_have_count(2)
    activity = page.locator('[data-stream="wiki.activity"]')
    await expect(activity).to_have_attribute("aria-current", "true")
    await expect(activity).to_contain_text("window of wiki.change")
    await page.locator('#generations [data-stream="wiki.change"]').click()
    await page.wait_for_url("**streams=wiki.change*")
    await expect(generations(explorer).nth(1).locator(".node")).to_have_count(2)
    await explorer.state("Live")
    violations = await scan(explorer)
    await page.screenshot(path=ARTEFACTS / f"lineage-{look}.png", full_page=True)
    # By the keyboard: a picture of the whole page moves what a mouse would hit.
    await page.get_by_role("button", name="Derive a stream").press("Enter")
    await expect(page.get_by_role("dialog")).to_be_visible()
    text = page.get_by_label("Declaration")
    await expect(text).to_have_value(re.compile(r"from: \[wiki\.change\]"))
    await tried(page)
    await page.get_by_text("Schema of the rows").click()
    await expect(page.locator("#trial details pre")).to_contain_text("title: my/stream")
    violations += await scan(explorer)
    await page.screenshot(path=ARTEFACTS / f"trial-{look}.png", full_page=True)
    for wrong, line, words in ((WRONG, 4, "did you mean wiki.change?"), (MISSPELT, 5, "usr")):
        await text.fill(wrong)
        await page.keyboard.press("Control+Enter")
        await expect(page.locator("#trial .mistakes")).to_contain_text(words)
        # The first is selected already, and its place leads to it again.
        await page.get_by_role("button", name=f"line {line}").click()
        selected = "area => area.value.slice(area.selectionStart, area.selectionEnd)"
        assert await text.evaluate(selected) == wrong.splitlines()[line - 1]
    violations += await scan(explorer)
    await page.screenshot(path=ARTEFACTS / f"trial-wrong-{look}.png", full_page=True)
    await page.locator("#trial-copy").click()

    async def copied() -> bool:
        return bool(await page.evaluate("() => navigator.clipboard.readText()") == MISSPELT)

    await eventually(copied, "the declaration is copied")
    assert await page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    await page.get_by_role("button", name="Close").click()
    await context.close()
    figures.append(f"accessibility of lineage and trial, {look}: {len(violations)} findings")
    assert violations == []
    assert explorer.complaints == []
    assert explorer.foreign == []


async def test_what_events_say_stays_text_in_a_trial(browser: Browser, deriving: GatewayProcess, feed: Feed) -> None:
    hostile = {
        "meta": {"dt": "2026-01-01T00:00:00Z"},
        "text": "<img src=x onerror=alert(1)>\u202e\u0000",
        "deep": {"a": [1]},
    }
    await feed.put("strange", *[hostile] * 60)
    context = await browser.new_context()
    explorer = Explorer(await context.new_page(), deriving.address)
    await explorer.page.goto(f"{deriving.address}/?streams=strange")
    await explorer.page.get_by_role("button", name="Derive a stream").click()
    every = (
        'mine: {schema_title: mine, derive: {from: [strange], select: {text: event.text, none: event.none + "<b>"}}}'
    )
    await explorer.page.get_by_label("Declaration").fill(every)
    await tried(explorer.page)
    row = explorer.page.locator("#trial .rows li").first
    await expect(row).to_contain_text("<img src=x onerror=alert(1)>")
    await expect(row).to_contain_text("‹U+202E›")
    await expect(explorer.page.locator("#trial .rows li")).to_have_count(50)
    assert json.loads((await row.locator("code").inner_text()).replace("‹", "").replace("›", ""))
    await context.close()
    assert explorer.complaints == []


async def test_the_page_does_not_offer_what_is_not_open(explorer: Explorer) -> None:
    await explorer.open("?streams=wiki.change")
    await expect(explorer.text("trial-open")).to_be_hidden()
    await expect(explorer.text("generations")).to_be_hidden()
