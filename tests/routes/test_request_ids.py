"""Requests have names, and what a line of the log says of them names nobody."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.observability.logs import configure_logging
from tests.kit.waiting import becomes
from tests.routes.kit import running


@pytest.fixture
def lines(tmp_path: Path) -> Iterator[Callable[[], str]]:
    """What is logged."""
    with (tmp_path / "log").open("wb", 0) as file:
        output = configure_logging("json", "info", file.fileno())

        def written() -> str:
            output.flush()
            return (tmp_path / "log").read_text()

        yield written
        output.flush()
        logging.captureWarnings(False)


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


async def test_no_line_tells_who_it_was(lines: Callable[[], str]) -> None:
    async with running(access_log=True) as site:
        headers = {"authorization": "Bearer secret-1", "cookie": "a=secret-2", "x-request-id": "mine-7"}
        await site.get("/v2/streams?access_token=secret-3&x=secret-4", headers=headers)
        await becomes(lambda: "/v2/streams" in lines())
    assert "GET /v2/streams HTTP/1.1" in lines()
    assert '"request":"mine-7"' in lines()
    assert "secret" not in lines()
    assert "127.0.0.1" not in lines()
