"""What leaves through `Outbound`, and what comes back."""

from __future__ import annotations

from gzip import compress

import httpx
import pytest

from gateway.outbound.requests import Outbound


def answer(codings: str, body: bytes) -> httpx.Response:
    """One that is not read yet."""
    return httpx.Response(200, headers={"content-encoding": codings}, stream=httpx.ByteStream(body))


@pytest.mark.parametrize("codings", ["gzip, gzip", "gzip,deflate", "identity, gzip"])
async def test_an_answer_that_is_compressed_twice_is_refused(codings: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be expanded in one piece, before anybody could count its bytes."""
    bomb = compress(compress(bytes(10_000_000)))
    answers = httpx.MockTransport(lambda _: answer(codings, bomb))

    async def transport(self: Outbound, proxy: object, *, secure: bool) -> httpx.MockTransport:
        return answers

    monkeypatch.setattr(Outbound, "_transport", transport)
    async with httpx.AsyncClient(transport=Outbound()) as client:
        with pytest.raises(httpx.DecodingError, match="more than once"):
            await client.get("http://127.0.0.1/")


async def test_an_answer_that_is_compressed_once_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = httpx.MockTransport(lambda _: answer("gzip", compress(b"x")))

    async def transport(self: Outbound, proxy: object, *, secure: bool) -> httpx.MockTransport:
        return answers

    monkeypatch.setattr(Outbound, "_transport", transport)
    async with httpx.AsyncClient(transport=Outbound()) as client:
        assert (await client.get("http://127.0.0.1/")).content == b"x"
