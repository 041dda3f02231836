"""What views know, shown in a browser: a key's history, the difference of two versions, the state at any time."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Route, expect

from gateway.times import iso_time, read_time
from tests.end_to_end.process import WAIT, GatewayProcess, configuration, eventually
from tests.explorer.kit import ARTEFACTS, STREAMS, Explorer, Feed
from tests.explorer.test_looks import LOOKS, scan

pytestmark = [pytest.mark.end_to_end, pytest.mark.asyncio(loop_scope="package")]

VIEWS = {
    "pages": {"stream": "wiki.change", "key": ["wiki", "title"]},
    "titles": {"stream": "wiki.change", "key": ["title"]},
    "things": {"stream": "things", "key": ["name"], "delete": "has(event.gone)"},
}
OWN_STREAM = {"things": {"description": "What these tests alone write, in the order of its time."}}
HOSTILE = '<img src=x onerror=alert(1)>/%2f?#\u202e"'


@pytest_asyncio.fixture(loop_scope="package", scope="module")
async def viewing(tmp_path_factory: pytest.TempPathFactory, feed: Feed) -> AsyncIterator[GatewayProcess]:
    """A gateway with views of the feed."""
    directory = tmp_path_factory.mktemp("views")
    await feed.log.create("things")
    config = configuration(directory, STREAMS | OWN_STREAM, views=VIEWS)
    given = ("--config", str(config), "--log", f"sqlite:///{feed.path}", "--view-directory", str(directory / "views"))
    gateway = GatewayProcess(directory / "gateway", *given)
    await gateway.start()

    async def built() -> bool:
        return all(not view["building"] for view in (await gateway.get("/v2/views")).json())

    # Of all that the feed has written, for as long as the tests before took.
    await eventually(built, "the views are built", 3 * WAIT)
    yield gateway
    gateway.clear_up()
    assert "Traceback" not in gateway.errors


async def page_of(browser: Browser, viewing: GatewayProcess, **look: Any) -> Explorer:
    context = await browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **look})
    return Explorer(await context.new_page(), viewing.address)


async def close(explorer: Explorer) -> None:
    await explorer.page.context.close()
    assert explorer.complaints == []
    assert explorer.foreign == []


async def newest_edit(viewing: GatewayProcess) -> tuple[str, str, int]:
    """A page that was changed again and again: wiki, title, and how many versions the first answer has."""
    seen: dict[tuple[str, str], int] = {}
    answer = await viewing.get("/v2/stream/wiki.change?since=2m&until=0s", headers={"accept": "application/x-ndjson"})
    for event in map(json.loads, filter(None, answer.text.splitlines())):
        if "title" in event:
            key = (event["wiki"], event["title"])
            seen[key] = seen.get(key, 0) + 1
    return *max(seen, key=lambda key: seen[key]), max(seen.values())


async def known(viewing: GatewayProcess, key: list[Any], count: int) -> None:
    """Wait until the view of pages has so many versions of a key: it follows the stream."""
    asked = {"key": json.dumps(key), "history": "true"}

    async def come() -> bool:
        answer = await viewing.get("/v2/views/pages", params=asked)
        return answer.status_code == 200 and len(answer.json()["versions"]) >= count

    await eventually(come, f"{count} versions of {key}")


@pytest.mark.parametrize("look", list(LOOKS))
async def test_a_page_has_a_history(look: str, browser: Browser, viewing: GatewayProcess, figures: list[str]) -> None:
    explorer = await page_of(browser, viewing, **LOOKS[look])
    page = explorer.page
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url.rpartition("/")[2]))
    await explorer.open("?streams=wiki.change&since=1m")
    assert {"state.js", "versions.js", "difference.js", "state.css"}.isdisjoint(loaded)

    # From an open event: its key, with the newest version and what it changed.
    await expect(page.get_by_role("button", name="State by key")).to_be_visible()
    await explorer.rows.nth(1).locator(".time").click()
    # The page asks once, and the view may not have come to what has just happened.
    row = page.locator(".row.open")
    key = [await row.locator(f'[data-path="{name}"]').text_content() for name in ("wiki", "title")]
    await known(viewing, key, 1)
    await page.locator(".unfolded").get_by_role("button", name="History", exact=True).click()
    versions = page.locator("#by-key .version")
    await expect(versions.first).to_have_attribute("aria-pressed", "true")
    assert {"state.js", "versions.js", "difference.js", "state.css"} <= set(loaded)
    violations = await scan(explorer)
    await page.keyboard.press("Escape")
    await expect(page.locator("#by-key")).to_be_hidden()

    # By its name, with the keyboard alone.
    wiki, title, count = await newest_edit(viewing)
    await known(viewing, [wiki, title], min(count, 20))
    await page.get_by_role("button", name="State by key").focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#by-key").get_by_label("wiki", exact=True)).to_be_focused()
    await expect(page.locator("#by-key .keys button").first).to_be_visible()
    violations += await scan(explorer)
    await page.screenshot(path=ARTEFACTS / f"state-keys-{look}.png")
    await page.keyboard.type(wiki)
    await page.keyboard.press("Tab")
    await page.keyboard.type(title)
    await page.locator("#by-key").get_by_label("As of").fill("")
    await page.keyboard.press("Enter")
    await expect(page.locator("#by-key h3")).to_have_text(f"{wiki} · {title}")
    assert await versions.count() >= min(count, 20)
    await versions.nth(1).click()
    await expect(versions.nth(1)).to_have_attribute("aria-pressed", "true")
    rows = page.locator("#by-key .changes tbody tr")
    await expect(page.locator("#by-key h4")).to_have_text(re.compile(rf"^{await rows.count()} members? differs?$"))
    stored = (await viewing.get("/v2/views/pages", params={"key": json.dumps([wiki, title]), "history": "true"})).json()
    shown = await page.locator("#by-key .changes tr", has_text="meta.id").inner_text()
    assert any(version["value"]["meta"]["id"] in shown for version in stored["versions"])
    await page.locator("#by-key summary").click()
    await expect(page.locator("#by-key pre")).to_contain_text('"title"')
    violations += await scan(explorer)
    await page.screenshot(path=ARTEFACTS / f"state-{look}.png")
    assert await page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")

    # And on to the events.
    await page.get_by_role("button", name="Events from here").click()
    await page.wait_for_url("**since=20*")
    await expect(page.locator("#by-key")).to_be_hidden()
    figures.append(f"accessibility of state by key, {look}: {len(violations)} findings")
    assert violations == []
    await close(explorer)


async def test_hostile_keys_and_values_stay_text(browser: Browser, viewing: GatewayProcess, feed: Feed) -> None:
    one = {"name": HOSTILE, "text": "<b>one</b>", "big": 1}
    two = {"name": HOSTILE, "text": "<script>alert(1)</script>\u202e\u0000", "a.b": {"<i>": "<svg onload=alert(1)>"}}
    await feed.put("things", one, two)
    await viewing_history(viewing, HOSTILE, 2)
    explorer = await page_of(browser, viewing)
    page = explorer.page
    await page.goto(f"{viewing.address}/?streams=things&since=1h&columns=text")
    await expect(page.get_by_role("button", name="State by key")).to_be_visible()
    await explorer.rows.filter(has_text="<script>alert(1)</script>").locator(".time").click()
    await page.locator(".unfolded").get_by_role("button", name="History", exact=True).click()
    changes = page.locator("#by-key .changes")
    await expect(changes).to_contain_text("<script>alert(1)</script>‹U+202E›‹U+0000›".replace("‹U+0000›", ""))
    await expect(changes.locator("tr.removed")).to_have_text(re.compile("big"))
    await expect(changes.locator("tr.added")).to_contain_text('["a.b"]')
    await expect(page.locator("#by-key h3")).to_contain_text("<img src=x onerror=alert(1)>/%2f?#‹U+202E›")
    assert await page.locator("#by-key :is(img, svg, script, b)").count() == 0
    # The same key by its text.
    await page.get_by_role("button", name="All keys").click()
    await page.locator("#by-key").get_by_label("name", exact=True).fill(HOSTILE)
    await page.keyboard.press("Enter")
    await expect(page.locator("#by-key .version")).to_have_count(2)
    await close(explorer)


async def test_deleted_and_made_again_and_not_there(browser: Browser, viewing: GatewayProcess, feed: Feed) -> None:
    for event in (
        {"name": "..", "n": 1},
        {"name": "..", "gone": True},
        {"name": "..", "n": 2},
        {"name": "..", "gone": 1},
    ):
        await feed.put("things", {"name": "..", **event})
    await viewing_history(viewing, "..", 4)
    explorer = await page_of(browser, viewing)
    page = explorer.page
    await page.goto(f"{viewing.address}/?streams=things&since=1h")
    await explorer.rows.first.wait_for()
    await page.get_by_role("button", name="State by key").click()
    name = page.locator("#by-key").get_by_label("name", exact=True)
    await name.fill("..")
    await page.locator("#by-key").get_by_label("As of").fill("")
    await page.keyboard.press("Enter")
    versions = page.locator("#by-key .version")
    await expect(versions).to_have_count(4)
    assert [" ".join((await each.inner_text()).split("·")[1].split()) for each in await versions.all()] == [
        "deleted", "made again", "deleted", "the oldest that is known",
    ]  # fmt: skip
    await expect(page.locator("#by-key .none").first).to_contain_text("it was deleted at")
    await expect(page.locator("#by-key h4")).to_contain_text("Deleted at")
    # What is not there, and times that no state is known of, are said in the gateway's words.
    for key, time, words in (
        ("nobody", "", "there is no such key"),
        ("..", "2001-01-01", "the view knows states from"),
        ("..", "never", "never"),
    ):
        await name.fill(key)
        await page.locator("#by-key").get_by_label("As of").fill(time)
        await page.keyboard.press("Enter")
        await expect(page.locator("#by-key")).to_contain_text(words)
    explorer.forgive()
    await close(explorer)


async def test_the_time_of_the_slider_is_that_of_the_state(
    browser: Browser, viewing: GatewayProcess, feed: Feed
) -> None:
    await feed.put("things", {"name": "timed", "n": "before"})
    (version,) = (await viewing_history(viewing, "timed"))["versions"]
    await feed.put("things", {"name": "timed", "n": "after"})
    await viewing_history(viewing, "timed", 2)
    until = iso_time(read_time(version["timestamp"]) + 1)
    explorer = await page_of(browser, viewing)
    page = explorer.page
    await page.goto(f"{viewing.address}/?streams=things&since=1h&until={until}")
    await page.get_by_role("button", name="State by key").click()
    await expect(page.locator("#by-key").get_by_label("As of")).to_have_value(until)
    await page.locator("#by-key").get_by_label("name", exact=True).fill("timed")
    await page.keyboard.press("Enter")
    await expect(page.locator("#by-key")).to_contain_text("State as of")
    await page.locator("#by-key summary").click()
    await expect(page.locator("#by-key pre")).to_contain_text('"before"')
    await close(explorer)


async def viewing_history(viewing: GatewayProcess, name: str, count: int = 1) -> Any:
    """What the view knows of a key, once that are so many versions: a page that asks earlier is told less."""
    asked = {"key": json.dumps([name]), "history": "true"}

    async def come() -> bool:
        answer = await viewing.get("/v2/views/things", params=asked)
        return answer.status_code == 200 and len(answer.json()["versions"]) == count

    await eventually(come, f"{count} versions of {name}")
    return (await viewing.get("/v2/views/things", params=asked)).json()


async def test_a_gateway_without_views_offers_none(explorer: Explorer) -> None:
    await explorer.open("?streams=wiki.change")
    await explorer.rows.first.locator(".time").click()
    unfolded = explorer.page.locator(".unfolded")
    await expect(unfolded.get_by_role("button", name="Start here", exact=True)).to_be_visible()
    await expect(unfolded.get_by_role("button", name="History", exact=True)).to_have_count(0)
    await expect(explorer.text("state-open")).to_be_hidden()


async def test_what_was_asked_of_a_view_is_not_shown_as_another_ones(browser: Browser, viewing: GatewayProcess) -> None:
    explorer = await page_of(browser, viewing)
    page = explorer.page
    asked, release, released = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def hold(route: Route) -> None:
        asked.set()
        await release.wait()
        await route.continue_()
        released.set()

    await page.route(re.compile("/v2/views/pages"), hold)
    await explorer.open("?streams=wiki.change&since=1m")
    await page.get_by_role("button", name="State by key").click()
    await asked.wait()
    await page.locator("#by-key select").select_option("titles")
    keys = page.locator("#by-key .keys button")
    await expect(keys.first).to_be_visible()
    shown = await keys.all_inner_texts()
    release.set()
    await released.wait()
    await asyncio.sleep(0.5)
    assert await keys.all_inner_texts() == shown
    # Keys of pages are made of two members.
    assert not any(" · " in text for text in shown)
    await close(explorer)
