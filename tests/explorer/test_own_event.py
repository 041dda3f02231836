"""docs/INTAKE.md: from an empty folder to an event of one's own, sent from a page that lies in a file."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from playwright.async_api import Browser, expect

from tests.end_to_end.process import ROOT, WAIT, GatewayProcess, environment
from tests.explorer.guide import COMMANDS, SCHEMA, SCHEMA_PATH, STREAM, STREAM_PATH, page_file
from tests.explorer.kit import Explorer


def test_the_guide_keeps_to_its_size() -> None:
    assert (len(SCHEMA.splitlines()), len(STREAM.splitlines())) == (6, 3)
    assert COMMANDS.splitlines() == ["gateway check", "gateway serve"]


def test_the_demo_has_the_stream_of_the_guide() -> None:
    sample = yaml.safe_load((ROOT / "config" / "gateway.yaml").read_text())["streams"]["guestbook"]
    assert sample["schema_title"] == yaml.safe_load(STREAM)["streams"]["guestbook"]["schema_title"]
    ours, guides = yaml.safe_load((ROOT / SCHEMA_PATH).read_text()), yaml.safe_load(SCHEMA)
    assert set(guides["required"]) <= set(ours["required"])
    for name, bounds in guides["properties"].items():
        assert bounds.items() <= ours["properties"][name].items()


def check(folder: Path) -> subprocess.CompletedProcess[str]:
    """`gateway check` in this folder."""
    command = [sys.executable, "-m", "gateway", "check"]
    return subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=WAIT, check=False
    )


@pytest.mark.end_to_end
@pytest.mark.asyncio(loop_scope="package")
async def test_from_an_empty_folder_to_an_event_of_ones_own(browser: Browser, tmp_path: Path) -> None:
    for place, text in ((SCHEMA_PATH, SCHEMA), (STREAM_PATH, STREAM)):
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    checked = await asyncio.to_thread(check, tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "no mistakes" in checked.stdout
    files = ["--config", str(tmp_path / STREAM_PATH), "--schemas", str(tmp_path / "config" / "schemas")]
    gateway = GatewayProcess(tmp_path / "gateway", *files, "--log", f"sqlite:///{tmp_path}/events.db")
    context = await browser.new_context()
    try:
        await gateway.start()
        page, other = await context.new_page(), await context.new_page()
        for each in (page, other):
            await each.goto(page_file(tmp_path, gateway.address))
        await page.get_by_label("Your name").fill("<b>Ada</b>")
        await page.get_by_label("A line").fill("It works!")
        await page.get_by_role("button", name="Send").click()
        await expect(page.locator("output")).to_have_text("Stored.")
        for each in (page, other):
            await expect(each.locator("li")).to_have_text(["<b>Ada</b>: It works!"])
        # Who gets round the bounds of the form is told why, and nothing is stored.
        await page.get_by_label("Your name").evaluate("box => { box.maxLength = 100; box.value = 'A'.repeat(50); }")
        await page.get_by_role("button", name="Send").click()
        await expect(page.locator("output")).to_contain_text("/name: ")
        await expect(page.locator("li")).to_have_count(1)
        explorer = Explorer(await context.new_page(), gateway.address)
        await explorer.open("?streams=guestbook")
        assert await explorer.column("name") == ["<b>Ada</b>"]
        assert await explorer.column("text") == ["It works!"]
        assert explorer.complaints == []
        await gateway.stop()
        await page.get_by_role("button", name="Send").click()
        await expect(page.locator("output")).to_have_text("The gateway cannot be reached.")
    finally:
        await context.close()
        gateway.clear_up()
