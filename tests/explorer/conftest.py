"""A gateway under load and a browser, for all tests of the explorer; a page for each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from tests.end_to_end.process import GatewayProcess, configuration, eventually
from tests.eventlog.unhurried import without_haste
from tests.explorer.kit import LAUNCH, PATIENT, STREAMS, Explorer, Feed
from tests.services.chromium import chromium
from tests.told import told

FIGURES = "explorer"
"""What is told at the end of a run."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show what was measured."""
    if figures := told(config, FIGURES):
        terminalreporter.section("explorer")
        for line in figures:
            terminalreporter.write_line(line)


@pytest.fixture
def figures(pytestconfig: pytest.Config) -> list[str]:
    """Lines that are shown at the end of the run."""
    return told(pytestconfig, FIGURES)


@pytest_asyncio.fixture(loop_scope="package", scope="package")
async def feed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Feed]:
    """A hundred events a second. Where the machine stands still it waits: a call that ends in time may have stored its
    events, and would be the end of the feed, or store them twice."""
    with without_haste():
        feed = Feed(tmp_path_factory.mktemp("explorer-log") / "events.db")
        await feed.fill()
        running = asyncio.create_task(feed.run())
        yield feed
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await feed.log.close()


@pytest_asyncio.fixture(loop_scope="package", scope="package")
async def gateway(tmp_path_factory: pytest.TempPathFactory, feed: Feed) -> AsyncIterator[GatewayProcess]:
    """A gateway that serves them."""
    directory = tmp_path_factory.mktemp("explorer")
    config = configuration(directory, STREAMS)
    gateway = GatewayProcess(directory / "gateway", "--config", str(config), "--log", f"sqlite:///{feed.path}")
    await gateway.start()
    yield gateway
    gateway.clear_up()
    assert "Traceback" not in gateway.errors


@pytest_asyncio.fixture(loop_scope="package", scope="package")
async def browser() -> AsyncIterator[Browser]:
    """Chromium."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=LAUNCH)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="package")
async def explorer(
    request: pytest.FixtureRequest, browser: Browser, gateway: GatewayProcess
) -> AsyncIterator[Explorer]:
    """A page of its own; at the end nothing must have been complained of, and nothing asked for elsewhere.

    Its context takes the options of the marker `context`."""
    marker = request.node.get_closest_marker("context")
    options = {"viewport": {"width": 1280, "height": 900}, **(marker.kwargs if marker else {})}

    async def surveyed() -> bool:
        found = {stream["name"]: stream for stream in (await gateway.get("/v2/streams")).json()}
        return all(found[name]["oldest"] and found[name]["newest"] for name in ("wiki.change", "late"))

    # A gateway that has just been started looks for a second, and tells a page that comes before it has found where its
    # streams begin that it does not know. Then the page looks back ten minutes, and no further.
    await eventually(surveyed, "the gateway knows its streams")
    context = await browser.new_context(**options)
    await context.add_init_script(PATIENT)
    explorer = Explorer(await context.new_page(), gateway.address)
    yield explorer
    await context.close()
    assert explorer.complaints == []
    assert explorer.foreign == []
