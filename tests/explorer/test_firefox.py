"""The page in Firefox: what may differ between browsers, and what its users need most."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.conftest import absent
from tests.end_to_end.process import GatewayProcess
from tests.explorer.kit import SAYS
from tests.services.firefox import Firefox, Window, firefox_program

pytestmark = [pytest.mark.end_to_end, pytest.mark.asyncio(loop_scope="package")]

IN_THE_DOCUMENT = "[...document.querySelectorAll('.row')]"
LIVE = (
    "document.getElementById('state').textContent === 'Live' && document.querySelector('.row [data-path=n]') !== null"
)
"""And the rows have their cells, which they have once the page knows what the events of the stream have."""
NUMBERS = f"{IN_THE_DOCUMENT}.map(row => Number(row.querySelector('[data-path=n]').textContent.replaceAll(',', '')))"
WINDOWS = 7
ENTER, ESCAPE = "\ue007", "\ue00c"


def named(gateway: GatewayProcess) -> str:
    """Its address by another name than localhost, where a page on plain http is given less."""
    return gateway.address.replace("127.0.0.1", "gateway.test")


@pytest_asyncio.fixture(loop_scope="package", scope="module")
async def firefox(tmp_path_factory: pytest.TempPathFactory, gateway: GatewayProcess) -> AsyncIterator[Firefox]:
    """Firefox; at the end no page must have complained, and none have asked for anything elsewhere."""
    program = firefox_program() or absent("there is no firefox-esr")
    firefox = await Firefox.start(program, tmp_path_factory.mktemp("firefox"))
    yield firefox
    complaints, requests = firefox.complaints, firefox.requests
    await firefox.close()
    assert complaints == []
    own = (gateway.address, named(gateway), f"blob:{gateway.address}", "data:", "about:", "chrome:", "resource:")
    assert [address for address in requests if not address.startswith(own)] == []
    assert any("/v2/stream/numbers" in address for address in requests)


@pytest_asyncio.fixture(loop_scope="package")
async def window(firefox: Firefox, gateway: GatewayProcess) -> AsyncIterator[Window]:
    """A window that shows numbers as they come."""
    window = await firefox.window()
    await window.open(f"{gateway.address}/?streams=numbers&columns=n")
    await window.until(LIVE, "events are shown")
    yield window
    await window.close()


async def test_events_come_and_rows_stand_in_the_document_as_they_are_seen(window: Window) -> None:
    first = max(await window.evaluate(NUMBERS))
    await window.until(f"Math.max(...{NUMBERS}) > {first} + 200", "events come")
    for _ in range(3):
        shown, tops = await window.evaluate(
            f"[{NUMBERS}, {IN_THE_DOCUMENT}.map(row => row.getBoundingClientRect().top)]"
        )
        assert shown == sorted(shown, reverse=True)
        assert shown == list(range(shown[0], shown[-1] - 1, -1))
        assert tops == sorted(tops)


async def test_a_filter_is_typed_and_holds(window: Window) -> None:
    await window.evaluate("document.getElementById('filter').focus()")
    await window.type(f"event.n % 7 == 3{ENTER}")
    await window.until(f"{LIVE} && {NUMBERS}.length > 3 && {NUMBERS}.every(n => n % 7 === 3)", "the filter holds")
    assert json.loads(await window.evaluate("JSON.stringify(new URL(location.href).searchParams.get('filter'))")) == (
        "event.n % 7 == 3"
    )


async def test_copying_works_on_plain_http_by_any_name(firefox: Firefox, gateway: GatewayProcess) -> None:
    window = await firefox.window()
    await window.open(f"{named(gateway)}/?streams=numbers&columns=n")
    await window.until(LIVE, "events are shown")
    assert await window.evaluate("[isSecureContext, navigator.clipboard === undefined]") == [False, True]
    await window.click("Get code")
    await window.click("URL")
    # It says so for two seconds.
    await window.evaluate(f"({SAYS})(document.getElementById('told'))")
    await window.click("Copy")
    await window.until("said.includes('Copied')", "it says that it has copied")
    await window.type(ESCAPE)
    await window.evaluate("document.getElementById('filter').focus()")
    await window.paste()
    await window.until("document.getElementById('filter').value !== ''", "something is pasted")
    value = await window.evaluate("document.getElementById('filter').value")
    assert value == f"{named(gateway)}/v2/stream/numbers"
    await window.close()


async def test_windows_share_the_connections_of_the_browser(firefox: Firefox, gateway: GatewayProcess) -> None:
    windows = [await firefox.window() for _ in range(WINDOWS)]
    for number, window in enumerate(windows):
        # Each has another view: nothing that one gets is of use for another.
        await window.open(f"{gateway.address}/?streams=numbers&columns=n&filter=event.n+%25+7+%3D%3D+{number}")
    for number, window in enumerate(windows):
        await window.until(f"{LIVE} && {NUMBERS}.every(n => n % 7 === {number})", f"the window {number} is live")
    asked = "fetch('/v2/streams', { signal: AbortSignal.timeout(30000) }).then(answer => answer.status)"
    assert [await window.evaluate(asked) for window in windows] == [200] * WINDOWS
    newest = [max(await window.evaluate(NUMBERS)) for window in windows]
    for number, window in enumerate(windows):
        await window.until(f"Math.max(...{NUMBERS}) > {newest[number]} + 7", f"the window {number} gets on")
    for window in windows:
        await window.close()


FOLLOW = """(() => {
    window.got = [];
    window.made = 0;
    const url = new URL('%s/v2/stream/numbers');
    const follow = () => {
        window.made += 1;
        window.source = new EventSource(url);
        source.onmessage = message => {
            got.push(JSON.parse(message.data).n);
            url.searchParams.set('last_event_id', message.lastEventId);
        };
        source.onerror = () => {
            if (source.readyState === EventSource.CLOSED) setTimeout(follow, 100);
        };
    };
    follow();
})()"""


@pytest.mark.parametrize("place", ["own", "another"])
async def test_an_event_source_resumes_when_the_gateway_comes_back(
    firefox: Firefox, gateway: GatewayProcess, place: str
) -> None:
    """By itself from the gateway's own origin. From another it gives up where nothing listens, and is made anew."""
    window = await firefox.window()
    if place == "own":
        await window.open(f"{gateway.address}/?streams=quiet")
    await window.evaluate(FOLLOW % gateway.address)
    await window.until("got.length > 50", "events come")
    await gateway.kill()
    before = await window.evaluate("got.length")
    if place == "another":
        await window.until("made > 1", "it gives up where nothing listens")
    await gateway.start()
    await window.until(f"got.length > {before} + 100", "events come again")
    got, made = await window.evaluate("(source.close(), [got, made])")
    assert got == list(range(got[0], got[0] + len(got)))
    assert (made == 1) == (place == "own")
    await window.close()
    for words in ("was interrupted", "establish a connection", "CORS request did not succeed"):
        firefox.forgive(words)
