"""Tokens with a gateway of two processes: an EventSource whose token expires again and again, and keys that change."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.access.static import digest_of
from tests.access.kit import AUDIENCE, ISSUER, claims, document, public_jwk, signed
from tests.end_to_end.conftest import Launch, Report
from tests.end_to_end.process import WAIT, GatewayProcess, configuration, eventually, run

pytestmark = pytest.mark.end_to_end

WRITER = "writer-token-of-thirty-two-characters"
LIFETIME = 2
LAST = -1
"""The number of events that are sent until they are refused."""
PACE = 0.02
"""Seconds between two events."""


class Issuer:
    """Serves a key set, and signs tokens with the newest key."""

    def __init__(self) -> None:
        self.key = "first"
        self.away = False
        self.asked = 0
        self.tokens: list[str] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        body = document(public_jwk(self.key))
        status = b"503 Service Unavailable" if self.away else b"200 OK"
        writer.write(b"HTTP/1.1 %b\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body))
        writer.close()

    def token(self) -> str:
        self.tokens.append(signed(claims(int(time.time() * 1000), LIFETIME, read_streams=["secret"]), self.key))
        return self.tokens[-1]


@pytest.fixture
async def issuer() -> AsyncIterator[tuple[Issuer, str]]:
    """An issuer, and where its keys are."""
    issuer = Issuer()
    async with await asyncio.start_server(issuer.answer, "127.0.0.1", 0) as server:
        yield issuer, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys"


class Source:
    """An EventSource, and the page that gives it another token when it has given up."""

    def __init__(self, gateway: GatewayProcess, issuer: Issuer) -> None:
        self._gateway = gateway
        self._issuer = issuer
        self.numbers: list[int] = []
        self.statuses: list[int] = []
        self.last_id = ""

    async def run(self) -> None:
        async with httpx.AsyncClient(base_url=self._gateway.address, timeout=WAIT, trust_env=False) as client:
            while True:
                # Of an EventSource that reconnects the address stays the same; only a new one has another.
                shown = self._issuer.token()
                while await self._connect(client, shown) == 200:
                    pass

    async def _connect(self, client: httpx.AsyncClient, shown: str) -> int:
        query = {"access_token": shown, "last_event_id": self.last_id} if self.last_id else {"access_token": shown}
        async with client.stream("GET", "/v2/stream/secret", params=query) as response:
            self.statuses.append(response.status_code)
            if response.status_code != 200:
                await response.aread()
                return response.status_code
            async for line in response.aiter_lines():
                name, _, value = line.partition(": ")
                if name == "id":
                    self.last_id = value
                elif name == "data" and "n" in (event := json.loads(value)):
                    self.numbers.append(event["n"])
        return 200


async def test_a_token_that_expires_loses_nothing(
    gateways: Launch, tmp_path: Path, issuer: tuple[Issuer, str], report: Report
) -> None:
    keys, url = issuer
    (tmp_path / "schemas" / "thing").mkdir(parents=True)
    (tmp_path / "schemas" / "thing" / "1.0.0.json").write_text('{"type": "object"}')
    streams = {"secret": {"public": False, "schema_title": "thing"}, "news": {}}
    settings: dict[str, Any] = {
        "schema_repositories": [str(tmp_path / "schemas")],
        "jwks": url,
        "token_issuer": ISSUER,
        "token_audience": AUDIENCE,
        "token_clock_skew": 0,
        "intake_token": "required",
        "static_tokens": {"writer": {"sha256": digest_of(WRITER).hex(), "write": ["secret"]}},
        "access_log": True,
        "log_level": "debug",
    }
    config = configuration(tmp_path, streams, **settings)
    log = f"sqlite:///{tmp_path / 'events.db'}"
    gateway = gateways("--config", str(config), "--log", log, "--workers", "2")
    await gateway.start()
    began = time.monotonic()
    source = Source(gateway, keys)
    reading = asyncio.create_task(source.run())
    await eventually(lambda: _is(bool(source.last_id)), "the stream is open")
    sent = 0

    async def write(client: httpx.AsyncClient, seconds: float) -> None:
        nonlocal sent
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            event = {"$schema": "/thing/1.0.0", "meta": {"stream": "secret"}, "n": sent}
            response = await client.post("/v1/events", json=event)
            assert response.status_code == 201, response.text
            sent += 1
            await asyncio.sleep(PACE)

    headers = {"authorization": f"Bearer {WRITER}"}
    async with httpx.AsyncClient(base_url=gateway.address, headers=headers, timeout=WAIT, trust_env=False) as client:
        await write(client, LIFETIME * 1.2)
        # The issuer is away: its keys are still known.
        keys.away = True
        await write(client, LIFETIME * 1.2)
        # Another key, which a reload makes known at once; and the address may change with it.
        keys.away, keys.key = False, "second"
        configuration(tmp_path, streams, **{**settings, "jwks": f"{url}?second"})
        os.kill(gateway.pid, signal.SIGHUP)
        await write(client, LIFETIME * 1.2)
        await eventually(lambda: _is(source.numbers[-1:] == [sent - 1]), "the last event")
        # A writer that the configuration names no more.
        configuration(tmp_path, streams, **{**settings, "jwks": f"{url}?second", "static_tokens": {}})
        os.kill(gateway.pid, signal.SIGHUP)

        async def refused() -> bool:
            event = {"$schema": "/thing/1.0.0", "meta": {"stream": "secret"}, "n": LAST}
            return (await client.post("/v1/events", json=event)).status_code == 401

        await eventually(refused, "the writer is refused")
        # Where each answer takes a second, fewer have expired by now.
        await eventually(lambda: _is(source.statuses.count(401) >= 2), "two tokens have expired")
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    numbers = [number for number in source.numbers if number != LAST]
    lost, repeated = sent - len(set(numbers)), len(numbers) - len(set(numbers))
    report("a token expires, its keys change", sent, lost, repeated, 0, time.monotonic() - began)
    assert (lost, repeated) == (0, 0)
    assert numbers == sorted(numbers)
    assert set(source.statuses) == {200, 401}
    await gateway.stop()
    said = gateway.errors + gateway.output
    assert '"GET /v2/stream/secret' in said
    for token in [*keys.tokens, WRITER]:
        assert token not in said
        assert token.rpartition(".")[2][:20] not in said


async def _is(value: bool) -> bool:
    return value


def test_check_names_what_is_wrong_with_tokens(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    config = configuration(tmp_path, {"news": {}}, jwks=str(keys), token_issuer="i", token_audience="a")
    for content, told in (
        (None, "the file cannot be read (no such file or directory); jwks names it"),
        (b"{}", "it is not a key set (RFC 7517)"),
        (document({"kty": "oct", "k": "c2VjcmV0"}), "it is a private key; replace it, and publish only public keys"),
    ):
        if content is not None:
            keys.write_bytes(content)
        result = run(["check", "--config", str(config)])
        assert result.returncode == 1
        assert result.stdout.startswith(f"{keys}: ")
        assert told in result.stdout
    keys.write_bytes(document(public_jwk("first")))
    assert run(["check", "--config", str(config)]).returncode == 0
    configuration(tmp_path, {"news": {}}, static_tokens={"a": {"sha256": WRITER}}, token_algorithms=["HS256"])
    result = run(["check", "--config", str(config)])
    assert result.returncode == 1
    assert WRITER not in result.stdout + result.stderr
    assert "static_tokens: a: sha256 takes 64 hexadecimal digits" in result.stdout
    assert 'token_algorithms names "HS256"' in result.stdout
