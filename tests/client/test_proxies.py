"""The client and the environment: who refuses is named, and what is wrong is told by its variable."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from unittest.mock import patch

import pytest

from gateway.client import BlockingProducer, ClientError, Producer, ProducerOptions, Refused, State, Subscription
from gateway.client.fetch import fetch
from tests.client.raw import STREAM, head, serve

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
END = b'event: message\ndata: {"n":1}\n\nevent: end\ndata: {"reason":"until"}\n\n'
EVENT = b'{"n":1}'
HALF_A_SECOND = ProducerOptions(patience=0.5)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, *map(str.upper, VARIABLES), "SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"):
        monkeypatch.delenv(name, raising=False)


class Enough(Exception):
    """Ends a subscription that would try again."""


async def read(url: str) -> list[bytes]:
    """The events of a stream; the first wait ends it, by Enough with its reason."""

    def stop(state: State) -> None:
        if state.name == "waiting":
            raise Enough(state.reason)

    return [event.data async for batch in Subscription(url, on_state=stop).batches() for event in batch]


async def closed_port() -> int:
    async with serve(b"") as server:
        return server.port


async def test_a_stream_is_read_by_way_of_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve(head(STREAM, "connection: close") + END) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://user:p%40ss@127.0.0.1:{proxy.port}")
        assert await read("http://gateway.test/v2/stream/t") == [EVENT]
    assert proxy.heads[0].startswith(b"GET http://gateway.test/v2/stream/t HTTP/1.1\r\n")
    assert proxy.header(0, "proxy-authorization") == "Basic " + base64.b64encode(b"user:p@ss").decode()


async def test_what_no_proxy_names_is_asked_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "fd00::/8, ::1, 127.0.0.0/8")
    async with serve(head(STREAM, "connection: close") + END) as server:
        assert await read(f"{server.address}/s") == [EVENT]


async def test_a_proxy_that_is_not_there_is_named_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    port = await closed_port()
    monkeypatch.setenv("ALL_PROXY", f"http://me:secret@127.0.0.1:{port}")
    said = f"no connection to the proxy http://127.0.0.1:{port} (ALL_PROXY): Connection refused"
    for scheme in ("http", "https"):
        with pytest.raises(Enough) as waited:
            await read(f"{scheme}://gateway.test/s")
        assert str(waited.value) == said
    async with Producer("http://gateway.test", HALF_A_SECOND) as producer:
        with pytest.raises(ClientError) as given_up:
            await producer.send(EVENT)
    assert said in str(given_up.value)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_wants_a_password_is_named(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    async with serve(head("content-length: 0", status="407 Proxy Authentication Required")) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.address)
        said = f"{scheme}://gateway.test/s: the proxy {proxy.address} (ALL_PROXY) refuses: 407, it wants a name and"
        with pytest.raises(ClientError) as refused:
            await read(f"{scheme}://gateway.test/s")
        assert str(refused.value).startswith(said)
        async with Producer(f"{scheme}://gateway.test") as producer:
            with pytest.raises(ClientError, match=r"v1/events: the proxy .* refuses: 407"):
                await producer.send(EVENT)


async def test_a_proxy_that_does_not_connect_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve(head("content-length: 0", status="403 Forbidden")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.address)
        with pytest.raises(ClientError) as refused:
            await read("https://gateway.test/s")
        assert str(refused.value) == (
            f"https://gateway.test/s: the proxy {proxy.address} (HTTPS_PROXY) refuses: 403 Forbidden"
        )
        assert proxy.heads[0].startswith(b"CONNECT gateway.test:443 ")


async def test_a_proxy_that_does_not_reach_the_server_may_do_so_later(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve(head("content-length: 0", status="503 Service Unavailable")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.address)
        with pytest.raises(Enough, match=r"^the proxy .* refuses: 503 Service Unavailable$"):
            await read("https://gateway.test/s")


async def test_what_a_proxy_may_have_said_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve(head("content-length: 0", status="403 Forbidden")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.address)
        with pytest.raises(Refused) as refused:
            await read("http://gateway.test/s")
        assert str(refused.value) == (
            f"http://gateway.test/s answered 403: Forbidden (by way of the proxy {proxy.address} (HTTP_PROXY))"
        )


async def test_a_server_without_tls_behind_a_proxy_is_not_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head(status="200 Connection established"))
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with serve(connect) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.address)
        with pytest.raises(Enough, match=r"^no connection by way of the proxy .* \(HTTPS_PROXY\): "):
            await read("https://gateway.test/s")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ALL_PROXY", "socks://me:secret@127.0.0.1:1080", "ALL_PROXY=socks://127.0.0.1:1080: "),
        ("HTTPS_PROXY", "gopher://me:secret@h", "HTTPS_PROXY=gopher://h: "),
        ("https_proxy", "http://me:sec/ret@h:1", "https_proxy=http://h:1: "),
        ("HTTPS_PROXY", "http://☃.test:1", "(HTTPS_PROXY) has no address"),
        ("SSL_CERT_FILE", "/gone/ca.pem", "SSL_CERT_FILE=/gone/ca.pem: No such file"),
        ("SSL_CERT_DIR", "/gone", "SSL_CERT_DIR=/gone: No such file"),
    ],
)
def test_what_is_wrong_is_told_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ClientError) as told:
        asyncio.run(read("https://127.0.0.1:1/s"))
    with BlockingProducer("https://127.0.0.1:1") as producer, pytest.raises(ClientError) as sent:
        producer.send(EVENT)
    for error in (told, sent):
        assert said in str(error.value)
        assert "sec" not in str(error.value)
    assert asyncio.run(fetch("https://127.0.0.1:1/schema", 1, 5.0)) is None


async def test_what_nobody_needs_may_be_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "nonsense://")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "gone"))
    async with serve(head(STREAM, "connection: close") + END) as server:
        assert await read(f"{server.address}/s") == [EVENT]


async def test_the_proxy_is_chosen_for_each_address_that_a_redirect_names(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve(head(STREAM, "connection: close") + END) as server:
        elsewhere = head(f"location: {server.address}/s", "content-length: 0", status="302 Found")
        async with serve(elsewhere) as proxy:
            monkeypatch.setenv("HTTP_PROXY", proxy.address)
            monkeypatch.setenv("NO_PROXY", "127.0.0.1")
            assert await read("http://gateway.test/s") == [EVENT]


async def test_a_producer_says_it_of_each_event_and_goes_on() -> None:
    named = {"ALL_PROXY": "socks://127.0.0.1:1"}
    with patch.dict("os.environ", named):
        async with Producer("http://gateway.test") as producer:
            for _ in range(2):
                with pytest.raises(ClientError, match="ALL_PROXY=socks"):
                    await producer.send(EVENT)
