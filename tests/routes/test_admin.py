"""The admin port: who may ask there, and reloading."""

from __future__ import annotations

import re
from typing import Any

import pytest

from gateway.app import gateway as app
from gateway.app.gateway import Gateway
from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.definitions import Definitions
from gateway.errors import ConfigurationError, RestartNeeded
from gateway.schemas.repository import SchemaRepository
from tests.kit.waiting import becomes
from tests.routes.kit import running, stored

OWN = (
    *("127.0.0.1:9090", "127.0.0.1", "[::1]:9090", "[::1]", "10.1.2.3:9090"),
    *("localhost:9090", "LOCALHOST.", "inside.example:9090"),
)
FOREIGN = (
    *("evil.example:9090", "evil.example", "127.0.0.1.evil.example:9090", "localhost.evil.example"),
    "",
)


@pytest.mark.parametrize("host", ["[evil.example]:9090", "127.0.0.1@evil.example"])
async def test_what_is_no_name_of_any_port(host: str) -> None:
    async with running(admin=True) as site:
        assert (await site.admin.get("/v2/streams", headers={"host": host})).status_code == 400


async def test_names_of_the_admin_port() -> None:
    async with running(admin=True, admin_names=("Inside.example",)) as site:
        for host in (*OWN, *FOREIGN):
            headers = {"host": host}
            known = host in OWN
            for path in ("/v2/streams", "/v2/schemas", "/metrics", "/readyz", "/-/connections", "/"):
                response = await site.admin.get(path, headers=headers)
                assert response.status_code == (200 if known else 421), host
            assert (await site.admin.head("/v2/stream/empty", headers=headers)).status_code == (200 if known else 421)
            assert (await site.admin.post("/-/reload", headers=headers)).status_code == (409 if known else 421)
            # What machines ask for by whatever name.
            assert (await site.admin.get("/healthz", headers=headers)).status_code == 200
            # The public port knows no names.
            assert (await site.client.get("/healthz", headers=headers)).status_code == 200


async def test_what_a_foreign_name_gets_tells_nothing() -> None:
    """Whatever route it is, a new one too: a page whose name leads here ("DNS rebinding") could read it."""
    async with running(streams=(ONE, HIDDEN), admin=True) as site:
        paths = [route.path for route in site.gateway.admin_routes(site.gateway.operations())]
        assert {"/metrics", "/readyz", "/v2/streams/{name}"} <= set(paths)
        for path in paths:
            for method in ("GET", "POST", "OPTIONS"):
                answer = await site.admin.request(
                    method, re.sub("{[^}]*}", "two", path), headers={"host": "evil.example"}
                )
                assert path == "/healthz" or answer.status_code == 421, path
                assert "two" not in answer.text
                assert not any(name.startswith("access-control") for name in answer.headers)


async def test_a_web_page_changes_nothing() -> None:
    calls = []

    async def reload() -> dict[str, Any]:
        calls.append(1)
        return {}

    async with running(admin=True, reload=reload) as site:
        for origin in ("http://evil.example", "null", f"http://127.0.0.1:{site.admin.base_url.port}"):
            response = await site.admin.post("/-/reload", headers={"origin": origin})
            assert response.status_code == 403
            assert response.headers["content-type"] == "application/problem+json"
            assert response.json()["parameter"] == "Origin"
        preflight = {"origin": "http://evil.example", "access-control-request-method": "POST"}
        response = await site.admin.options("/-/reload", headers=preflight)
        assert response.status_code == 403
        assert not any(name.startswith("access-control") for name in response.headers)
        assert calls == []
        assert (await site.admin.post("/-/reload")).status_code == 200
        assert calls == [1]


async def test_the_answers_of_a_reload() -> None:
    outcomes: list[dict[str, Any] | Exception] = [
        {"streams": {}},
        ConfigurationError(["gateway.yaml:3: wrong", "gateway.yaml:4: wrong too"]),
        RestartNeeded(["gateway.yaml:3: later"]),
    ]

    async def reload() -> dict[str, Any]:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async with running(admin=True, reload=reload) as site:
        assert (await site.admin.post("/-/reload")).json() == {"streams": {}}
        broken = await site.admin.post("/-/reload")
        assert (broken.status_code, broken.headers["content-type"]) == (400, "application/problem+json")
        assert broken.json()["mistakes"] == ["gateway.yaml:3: wrong", "gateway.yaml:4: wrong too"]
        later = await site.admin.post("/-/reload")
        assert (later.status_code, later.json()["title"]) == (409, "Restart needed")
        assert later.json()["mistakes"] == ["gateway.yaml:3: later"]
        assert (await site.admin.get("/-/reload")).status_code == 405
        # And nowhere else.
        assert (await site.client.post("/-/reload")).status_code == 404


async def test_what_cannot_be_reloaded_says_so() -> None:
    async with running(admin=True) as site:
        response = await site.admin.post("/-/reload")
        assert response.status_code == 409
        assert "nothing to reload" in response.json()["mistakes"][0]


def definitions(*streams: Stream) -> Definitions:
    return Definitions(Catalog(streams), SchemaRepository([]))


ONE, TWO = Stream("one", ("one",)), Stream("two", ("two",))
HIDDEN = Stream("two", ("two",), public=False)


async def take(gateway: Gateway, *streams: Stream) -> list[str]:
    return await gateway.take(definitions(*streams))


async def test_definitions_are_replaced_under_those_who_are_there() -> None:
    async with (
        running(streams=(ONE, TWO), admin=True) as site,
        site.stream("/v2/stream/one,two") as both,
        site.stream("/v2/stream/one") as one,
    ):
        await both.frame()
        await one.frame()
        assert await take(site.gateway, ONE) == []
        assert (await site.get("/v2/stream/two")).status_code == 404
        site.put("one", stored(1))
        site.put("two", stored(2))
        assert sorted(await both.numbers(2)) == [1, 2]
        # What is named again as private is not for those who have read it as public.
        notes = await take(site.gateway, ONE, HIDDEN)
        assert notes == ["streams ended because their client may not read them any more: 1"]
        await both.rest()
        site.put("one", stored(3))
        assert await one.numbers(2) == [1, 3]


async def test_the_log_may_be_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "TAKE_WAIT", 0.05)
    async with running(streams=(ONE,), admin=True) as site:
        site.log.available = False
        await becomes(lambda: not site.gateway.hub.available)
        (note,) = await take(site.gateway, ONE, TWO)
        assert note == "the log has not answered yet; streams of new topics wait for it"
        async with site.stream("/v2/stream/two") as stream:
            await stream.frame()
            site.log.create_topic("two")
            site.log.available = True
            await becomes(lambda: "two" in site.gateway.hub.discovery.sought)
            site.put("two", stored(1, site.gateway.clock.now()))
            assert await stream.numbers(1) == [1]


async def test_schemas_are_those_in_force(tmp_path: Any) -> None:
    path = tmp_path / "thing" / "current.json"
    path.parent.mkdir()
    async with running(streams=(ONE,)) as site:
        seen = []
        for text in ("first", "second"):
            path.write_text(f'{{"$id": "/thing/1.0.0", "description": "{text}"}}')
            await site.gateway.take(Definitions(Catalog([ONE]), SchemaRepository([tmp_path])))
            for _ in range(2):
                seen.append((await site.get("/v2/schemas/thing/1.0.0")).json()["description"])
                assert (await site.get("/v2/schemas")).json()[0]["description"] == text
        assert seen == ["first", "first", "second", "second"]
