"""`GET /` and the files of the explorer, as a browser or a program gets them."""

from __future__ import annotations

import gzip
import re
from importlib import resources

import httpx
import pytest

from gateway.model.record import NewRecord
from gateway.routes.explorer import _LATER
from tests.routes.kit import Site, appears, stored

pytestmark = pytest.mark.asyncio(loop_scope="module")

HTML = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


async def page(site: Site) -> str:
    """The page."""
    return (await site.get("/", headers=HTML)).text


async def test_people_get_a_page_and_programs_an_index(site: Site) -> None:
    for accept in (HTML["accept"], "*/*", "text/html", ""):
        answer = await site.get("/", headers={"accept": accept})
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    for accept in ("application/json", "application/json, text/html;q=0.9"):
        answer = await site.get("/", headers={"accept": accept})
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["streams"] == "/v2/streams"
        for name in ("streams", "schemas", "views", "health"):
            assert (await site.get(answer.json()[name])).status_code == 200
    assert "accept" in answer.headers["vary"]


async def test_the_index_names_all_that_programs_can_ask_for(site: Site) -> None:
    index = (await site.get("/", headers={"accept": "application/json"})).json()
    described = set((await site.get("/openapi.json")).json()["paths"])
    # What lies below another place is found there; the page's own files are for nobody else.
    apart = ("/v2/streams/{name}", "/v2/schemas/", "/v2/views/", "/explorer/")
    left_out = {path for path in described if path != "/" and not path.startswith(apart)} - set(index.values())
    assert not left_out
    assert "/v2/streams/{names}/counts" in described & set(index.values())


async def test_the_page_loads_nothing_from_elsewhere(site: Site) -> None:
    answer = await site.get("/", headers=HTML)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    addresses = re.findall(r'(?:src|href)="([^"]+)"', answer.text)
    assert len(addresses) > 20
    assert all(address.startswith(("/explorer/", "#")) or address == "/docs" for address in addresses)
    assert not re.search(r"<style|<script(?![^>]* src=)|\son\w+=|\sstyle=", answer.text)


def without_comments(text: str) -> list[str]:
    """The lines of a text but for those in which there is nothing but a comment."""
    lines: list[str] = []
    inside = False
    for line in text.splitlines():
        comment = line.strip()
        begins = comment.startswith("/*") and ("*/" not in comment or comment.endswith("*/"))
        if inside or begins:
            inside = not comment.endswith("*/")
        elif not comment.startswith("//"):
            lines.append(line)
    return lines


async def test_every_file_is_there_and_kept_for_ever(site: Site) -> None:
    text = await page(site)
    [version] = set(re.findall(r"/explorer/([0-9a-f]+)/", text))
    files = [entry for entry in (resources.files("gateway") / "explorer").iterdir() if not entry.name.endswith(".html")]
    named = set(re.findall(r'/explorer/[0-9a-f]+/([^"]+)"', text))
    loaded_by_the_worker = {"worker.js", "admission.js", "backoff.js", "follower.js", "turns.js"}
    assert {entry.name for entry in files} - named == {*loaded_by_the_worker, *_LATER}
    texts = {entry.name: entry.read_text() for entry in files if entry.name.endswith(".js")}
    for later in _LATER:
        if later.endswith(".css"):
            assert any(later in code for code in texts.values())
            continue
        loads = re.compile(rf'(?:import\(|from )"\./{re.escape(later)}"')
        users = [name for name, code in texts.items() if loads.search(code)]
        # Whoever needs it at the start would wait for it.
        assert users
        assert all(name in _LATER or f'import("./{later}")' in texts[name] for name in users)
    for entry in files:
        answer = await site.get(f"/explorer/{version}/{entry.name}")
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.text.splitlines() == without_comments(entry.read_text())
    # Of a page from before an update.
    old = await site.get("/explorer/0123456789abcdef/main.js")
    assert (old.status_code, old.headers["cache-control"]) == (200, "no-cache")
    worker = await site.get(f"/explorer/{version}/worker.js")
    assert "connect-src 'self'" in worker.headers["content-security-policy"]


@pytest.mark.parametrize("name", ["none.js", "index.html", "..%2Fapp.py", "%2Fetc%2Fpasswd"])
async def test_there_is_nothing_else(site: Site, name: str) -> None:
    answer = await site.get(f"/explorer/0/{name}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


async def test_what_is_known_is_not_sent_again(site: Site) -> None:
    first = await site.get("/", headers=HTML)
    again = await site.get("/", headers={**HTML, "if-none-match": f"W/{first.headers['etag']}"})
    assert (again.status_code, again.content) == (304, b"")
    assert first.headers["cache-control"] == "no-cache"
    assert (await site.get("/", headers={**HTML, "if-none-match": '"another"'})).status_code == 200


async def test_it_is_compressed_for_those_who_understand(site: Site) -> None:
    async def raw(coding: str) -> httpx.Response:
        async with site.client.stream("GET", "/", headers={**HTML, "accept-encoding": coding}) as response:
            response.extensions["body"] = b"".join([part async for part in response.aiter_raw()])
            return response

    packed, plain = await raw("gzip, br"), await raw("identity")
    assert (packed.headers["content-encoding"], "content-encoding" in plain.headers) == ("gzip", False)
    assert gzip.decompress(packed.extensions["body"]) == plain.extensions["body"]
    assert "accept-encoding" in packed.headers["vary"]


async def test_a_head_request_has_no_body(site: Site) -> None:
    answer = await site.client.head("/", headers=HTML)
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 1000


async def test_the_rates_of_the_last_minute(site: Site, name: str) -> None:
    clock = site.gateway.clock
    end = clock.now() // 1000 * 1000
    times = [end - 59_500, end - 1500, end - 1400, end - 70_000]
    records: list[NewRecord] = [stored(number, time) for number, time in enumerate(sorted(times))]
    site.put(name, *records)
    async with site.stream(f"/v2/stream/{name}?since=2m&limit=4") as reading:
        await reading.frame()
    await appears(site, name, 3)
    document = (await site.get("/explorer/rates")).json()
    rates = document["streams"][name]
    assert (rates["newest"], rates["seconds"]) == (end - 1400, 60)
    # From the second of the first event on: that of the oldest here, or, a second later and more, of the next.
    passed = (document["end"] - end) // 1000
    assert (sum(rates["counts"]), len(rates["counts"])) == ((3, 60) if passed == 0 else (2, 2 + passed))
    assert max(rates["counts"]) == 2
    assert document["streams"]["empty"] == {"newest": None, "seconds": 60, "counts": []}
    assert set(document["streams"]) == set(site.gateway.current.catalog.streams)
