"""Requests that go past the layers: what those layers do is done all the same for those that need it."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from gateway.routes.shortcut import Shortcut


class Named:
    """An application that tells that it was asked."""

    def __init__(self, name: str, asked: list[tuple[str, object]]) -> None:
        self._name = name
        self._asked = asked

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._asked.append((self._name, scope.get("path_params")))


async def _nothing(*_: object) -> Any:
    raise AssertionError


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("POST", "/v1/events", b"", ("events", None)),
        ("POST", "/v1/events", b"hasty=true", ("layers", None)),
        ("OPTIONS", "/v1/events", b"", ("layers", None)),
        ("GET", "/v2/stream/a,b/c", b"", ("streams", {"streams": "a,b/c"})),
        ("GET", "/v2/stream/", b"", ("streams", {"streams": ""})),
        ("GET", "/v2/stream/a", b"access_token=x", ("layers", None)),
        ("HEAD", "/v2/stream/a", b"", ("layers", None)),
        ("OPTIONS", "/v2/stream/a", b"", ("layers", None)),
        ("GET", "/v2/streams", b"", ("layers", None)),
        ("GET", "/v2/stream", b"", ("layers", None)),
    ],
)
async def test_who_goes_past_the_layers(method: str, path: str, query: bytes, expected: tuple[str, object]) -> None:
    asked: list[tuple[str, object]] = []
    shortcut = Shortcut(*(Named(name, asked) for name in ("layers", "streams", "events")))  # type: ignore[arg-type]
    scope: Scope = {"type": "http", "method": method, "path": path, "query_string": query}
    await shortcut(scope, _nothing, _nothing)
    assert asked == [expected]


async def test_without_an_intake_its_path_is_one_like_others() -> None:
    asked: list[tuple[str, object]] = []
    shortcut = Shortcut(Named("layers", asked), Named("streams", asked), None)  # type: ignore[arg-type]
    await shortcut({"type": "http", "method": "POST", "path": "/v1/events", "query_string": b""}, _nothing, _nothing)
    await shortcut({"type": "lifespan"}, _nothing, _nothing)
    assert [name for name, _ in asked] == ["layers", "layers"]
