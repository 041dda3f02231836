"""Making a filter: by clicking on values, and by typing."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from tests.explorer.kit import Explorer

pytestmark = [pytest.mark.end_to_end, pytest.mark.asyncio(loop_scope="package")]


async def test_a_click_on_a_value_keeps_it_or_leaves_it_out(explorer: Explorer) -> None:
    page = explorer.page
    await explorer.open()
    wiki = await explorer.pick("wiki", "Only this")
    await expect(explorer.text("filter")).to_have_value(f'event.wiki == "{wiki}"')
    await explorer.rows.nth(3).wait_for()
    assert set(await explorer.column("wiki")) == {wiki}
    kind = await explorer.pick("type", "Not this")
    both = f'event.wiki == "{wiki}" && event.type != "{kind}"'
    await expect(explorer.text("filter")).to_have_value(both)
    await expect(page.locator(".chip")).to_have_count(2)
    await explorer.becomes(
        "([wiki, kind]) => { const rows = [...document.querySelectorAll('.row')]; return rows.length > 0 &&"
        " rows.every(r => r.querySelector('[data-path=wiki]').textContent === wiki"
        " && r.querySelector('[data-path=type]').textContent !== kind); }",
        [wiki, kind],
    )
    await page.get_by_role("button", name=f'Remove event.wiki == "{wiki}"').click()
    await expect(explorer.text("filter")).to_have_value(f'event.type != "{kind}"')
    await page.go_back()
    await expect(explorer.text("filter")).to_have_value(both)
    await page.reload()
    await expect(explorer.text("filter")).to_have_value(both)


async def test_a_value_of_an_unfolded_event_filters_too(explorer: Explorer) -> None:
    page = explorer.page
    await explorer.open()
    await explorer.rows.nth(1).hover()
    await explorer.rows.nth(1).locator(".time").click()
    await page.locator(".unfolded .leaf", has_text="wiki/change/1.0.0").click()
    await page.get_by_role("menuitem", name=re.compile("^Only this")).click()
    await expect(explorer.text("filter")).to_have_value('event["$schema"] == "/wiki/change/1.0.0"')
    await explorer.rows.first.wait_for()


async def test_the_share_that_is_let_through_and_its_bandwidth_are_told(explorer: Explorer) -> None:
    await explorer.open()
    await expect(explorer.text("answer")).to_have_text(
        re.compile(r"^every event · .* events/s · .* kB/s, .*B/s compressed$")
    )
    await explorer.text("filter").fill("event.bot")
    # The demo's bots make about a fifth of the changes.
    await expect(explorer.text("answer")).to_have_text(re.compile(r"^lets (1\d|2\d|30) % through · .*compressed$"))
    await explorer.page.keyboard.press("Enter")
    await expect(explorer.text("share")).to_have_text(re.compile(r"^(1\d|2\d|3\d) %$"))
    await explorer.rows.first.wait_for()
    assert set(await explorer.column("bot")) == {"true"}


async def test_what_is_typed_is_completed_from_the_schema(explorer: Explorer) -> None:
    page = explorer.page
    await explorer.open()
    await page.get_by_role("columnheader", name="wiki").wait_for()
    await explorer.text("filter").click()
    await page.keyboard.type("event.wi")
    await expect(page.get_by_role("option", name=re.compile("^wiki"))).to_be_visible()
    await page.keyboard.press("Tab")
    await expect(explorer.text("filter")).to_have_value("event.wiki")
    await page.keyboard.type(' == "en')
    await page.get_by_role("option", name='"enwiki"').click()
    await page.keyboard.type(" && event.ty")
    await page.keyboard.press("Tab")
    await page.keyboard.type(" == ")
    # The values of the enumeration.
    options = page.get_by_role("listbox").get_by_role("option")
    await expect(options).to_have_text([re.compile(f'^"{value}"') for value in ("edit", "new", "log")])
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await expect(explorer.text("filter")).to_have_value('event.wiki == "enwiki" && event.type == "edit"')
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile("filter="))
    await explorer.becomes("() => document.querySelectorAll('.chip').length === 2")
    await explorer.rows.first.wait_for()
    assert set(await explorer.column("wiki")) == {"enwiki"}
    # What was half typed was tried, too.
    explorer.forgive()


async def test_a_mistake_is_shown_at_its_column_while_one_types(explorer: Explorer) -> None:
    page = explorer.page
    await explorer.open()
    await explorer.text("filter").click()
    await page.keyboard.type('event.bot && evnt.wiki == "x"')
    await expect(explorer.text("answer")).to_have_text("there is no variable 'evnt': did you mean 'event'? (column 14)")
    await expect(page.locator("#mirror .error")).to_have_text("evnt")
    await expect(explorer.text("filter")).to_have_attribute("aria-invalid", "true")
    # Nothing is applied yet: the stream runs on.
    await explorer.state("Live")
    await explorer.text("filter").fill('event.bot && event.wiki == "x"')
    await expect(explorer.text("answer")).to_have_text("nothing of the last minutes")
    await expect(explorer.text("filter")).to_have_attribute("aria-invalid", "false")
    explorer.forgive()


async def test_a_wrong_filter_in_a_link_is_refused_with_the_reason(explorer: Explorer) -> None:
    await explorer.page.goto(f"{explorer.address}/?streams=wiki.change&filter=event.wiki+%3D%3D")
    await explorer.state("Refused")
    await expect(explorer.text("state-detail")).to_contain_text("the expression ends too early")
    await explorer.text("filter").fill("event.bot")
    await explorer.page.keyboard.press("Enter")
    await explorer.state("Live")
    explorer.forgive()
