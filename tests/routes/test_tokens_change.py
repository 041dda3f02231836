"""Tokens that expire, and keys and grants that a reload changes."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.access.signed import Rules
from gateway.access.trust import Terms, Trust
from gateway.app.composition import define
from gateway.catalog.catalog import Catalog
from gateway.definitions import Definitions
from gateway.settings.configuration import Configured
from gateway.settings.table import Settings
from tests.access.kit import claims, document, public_jwk, signed
from tests.kit.waiting import becomes
from tests.routes.kit import stored
from tests.routes.tokens import SETTINGS, STATIC, STREAMS, bearer, names, post, serving, token


@pytest.mark.long
async def test_a_stream_ends_with_its_token() -> None:
    async with serving(token_clock_skew=0.0) as site:
        # Long enough for what comes before its end, also where the machine stands still.
        shown = token(lifetime=12)
        async with site.stream(f"/v2/stream/secret?access_token={shown}") as stream:
            identifier = (await stream.frame())["id"]
            # What comes until then has an id to go on from.
            site.put("hidden", stored(5))
            message = await stream.message()
            assert message["data"]["number"] == 5
            assert message["id"] != identifier
            rest = await stream.rest()
            assert b"event: error" not in rest
        await becomes(lambda: not site.gateway.streams.sessions)
        # The reconnect of an EventSource, which sends the same address.
        response = await site.get(f"/v2/stream/secret?access_token={shown}")
        assert response.status_code == 401
        assert "expired" in response.json()["detail"]
        # With another token nothing is lost or repeated.
        last = json.dumps(message["id"])
        site.put("hidden", stored(6))
        async with site.stream("/v2/stream/secret", headers={**bearer(token()), "last-event-id": last}) as stream:
            assert await stream.numbers(1) == [6]


async def test_a_reload_ends_what_is_not_granted_any_more() -> None:
    async with serving() as site:
        before = site.gateway.current.definitions
        shown = token()
        async with (
            site.stream("/v2/stream/secret", headers=bearer(STATIC)) as static,
            site.stream("/v2/stream/secret", headers=bearer(shown)) as jwt,
            site.stream("/v2/stream/news") as public,
        ):
            for stream in (static, jwt, public):
                await stream.frame()
            # The same again interrupts nobody.
            assert await site.gateway.take(before) == []
            site.put("hidden", stored(5))
            assert await static.numbers(1) == [5]
            trust = Trust((), before.trust.key_document)
            notes = await site.gateway.take(Definitions(before.catalog, before.schemas, None, trust))
            assert notes == ["streams ended because their client may not read them any more: 1"]
            await static.rest()
            assert (await site.get("/v2/streams", headers=bearer(STATIC))).status_code == 401
            site.put("hidden", stored(6))
            site.put("news", stored(7))
            assert await jwt.numbers(2) == [5, 6]
            assert await public.numbers(1) == [7]
            # Nor may a stream be read that another set of streams hides.
            fewer = Catalog(stream for stream in STREAMS if stream.name != "newsroom")
            assert await site.gateway.take(Definitions(fewer, before.schemas, None, trust)) == []


async def test_keys_are_changed_by_a_reload() -> None:
    async with serving() as site:
        before = site.gateway.current.definitions
        new = signed(claims(int(time.time() * 1000)), "second")
        assert (await site.get("/v2/streams", headers=bearer(new))).status_code == 401
        for keys, statuses in (
            ((public_jwk("first"), public_jwk("second")), (200, 200)),
            ((public_jwk("second"),), (401, 200)),
        ):
            trust = replace(before.trust, static_tokens=(), key_document=document(*keys))
            await site.gateway.take(Definitions(before.catalog, before.schemas, None, trust))
            found = [(await site.get("/v2/streams", headers=bearer(one))).status_code for one in (token(), new)]
            assert tuple(found) == statuses


async def test_an_issuer_is_changed_by_a_reload_with_its_name_and_all_else() -> None:
    """With the keys of one and the name of another, no right token would be accepted."""
    async with serving() as site:
        before = site.gateway.current.definitions
        rules = Rules("https://new.example", "https://moved.example", ("EdDSA",), read_claim="scope")
        terms = Terms(rules, cookie="pass", needed_to_write=True)
        trust = Trust((), document(public_jwk("first"), public_jwk("ed", "OKP")), terms=terms)
        now = int(time.time() * 1000)
        named = claims(now, aud=rules.audience, iss=rules.issuer, read_streams=None, scope="secret.other")
        new = signed(named, "ed", "EdDSA")
        assert (await site.get("/v2/streams", headers=bearer(new))).status_code == 401
        assert '"pass"' not in (await site.get("/openapi.json")).text
        await site.gateway.take(replace(before, trust=trust))
        assert (await site.get("/v2/streams", headers=bearer(token()))).status_code == 401
        assert names(await site.get("/v2/streams", headers=bearer(new))) == ["news", "open", "secret.other"]
        path = "/v2/stream/secret.other?since=1&limit=1"
        assert (await site.get(path)).status_code == 404
        assert (await site.get(path, headers={"cookie": f"pass={new}"})).status_code == 200
        assert (await post(site, "open", None)).status_code == 401
        assert '"pass"' in (await site.get("/openapi.json")).text


async def test_without_keys_a_token_waits() -> None:
    async with serving() as site:
        before = site.gateway.current.definitions
        # Nobody listens there.
        trust = Trust((), key_url="http://127.0.0.1:9/keys")
        await site.gateway.take(Definitions(before.catalog, before.schemas, None, trust))
        response = await site.get("/v2/streams", headers=bearer(token()))
        assert response.status_code == 503
        assert response.headers["retry-after"] == "10"
        assert names(await site.get("/v2/streams")) == ["news", "open"]


def test_the_file_of_keys_is_read_with_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(document(public_jwk("first"), {"kty": "oct", "k": "AA"}))
    settings = Settings(jwks=str(path), **SETTINGS)
    definitions, warnings = define(Configured(settings, Catalog(STREAMS), []))
    assert definitions.trust.key_document == path.read_bytes()
    assert [token.name for token in definitions.trust.static_tokens] == ["board"]
    assert any("key 1 is not used: it is a private key" in warning for warning in warnings)
