"""Tokens at the intake: who may write."""

from __future__ import annotations

from tests.routes.intake import change
from tests.routes.tokens import STATIC, bearer, post, serving, token


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
