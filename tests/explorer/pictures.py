"""Pictures of the explorer for the README: `scripts/screenshots`."""

from __future__ import annotations

import asyncio
import base64
import shutil
import tempfile
from pathlib import Path

from playwright.async_api import async_playwright

from tests.end_to_end.process import ROOT, GatewayProcess
from tests.explorer.kit import LAUNCH, Explorer

PICTURES = ROOT / "scripts" / "pictures"
VIEW = "?since=5m&filter=event.wiki+%21%3D+%22commonswiki%22+%26%26+%21event.bot"


async def main() -> None:
    """Take them."""
    PICTURES.mkdir(exist_ok=True)
    program = shutil.which("chromium")
    assert program is not None, "there is no chromium"
    with tempfile.TemporaryDirectory() as directory:
        log = f"sqlite:///{directory}/demo.db"
        gateway = GatewayProcess(Path(directory) / "gateway", "--log", log, command="demo")
        try:
            await gateway.start()
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(executable_path=program, args=LAUNCH)
                for scheme in ("light", "dark"):
                    context = await browser.new_context(
                        color_scheme="light" if scheme == "light" else "dark", viewport={"width": 1280, "height": 800}
                    )
                    explorer = Explorer(await context.new_page(), gateway.address)
                    await explorer.open(VIEW)
                    await explorer.state("Live")
                    await explorer.becomes("() => / of \\d,\\d{3}$/.test(document.getElementById('kept').textContent)")
                    await explorer.page.locator(".chip").first.wait_for()
                    await explorer.becomes("() => /^1\\d\\.\\d.s$/.test(document.getElementById('pace').textContent)")
                    await explorer.rows.nth(3).locator('[data-path="user"]').click()
                    await explorer.page.get_by_role("menuitem", name="Only this").wait_for()
                    session = await context.new_cdp_session(explorer.page)
                    # A third of the bytes of a PNG, with nothing to be seen of it.
                    shot = await session.send("Page.captureScreenshot", {"format": "webp", "quality": 88})
                    (PICTURES / f"explorer-{scheme}.webp").write_bytes(base64.b64decode(shot["data"]))
                    await context.close()
                await browser.close()
        finally:
            gateway.clear_up()


if __name__ == "__main__":
    asyncio.run(main())
