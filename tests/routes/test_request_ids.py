"""Requests have names, and what a line of the log says of them names nobody."""

from __future__ import annotations

import io
import sys

import pytest

from gateway.logs import configure_logging
from gateway.settings import Settings
from tests.routes.kit import becomes, running


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is logged."""
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    configure_logging(Settings(log_format="json"))
    return written


async def test_the_name_comes_back() -> None:
    async with running(admin=True) as site:
        for path in ("/healthz", "/nothing", "/v2/stream/nothing"):
            answer = await site.get(path, headers={"x-request-id": "mine 1"})
            assert answer.headers.get_list("x-request-id") == ["mine 1"]
        made = [(await site.get("/healthz", headers=headers)).headers["x-request-id"]
                for headers in ({}, {"x-request-id": "x" * 257}, {"x-request-id": b"\xff"})]  # fmt: skip
        assert len({*made}) == 3
        assert {len(one) for one in made} == {36}
        async with site.stream("/v2/stream/empty", headers={"x-request-id": "of a stream"}) as stream:
            assert stream.headers["x-request-id"] == "of a stream"


async def test_no_line_tells_who_it_was(lines: io.StringIO) -> None:
    async with running(access_log=True) as site:
        headers = {"authorization": "Bearer secret-1", "cookie": "a=secret-2", "x-request-id": "mine-7"}
        await site.get("/v2/streams?access_token=secret-3&x=secret-4", headers=headers)
        await becomes(lambda: "/v2/streams" in lines.getvalue())
    assert "GET /v2/streams HTTP/1.1" in lines.getvalue()
    assert '"request":"mine-7"' in lines.getvalue()
    assert "secret" not in lines.getvalue()
    assert "127.0.0.1" not in lines.getvalue()
