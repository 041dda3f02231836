"""Tokens on the public port: what they open, what does not open anything, and that nothing repeats them."""

from __future__ import annotations

import itertools
import json
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from prometheus_client import generate_latest

from gateway.access.grant import NOBODY
from gateway.definitions import Definitions
from gateway.observability import telemetry
from tests.access.kit import claims, signed
from tests.routes.intake import change
from tests.routes.kit import Site, frames, running
from tests.routes.tokens import STATIC, STREAMS, bearer, names, post, serving, token


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def site() -> AsyncIterator[Site]:
    """One for all tests that change nothing."""
    async with serving(token_cookie="token") as site:
        yield site


module = pytest.mark.asyncio(loop_scope="module")


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
            # Each of the two has a log of its own.
            own = ("date", "x-request-id", "event-gateway-log")
            headers = {name: value for name, value in response.headers.items() if name not in own}
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
        ("unknown-static-token-of-some-length", "it is unknown"),
        (token(lifetime=-60), "it has expired"),
        (token(aud="https://other.example"), "another audience"),
        (signed(claims(int(time.time() * 1000)), "stranger", kid="first"), "cannot be verified"),
        (signed(claims(int(time.time() * 1000)), "stranger"), "unknown key"),
        ("a.b.c", "not a readable JSON Web Token"),
        ("x" * 8193, "longer than 8192 bytes (token_max_bytes)"),
        ("é", "that a token cannot have"),
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
        (STATIC, "a static token is accepted in `Authorization` only"),
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
        assert response.json()["detail"] == "`access_token`: no tokens are accepted here"
        # Whatever a proxy in front wants to be shown is its own matter.
        assert names(await site.get("/v2/streams", headers=bearer("x"))) == ["news", "open"]


@pytest.mark.long
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
