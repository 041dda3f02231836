"""The address by which clients know the gateway."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.limits.networks import Networks
from gateway.routes.peer import FORWARDED, X_FORWARDED_FOR, public_address
from gateway.settings.table import BY_KEY
from gateway.settings.values import converted
from tests.routes.kit import running

PROXIES = ("127.0.0.0/8",)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], (None, None)),
        ([(b"x-forwarded-proto", b"https"), (b"x-forwarded-host", b"a.example")], ("https", b"a.example")),
        ([(b"x-forwarded-proto", b"HTTPS")], ("https", None)),
        ([(b"x-forwarded-proto", b"http, https"), (b"x-forwarded-host", b"a, b")], ("https", b"b")),
        ([(b"x-forwarded-proto", b"http"), (b"x-forwarded-proto", b"https")], ("https", None)),
        ([(b"x-forwarded-proto", b"javascript"), (b"x-forwarded-host", b"a/b")], (None, None)),
        ([(b"forwarded", b"proto=https;host=a.example")], (None, None)),
    ],
)
def test_what_a_proxy_tells(headers: list[tuple[bytes, bytes]], expected: tuple[str | None, bytes | None]) -> None:
    trusted = Networks(["10.0.0.0/8"])
    scope: dict[str, Any] = {"client": ("10.1.1.1", 1), "headers": headers}
    assert public_address(scope, trusted, X_FORWARDED_FOR) == expected
    assert public_address(scope | {"client": ("11.1.1.1", 1)}, trusted, X_FORWARDED_FOR) == (None, None)


def test_what_a_proxy_tells_by_the_standard() -> None:
    trusted = Networks(["10.0.0.0/8"])
    value = b'proto=gopher;host=x, for=1.2.3.4;Proto=https;host="a.example:8443"'
    scope: dict[str, Any] = {
        "client": ("10.1.1.1", 1),
        "headers": [(b"forwarded", value), (b"x-forwarded-proto", b"http")],
    }
    assert public_address(scope, trusted, FORWARDED) == ("https", b"a.example:8443")


@pytest.mark.parametrize("path", ["/v2/streams", "/v2/streams/page.edit", "/asyncapi.json", "/docs"])
async def test_documents_hold_that_address(path: str) -> None:
    told = {"host": "inside", "x-forwarded-proto": "https", "x-forwarded-host": "a.example"}
    async with running(trusted_proxies=PROXIES) as site:
        text = (await site.get(path, headers=told)).text
        assert "https://a.example" in text or ('"host":"a.example"' in text and '"protocol":"https"' in text)
    async with running() as site:
        assert "a.example" not in (await site.get(path, headers=told)).text
    async with running(public_url="https://b.example/gateway", trusted_proxies=PROXIES) as site:
        text = (await site.get(path, headers=told)).text
        assert "b.example" in text
        assert "a.example" not in text
        assert "//inside" not in text


async def test_a_path_of_the_public_address_is_part_of_links() -> None:
    async with running(public_url="https://b.example/gateway/") as site:
        assert '"https://b.example/gateway/v2/schemas/page/edit/latest"' in (await site.get("/v2/streams")).text
        assert (await site.get("/openapi.json")).json()["servers"] == [{"url": "/gateway"}]
        assert 'href="openapi.json"' in (await site.get("/docs")).text


@pytest.mark.parametrize(
    "url", ["b.example", "ftp://b.example", "https://", "https://u@b.example", "https://b.example?x=1"]
)
def test_what_is_no_address_is_a_mistake(url: str) -> None:

    with pytest.raises(ValueError, match="public_url"):
        converted(BY_KEY["public_url"], url)
