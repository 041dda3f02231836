"""The table of connections, the front page of the admin port, and the drain."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from tests.kit.waiting import becomes
from tests.routes.kit import running, stored


@pytest.mark.long
async def test_what_the_table_shows() -> None:
    async with running(admin=True) as site:
        agent = {"user-agent": "<script>" + "x" * 200}
        filtered = "/v2/stream/page.edit?filter=event.number%20%3E%201"
        async with site.stream("/v2/stream/wide") as one, site.stream(filtered, headers=agent) as two:
            await one.frame()
            await two.frame()
            shown = (await site.admin.get("/-/connections")).json()
            assert shown["total"] == 2
            wide, edits = sorted(shown["connections"], key=lambda row: row["streams"], reverse=True)
            assert (wide["streams"], wide["filter"]) == (["wide"], None)
            assert wide["format"].startswith("text/event-stream")
            assert edits["streams"] == ["page.edit"]
            assert "event.number" in edits["filter"]
            assert len(edits["user_agent"]) == 100
            assert edits["position"].startswith("[{")
            assert (edits["address"], edits["lag"]) == ("127.0.0.1", 0)
            page = await site.admin.get("/-/connections?sort=lag", headers={"accept": "text/html"})
            assert page.headers["content-type"].startswith("text/html")
            assert "default-src 'none'" in page.headers["content-security-policy"]
            assert "xxx" not in page.text, "rows come as JSON, and become text"
            assert page.text.count("<script>") == 1, "that of the page itself"
            first = (await site.admin.get("/-/connections?limit=1&sort=address")).json()
            assert (first["total"], len(first["connections"])) == (2, 1)
            # Nobody else is shown addresses.
            assert (await site.client.get("/-/connections")).status_code == 404


async def test_what_the_table_does_not_take() -> None:
    async with running(admin=True) as site:
        for query, parameter in (("sort=age", "sort"), ("limit=0", "limit"), ("limit=9999", "limit"), ("x=1", "x")):
            refused = await site.admin.get(f"/-/connections?{query}")
            assert (refused.status_code, refused.json()["parameter"]) == (400, parameter)


async def test_the_front_page_names_what_there_is() -> None:
    async with running(admin=True) as site:
        page = await site.admin.get("/", headers={"accept": "text/html"})
        policy = page.headers["content-security-policy"]
        for tag in ("style", "script"):
            [content] = re.findall(f"<{tag}>(.*?)</{tag}>", page.text, re.DOTALL)
            digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
            assert f"{tag}-src 'sha256-{digest}'" in policy
        for path in ("/metrics", "/-/connections", "/v2/streams", "/readyz"):
            assert f'href="{path}"' in page.text
            assert (await site.admin.get(path)).status_code == 200
        assert page.headers["x-frame-options"] == "DENY"
        assert "/metrics" in (await site.admin.get("/", headers={"accept": "application/json"})).json()


async def test_a_drain_ends_streams_and_the_process() -> None:
    async with running(admin=True) as site, site.stream("/v2/stream/empty") as stream:
        await stream.frame()
        assert (await site.admin.get("/-/drain")).status_code == 405
        assert (await site.client.post("/-/drain")).status_code == 404
        assert (await site.admin.post("/-/drain", headers={"origin": "http://evil.example"})).status_code == 403
        assert not site.gateway.draining
        assert (await site.admin.post("/-/drain")).status_code == 202
        await stream.rest()
        await becomes(lambda: site.gateway.draining)


async def test_figures_of_what_is_sent_and_left_out() -> None:
    def figure(text: str, name: str) -> float:
        return float(next(line.split()[1] for line in text.split("\n") if line.startswith(name + " ")))

    names = ("gateway_events_sent_total", "gateway_events_filtered_total", "gateway_delivery_seconds_count")
    async with running(admin=True) as site:
        before = (await site.admin.get("/metrics")).text
        filtered = "/v2/stream/wide?filter=event.number%20%3E%201"
        async with site.stream("/v2/stream/wide") as every, site.stream(filtered) as some:
            await every.frame()
            await some.frame()
            await becomes(lambda: sum(len(feed.clients) for feed in site.gateway.broadcast._feeds.values()) == 2)
            site.put("wide", stored(1), stored(2))
            assert await every.numbers(2) == [1, 2]
            assert await some.numbers(1) == [2]
        after = (await site.admin.get("/metrics")).text
        assert [figure(after, name) - figure(before, name) for name in names] == [3, 1, 3]


async def test_the_state_is_that_of_the_parts_and_of_each_stream() -> None:
    async with running(admin=True) as site, site.stream("/v2/stream/wide") as stream:
        await stream.frame()
        site.put("wide", stored(1))
        await stream.numbers(1)
        told = (await site.admin.get("/-/overview")).json()
        parts = {part["name"]: part for part in told["state"]}
        assert {"Log", "Redis", "Workers", "Partitions", "Clients"} <= set(parts)
        assert (parts["Log"]["ok"], parts["Log"]["words"]) == (True, "answers")
        rows = {row["name"]: row for row in told["streams"]}
        assert rows["wide"]["newest"] is not None
        assert rows["empty"]["newest"] is None
        assert told["total"] == 1
        assert told["connections"][0]["streams"] == ["wide"]
        assert (await site.client.get("/-/overview")).status_code == 404


async def test_the_explorer_of_the_admin_port_shows_private_streams_too() -> None:
    async with running(admin=True) as site:
        page = await site.admin.get("/explorer?streams=wide", headers={"accept": "text/html"})
        assert 'href="/"' in page.text
        main = re.search(r'src="(/explorer/[0-9a-f]+/main\.js)"', page.text)
        assert main
        assert (await site.admin.get(main[1])).status_code == 200
        rates = (await site.admin.get("/explorer/rates")).json()["streams"]
        assert set(rates) == {row["name"] for row in (await site.admin.get("/v2/streams")).json()}


async def test_the_page_of_this_port_alone_changes_something() -> None:
    async with running(admin=True) as site:
        own = str(site.admin.base_url).rstrip("/")
        fitting = {"origin": own, "sec-fetch-site": "same-origin", "gateway-operator": "yes"}
        for changed in (
            {"origin": "http://evil.example"},
            {"origin": "null"},
            {"sec-fetch-site": "same-site"},
            {"gateway-operator": ""},
            {"host": "evil.example", "origin": "http://evil.example"},
        ):
            answer = await site.admin.post("/-/drain", headers={**fitting, **changed})
            assert answer.status_code in (403, 421), changed
        assert (await site.admin.post("/v1/events", headers=fitting)).status_code == 403
        assert not site.gateway.draining
        assert (await site.admin.post("/-/reload", headers=fitting)).status_code == 409
        assert (await site.admin.post("/-/drain", headers=fitting)).status_code == 202
