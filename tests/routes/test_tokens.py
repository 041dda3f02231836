"""Tokens on the public port: what they open, what does not open anything, and that nothing repeats them."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest

from gateway import telemetry
from gateway.access.grant import NOBODY, Grant
from gateway.access.static import digest_of, read_static_tokens
from gateway.access.trust import Trust
from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.composition import define
from gateway.configuration import Configured
from gateway.definitions import VIEWS, Current, Definitions
from gateway.errors import Problem
from gateway.eventlog.memory import MemoryLog
from gateway.schemas.repository import SchemaRepository
from gateway.settings import Settings
from tests.access.kit import AUDIENCE, ISSUER, claims, document, public_jwk, signed
from tests.routes.intake import change
from tests.routes.kit import PATIENCE, Site, becomes, frames, running, stored

STREAMS = (
    Stream("news", ("news",), ("latest",)),
    Stream("open", ("open",), schema_title="wiki/change"),
    Stream("secret", ("hidden",), ("secrets", "lates"), schema_title="wiki/change", public=False),
    Stream("secret.other", ("other",), public=False),
    Stream("newsroom", ("newsroom",), public=False),
    Stream("quux.hidden", ("quux",), public=False),
)
STATIC = "static-token-of-thirty-two-characters"
TOKENS = {"board": {"sha256": digest_of(STATIC).hex(), "read": ["secret"], "write": ["secret"]}}
SETTINGS: dict[str, Any] = {"static_tokens": TOKENS, "token_audience": AUDIENCE, "token_issuer": ISSUER}


def token(lifetime: float = 60, **more: Any) -> str:
    """A good one for `secret`."""
    return signed(claims(int(time.time() * 1000), lifetime, **more))


def bearer(text: str) -> dict[str, str]:
    """The header for it."""
    return {"authorization": f"Bearer {text}"}


@asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[Site]:
    """A gateway with public and private streams, five events in each."""
    log = MemoryLog()
    for stream in STREAMS:
        for topic in stream.topics:
            log.create_topic(topic)
            log.append_now(topic, [stored(number) for number in range(5)])
    given = {**SETTINGS, **settings}
    async with running(log, STREAMS, admin=True, **given) as site:
        trust = Trust(read_static_tokens(given["static_tokens"]), document(public_jwk("first")))
        definitions = site.gateway.current.definitions
        await site.gateway.take(Definitions(definitions.catalog, definitions.schemas, None, trust))
        await becomes(lambda: site.gateway.hub.available)
        yield site


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def site() -> AsyncIterator[Site]:
    """One for all tests that change nothing."""
    async with serving(token_cookie="token") as site:
        yield site


module = pytest.mark.asyncio(loop_scope="module")


def names(response: httpx.Response) -> list[str]:
    """The streams of the catalogue."""
    return [stream["name"] for stream in response.json()]


@module
@pytest.mark.parametrize("kind", ["signed", "static"])
async def test_a_token_opens_what_it_names(site: Site, kind: str) -> None:
    shown = bearer(STATIC if kind == "static" else token())
    response = await site.get("/v2/stream/secret?since=1&limit=5", headers=shown)
    assert response.status_code == 200
    assert len(frames(response.content)) == 6
    assert (await site.get("/v2/streams/secrets", headers=shown)).json()["name"] == "secret"
    # An alias is another name for what may be seen, a glob matches nothing else.
    for path in ("secrets", "lates", "s*t", "news,secret", "*"):
        response = await site.client.head(f"/v2/stream/{path}", headers=shown)
        assert response.status_code == 200
    for path in ("secret.other", "newsroom", "secret,newsroom", "*room", "secret.*"):
        assert (await site.get(f"/v2/stream/{path}", headers=shown)).status_code == 404
    async with site.stream("/v2/stream/*", headers=shown) as stream:
        topics = {entry["topic"] for entry in (await stream.frame())["id"]}
        assert topics == {"news", "open", "hidden"}


@module
async def test_the_catalogue_lists_what_may_be_seen(site: Site) -> None:
    without = await site.get("/v2/streams")
    assert names(without) == ["news", "open"]
    assert "vary" not in without.headers
    with_token = await site.get("/v2/streams", headers=bearer(token()))
    assert names(with_token) == ["news", "open", "secret"]
    one = await site.get("/v2/streams/secret", headers=bearer(token()))
    for response in (with_token, one):
        assert response.headers["cache-control"] == "private, no-store"
        assert response.headers["vary"] == "authorization"
    everything = await site.get("/v2/streams", headers=bearer(token(read_streams=["*"])))
    assert names(everything) == [stream.name for stream in STREAMS]


async def test_public_answers_are_as_without_tokens() -> None:
    """A gateway that takes tokens answers those who show none as one that takes none."""
    paths = ["/v2/streams", "/v2/streams/news", "/v2/stream/news?since=1&limit=2", "/v2/stream/secret"]
    paths += ["/v2/streams/secret", "/readyz", "/v2/stream/secrte", "/"]

    async def answers(site: Site) -> list[tuple[Any, ...]]:
        found = []
        for path in paths:
            response = await site.get(path)
            headers = {name: value for name, value in response.headers.items() if name not in ("date", "x-request-id")}
            found.append((path, response.status_code, headers, response.text.replace(str(site.port), "PORT")))
        return found

    async with serving() as with_tokens:
        found = await answers(with_tokens)
    async with serving() as without:
        definitions = without.gateway.current.definitions
        await without.gateway.take(Definitions(definitions.catalog, definitions.schemas))
        assert found == await answers(without)


@module
async def test_what_one_may_not_see_is_as_what_does_not_exist(site: Site) -> None:
    shown = bearer(token(read_streams=["secret.other"]))
    for headers, method, path in itertools.product(
        ({}, shown),
        ("GET", "HEAD", "POST"),
        ("/v2/stream/{}", "/v2/streams/{}", "/v2/stream/news,{}", "/v2/stream/{}?x=1"),
    ):
        answers = []
        for name in ("quux.hidden", "quux.absent"):
            response = await site.client.request(method, path.format(name), headers=headers)
            kept = {key: value for key, value in response.headers.items() if key not in ("date", "x-request-id")}
            answers.append((response.status_code, kept, response.text.replace(name, "NAME")))
        assert answers[0] == answers[1]
        assert answers[0][0] in (404, 405)
    # Guesses never lead to what is hidden.
    detail = (await site.get("/v2/stream/newsroon", headers=shown)).json()["detail"]
    assert "newsroom" not in detail
    assert "secret.other" in (await site.get("/v2/stream/secret.othe", headers=shown)).json()["detail"]


@module
async def test_the_time_of_an_answer_does_not_depend_on_what_is_hidden(site: Site) -> None:
    """Both are answered by a look into the same dictionary, in which neither name is."""
    visible = site.gateway.current.readable(NOBODY)
    assert visible.get("newsroom") is None
    assert visible.get("nonsuchs") is None
    assert set(visible._by_any_name) == {"news", "latest", "open"}


@module
@pytest.mark.parametrize(
    "path", ["/v2/stream/news", "/v2/stream/secret", "/v2/stream/nothing", "/v2/streams", "/v2/streams/news"]
)
@pytest.mark.parametrize(
    ("shown", "why"),
    [
        ("unknown-static-token-of-some-length", "nobody here knows it"),
        (token(lifetime=-60), "it has expired"),
        (token(aud="https://other.example"), "another audience"),
        (signed(claims(int(time.time() * 1000)), "stranger", kid="first"), "cannot be verified"),
        (signed(claims(int(time.time() * 1000)), "stranger"), "not known"),
        ("a.b.c", "no JSON Web Token"),
        ("x" * 8193, "longer than 8192 bytes (token_max_bytes)"),
        ("é", "cannot stand in a token"),
    ],
)
async def test_a_bad_token_is_told(site: Site, path: str, shown: str, why: str) -> None:
    response = await site.get(path, headers=[(b"authorization", b"Bearer " + shown.encode())])
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["access-control-allow-origin"] == "*"
    assert response.headers["cache-control"] == "no-store"
    document = response.json()
    assert (document["status"], document["title"]) == (401, "Unauthorized")
    assert why in document["detail"]
    assert shown not in response.text


@module
async def test_more_than_one_token_is_a_bad_request(site: Site) -> None:
    twice = [("authorization", f"Bearer {STATIC}")] * 2
    for path, headers in (
        ("/v2/stream/news", twice),
        ("/v2/streams", twice),
        (f"/v2/stream/news?access_token={token()}&access_token={token()}", []),
        (f"/v2/stream/news?access_token={token()}", [("authorization", f"Bearer {token()}")]),
    ):
        response = await site.get(path, headers=headers)
        assert response.status_code == 400
        assert response.headers["www-authenticate"] == 'Bearer error="invalid_request"'


@module
async def test_other_pages_do_not_look_at_tokens(site: Site) -> None:
    for path in ("/", "/healthz", "/v2/schemas", "/explorer/rates", "/nothing"):
        plain = await site.get(path)
        response = await site.get(f"{path}?access_token=x", headers=bearer("bad token"))
        assert response.status_code == plain.status_code


@module
async def test_eventsource_shows_its_token_in_the_address(site: Site) -> None:
    """EventSource sends no headers; what it has is the address, also when it comes back."""
    shown = token()
    path = f"/v2/stream/secret?since=1&access_token={shown}"
    async with site.stream(path) as stream:
        messages = [await stream.message() for _ in range(3)]
    assert [message["data"]["number"] for message in messages] == [0, 1, 2]
    async with site.stream(path, headers={"last-event-id": json.dumps(messages[-1]["id"])}) as stream:
        assert await stream.numbers(2) == [3, 4]


@module
async def test_a_token_in_a_cookie_opens_streams(site: Site) -> None:
    cookie = {"cookie": f"a=b; token={token()}"}
    path = "/v2/stream/secret?since=1&limit=1"
    assert (await site.get(path, headers=cookie)).status_code == 200
    assert (await site.get(path, headers={**cookie, "sec-fetch-site": "same-origin"})).status_code == 200
    # What another site has caused is answered as without it.
    for other in ("cross-site", "same-site"):
        assert (await site.get(path, headers={**cookie, "sec-fetch-site": other})).status_code == 404
    # No answer may be read with credentials from elsewhere.
    response = await site.get(path, headers={**cookie, "origin": "https://evil.example"})
    assert response.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in response.headers
    # The catalogue takes none.
    assert names(await site.get("/v2/streams", headers=cookie)) == ["news", "open"]


@module
async def test_what_is_long_lived_is_not_taken_from_an_address(site: Site) -> None:
    for shown, why in (
        (token(lifetime=301), "at most 300 s"),
        (token(iat=None), "when it was issued"),
        (STATIC, "a static token is taken from `Authorization` alone"),
    ):
        for path, headers in (
            (f"/v2/stream/secret?access_token={shown}", {}),
            ("/v2/stream/secret", {"cookie": f"token={shown}"}),
        ):
            response = await site.get(path, headers=headers)
            assert response.status_code == 401
            assert why in response.json()["detail"]
    # Elsewhere a token in the address is as if it were not there.
    assert names(await site.get(f"/v2/streams?access_token={token()}")) == ["news", "open"]
    assert (
        await site.client.post(f"/v1/events?access_token={token()}", json=change(stream="secret"))
    ).status_code == 400


async def test_a_gateway_without_tokens_says_so() -> None:
    async with running(streams=STREAMS) as site:
        response = await site.get(f"/v2/stream/news?access_token={token()}")
        assert response.status_code == 400
        assert response.json()["detail"] == "`access_token`: no tokens are taken here"
        # Whatever a proxy in front wants to be shown is its own matter.
        assert names(await site.get("/v2/streams", headers=bearer("x"))) == ["news", "open"]


async def test_a_stream_ends_with_its_token() -> None:
    async with serving(token_clock_skew=0.0) as site:
        shown = token(lifetime=2)
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
            assert notes == ["streams that were ended, since their client may not read them any more: 1"]
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
            trust = Trust((), document(*keys))
            await site.gateway.take(Definitions(before.catalog, before.schemas, None, trust))
            found = [(await site.get("/v2/streams", headers=bearer(one))).status_code for one in (token(), new)]
            assert tuple(found) == statuses


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


async def post(site: Site, stream: str, shown: str | None) -> httpx.Response:
    headers = {} if shown is None else bearer(shown)
    async with asyncio.timeout(PATIENCE):
        return await site.client.post("/v1/events", json=change(stream=stream), headers=headers)


async def test_writing_to_private_streams_takes_a_token() -> None:
    async with serving() as site:
        writer = token(read_streams=None, write_streams=["secret"])
        assert (await post(site, "open", None)).status_code == 201
        assert (await post(site, "open", writer)).status_code == 201
        assert (await post(site, "secret", writer)).status_code == 201
        assert (await post(site, "secret", STATIC)).status_code == 201
        # A right to read is none to write, and the other way round.
        for stream, shown in (("secret", None), ("secret", token()), ("secret.other", writer), ("nothing", writer)):
            response = await post(site, stream, shown)
            assert response.status_code == 400
            detail = response.json()["invalid"][0]["detail"]
            assert f'"{stream}"' in detail
        assert (await site.get("/v2/stream/secret", headers=bearer(writer))).status_code == 404
        assert (await post(site, "open", "bad")).status_code == 401


async def test_an_intake_may_need_a_token() -> None:
    async with serving(intake_token="required") as site:
        response = await post(site, "open", None)
        assert response.status_code == 401
        # RFC 6750 section 3.1: no error code where no token was shown.
        assert response.headers["www-authenticate"] == "Bearer"
        assert (await post(site, "open", token(write_streams=["open"]))).status_code == 201
        for shown in (token(), STATIC, token(write_streams=["secret"])):
            response = await post(site, "open", shown)
            assert response.status_code == 400
            assert 'no stream "open"' in response.json()["invalid"][0]["detail"]
        # On the admin port nobody is asked for one.
        response = await site.admin.post("/v1/events", json=change(stream="secret"))
        assert response.status_code == 201
        # The others of a request are stored.
        events = [change(stream="open"), change(stream="secret")]
        response = await site.client.post("/v1/events", json=events, headers=bearer(STATIC))
        assert response.status_code == 207
        assert [entry["index"] for entry in response.json()["invalid"]] == [0]


async def test_no_token_is_repeated_anywhere(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the log of requests, in messages, in answers, in /metrics; not even where the gateway makes a mistake."""
    caplog.set_level(logging.DEBUG)
    good, expired, mark = token(), token(lifetime=-60), "f0rged-t0ken-mark"
    tokens = [good, expired, STATIC, mark, signed(claims(int(time.time() * 1000)), "stranger")]
    texts: list[str] = []
    async with serving(access_log=True, token_cookie="token") as site:
        paths = [
            "/v2/stream/news?limit=1&since=1&",
            "/v2/stream/secret?limit=1&since=1&",
            "/v2/streams?",
            "/v1/events?",
        ]
        paths += ["/?", "/nothing?", "/v2/streams/x?", "/v2/stream/%zz?", "/v2/stream/x?unknown=1&"]
        for shown, path in itertools.product(tokens, paths):
            for address in (f"{path}access_token={shown}", f"{path}%61ccess_token={shown}&a=b"):
                response = await site.get(address)
                texts += [response.text, str(response.headers)]
            response = await site.get(path, headers={**bearer(shown), "cookie": f"token={shown}"})
            texts += [response.text, str(response.headers)]
        await post(site, "open", mark)

        def broken(*_: Any) -> Any:
            raise RuntimeError("a mistake")

        monkeypatch.setattr("gateway.routes.streams.read_request", broken)
        monkeypatch.setattr(site.gateway.gate, "_verified", broken)
        for address, headers in (
            (f"/v2/stream/secret?access_token={good}", {}),
            ("/v2/stream/secret", bearer(good)),
            ("/v2/streams", bearer(good)),
        ):
            response = await site.get(address, headers=headers)
            assert response.status_code == 500
            texts.append(response.text)
        texts.append((await site.admin.get("/metrics")).text)
    texts += [generate_latest(telemetry.registry).decode()]
    said = [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore", "asyncio"))]
    formatter = logging.Formatter("%(name)s %(message)s")
    texts += [formatter.format(record) for record in said]
    assert any("uvicorn.access" in text and "/v2/stream/news?limit=1&since=1" in text for text in texts)
    assert any("a mistake" in text and "Traceback" in text for text in texts)
    for text, shown in itertools.product(texts, tokens):
        assert shown not in text
        # Nor a part of it: the signature is what makes it one.
        assert shown.rpartition(".")[2][:20] not in text


NAMES = st.text("ab.*?", min_size=1, max_size=4)
GLOBS = st.lists(NAMES, max_size=3).map(tuple)


@given(
    st.dictionaries(st.text("ab.", min_size=1, max_size=3), st.booleans(), min_size=1),
    GLOBS,
    st.lists(NAMES, min_size=1),
)
def test_names_lead_to_nothing_that_is_not_granted(
    public: dict[str, bool], globs: tuple[str, ...], asked: list[str]
) -> None:
    streams = [Stream(name, (name,), public=shown) for name, shown in public.items()]
    current = Current(Definitions(Catalog(streams), SchemaRepository([])))
    visible = current.readable(Grant(read=globs))
    alone = Catalog(stream for stream in streams if stream.public or any(_means(glob, stream.name) for glob in globs))

    def outcome(catalog: Catalog) -> object:
        try:
            return [stream.name for stream in catalog.resolve(",".join(asked))]
        except Problem as problem:
            return problem.document()

    assert list(visible.streams) == list(alone.streams)
    assert outcome(visible) == outcome(alone)
    writable = current.writable(Grant(write=globs, writes_public=False))
    assert set(writable.streams) == {name for name in public if any(_means(glob, name) for glob in globs)}


def _means(glob: str, name: str) -> bool:
    """Another way to match."""
    if not glob:
        return not name
    if glob[0] == "*":
        return _means(glob[1:], name) or (bool(name) and _means(glob, name[1:]))
    return bool(name) and glob[0] in ("?", name[0]) and _means(glob[1:], name[1:])


def test_catalogues_are_made_once_and_not_without_end() -> None:
    current = Current(Definitions(Catalog(STREAMS), SchemaRepository([])))
    assert current.readable(NOBODY) is current.public_catalog
    assert current.readable(Grant(read=("*",))) is current.catalog
    assert current.readable(Grant(read=("nothing",))) is current.public_catalog
    secret = current.readable(Grant(read=("secret",)))
    assert current.readable(Grant(read=("secret",), expires=5)) is secret
    assert current.readable(Grant(read=("s?cret",))) is secret
    for number in range(3 * VIEWS):
        current.readable(Grant(read=(f"nothing-{number}",)))
        assert len(current._views) <= VIEWS
    current.replace(Definitions(Catalog(STREAMS[:1]), SchemaRepository([])))
    assert list(current.readable(Grant(read=("*",))).streams) == ["news"]


def test_the_file_of_keys_is_read_with_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(document(public_jwk("first"), {"kty": "oct", "k": "AA"}))
    settings = Settings(jwks=str(path), **SETTINGS)
    definitions, warnings = define(Configured(settings, Catalog(STREAMS), []))
    assert definitions.trust.key_document == path.read_bytes()
    assert [token.name for token in definitions.trust.static_tokens] == ["board"]
    assert any("key 1 is not used: it is secret" in warning for warning in warnings)
