"""Tokens of OAUTHBEARER: where they come from, how long they are kept, and what is said where there is none."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiokafka.errors import IllegalSaslStateError, KafkaConnectionError, SaslAuthenticationFailed

from gateway.eventlog.kafka import tokens
from gateway.eventlog.kafka.calls import reason
from gateway.eventlog.kafka.connection import BrokerConnection
from gateway.eventlog.kafka.mismatches import explained
from gateway.eventlog.kafka.oidc import NoToken, wrong_endpoint
from gateway.eventlog.kafka.tokens import Tokens, token_provider

Answer = Callable[[bytes], bytes]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command takes longer to start on a busy machine than a connection waits for its token."""
    monkeypatch.setattr(tokens, "FETCH_SECONDS", 60.0)
    monkeypatch.setattr(tokens, "SLOW_SECONDS", 60.0)


def signed(expires: float) -> str:
    payload = base64.urlsafe_b64encode(json.dumps({"exp": expires}).encode()).decode().rstrip("=")
    return f"e30.{payload}.x"


@asynccontextmanager
async def endpoint(answer: Answer) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A token endpoint on loopback, and the requests that it was sent."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        length = int(request.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        asked.append(request + await reader.readexactly(length))
        writer.write(answer(asked[-1]))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/token", asked


def said(document: Any, status: int = 200) -> Answer:
    body = json.dumps(document).encode()
    return lambda _: b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%s" % (status, len(body), body)


def client(url: str) -> Tokens:
    return token_provider(
        {
            "sasl_oauth_token_url": url,
            "sasl_oauth_client_id": "me:1",
            "sasl_oauth_client_secret": "hidden/word",
            "sasl_oauth_scope": "kafka",
            "sasl_oauth_extensions": {"logicalCluster": "lkc-1"},
        }
    )


async def test_client_credentials_and_their_token_is_kept() -> None:
    async with endpoint(said({"access_token": "abc", "expires_in": 300})) as (url, asked):
        provider = client(url)
        assert await asyncio.gather(*(provider.token() for _ in range(5))) == ["abc"] * 5
        assert await provider.token() == "abc"
    assert len(asked) == 1
    assert base64.b64encode(b"me%3A1:hidden%2Fword") in asked[0]
    assert asked[0].endswith(b"grant_type=client_credentials&scope=kafka")
    assert provider.extensions() == {"logicalCluster": "lkc-1"}


async def test_a_token_is_renewed_before_it_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[float | None] = [10.0, None, 0.0, 7.0]
    given = iter([(f"t{number}", life) for number, life in enumerate(made)])
    now = 1000.0

    async def fetch() -> tuple[str, float | None]:
        return next(given)

    monkeypatch.setattr("gateway.eventlog.kafka.tokens.time.monotonic", lambda: now)
    provider = Tokens(fetch)
    seen = []
    for wait in (0, 7.9, 0.2, 47, 2, 0):
        now += wait
        seen.append(await provider.token())
    assert seen == ["t0", "t0", "t1", "t1", "t2", "t3"]


def test_the_life_of_a_signed_token_is_read() -> None:
    expires = time.time() + 100
    life = tokens._life_of(signed(expires))
    assert life is not None
    assert expires - time.time() - 2 < life <= 100
    assert [tokens._life_of(text) for text in ("x", "a.b.c", "a..c", signed(1))] == [None, None, None, 0.0]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (said({"error": "invalid_client", "hidden": 1}, 401), "the token endpoint answers 401: invalid_client"),
        (said([], 500), "the token endpoint answers 500"),
        (said({"token": "x"}), "the token endpoint answers without an access_token"),
        (said({"access_token": "a\nb"}), "what was given for a token is none"),
        (lambda _: b"HTTP/1.1 200 X\r\ncontent-length: 3000000\r\n\r\n" + b"x" * 3_000_000, "answers with more than"),
        (lambda _: b"", "the token endpoint cannot be asked"),
        (said({"access_token": "x"}, 302), "the token endpoint answers 302"),
    ],
)
async def test_an_endpoint_that_gives_none(answer: Answer, why: str) -> None:
    async with endpoint(answer) as (url, _):
        with pytest.raises(NoToken, match=why) as caught:
            await client(url).token()
    assert "hidden" not in str(caught.value)


async def test_a_slow_endpoint_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "FETCH_SECONDS", 0.05)
    answered = asyncio.Event()

    async def fetch() -> tuple[str, float | None]:
        await answered.wait()
        return "late", 100.0

    provider = Tokens(fetch)
    with pytest.raises(NoToken, match="no token within"):
        await provider.token()
    monkeypatch.setattr(tokens, "FETCH_SECONDS", 60.0)
    answered.set()
    assert await provider.token() == "late"


async def test_a_file_is_read_again_for_each_connection(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one\n")
    provider = token_provider({"sasl_oauth_token_file": str(file)})
    assert await provider.token() == "one"
    file.write_text("two")
    assert await provider.token() == "two"
    file.unlink()
    with pytest.raises(NoToken, match=r"sasl_oauth_token_file: .* cannot be read"):
        await provider.token()


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("print('hidden'); raise SystemExit(3)", "ended with status 3"),
        ("pass", "wrote no token"),
        ("print('a'); print('b')", "is none"),
    ],
)
async def test_a_command_that_gives_none(code: str, why: str) -> None:
    with pytest.raises(NoToken, match=why) as caught:
        await token_provider({"sasl_oauth_token_command": [sys.executable, "-c", code]}).token()
    assert "hidden" not in str(caught.value)


async def test_a_command() -> None:
    code = "import sys, os; sys.stdout.write('ab'); sys.stdout.flush(); os.write(1, b'c')"
    assert await token_provider({"sasl_oauth_token_command": [sys.executable, "-c", code]}).token() == "abc"
    with pytest.raises(NoToken, match="/absent: No such file"):
        await token_provider({"sasl_oauth_token_command": ["/absent"]}).token()


async def test_a_command_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tokens, "SLOW_SECONDS", 0.3)
    mark = tmp_path / "mark"
    code = f"import time, pathlib; pathlib.Path({str(mark)!r}).touch(); time.sleep(60)"
    begun = time.monotonic()
    with pytest.raises(NoToken, match="no token within"):
        await token_provider({"sasl_oauth_token_command": [sys.executable, "-c", code]}).token()
    assert time.monotonic() - begun < 30, "it would have gone on for a minute"


async def test_amazon_s_library_signs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With credentials of the environment it asks nobody: the token is a signed address (Signature Version 4)."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "hidden",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
    }.items():
        monkeypatch.setenv(name, value)
    caplog.set_level("DEBUG")
    provider = token_provider({"sasl_aws_region": "eu-central-1"})
    token = await provider.token()
    assert "Amz-Signature" not in caplog.text
    assert "AKIDEXAMPLE" not in caplog.text
    address = urlsplit(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode())
    assert address.netloc == "kafka.eu-central-1.amazonaws.com"
    asked = parse_qs(address.query)
    assert asked["Action"] == ["kafka-cluster:Connect"]
    assert asked["X-Amz-Credential"][0].startswith("AKIDEXAMPLE/")
    assert "hidden" not in address.query
    assert await provider.token() == token
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(NoToken, match="AWS gives no token: "):
        await token_provider({"sasl_aws_region": "eu-central-1"}).token()


async def test_a_token_of_amazon_is_kept_for_its_life(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = token_provider({"sasl_aws_region": "eu-central-1"})
    monkeypatch.setitem(sys.modules, "aws_msk_iam_sasl_signer", None)
    with pytest.raises(NoToken, match=r"pip install 'event-gateway\[msk\]'"):
        await provider.token()
    asked = []

    class Signer:
        @staticmethod
        def generate_auth_token(region: str) -> tuple[str, int]:
            asked.append(region)
            return "signed", int((time.time() + 900) * 1000)

    module = ModuleType("aws_msk_iam_sasl_signer")
    module.MSKAuthTokenProvider = Signer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "aws_msk_iam_sasl_signer", module)
    assert [await provider.token(), await provider.token()] == ["signed", "signed"]
    assert asked == ["eu-central-1"]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://issuer.example/token", None),
        ("http://localhost:8080/token", None),
        ("http://issuer.example/token", "in the clear"),
        ("issuer.example/token", "is no URL"),
        ("https://u:hidden@issuer.example", "a user or a password"),
        ("https://[::1/", "is no URL"),
    ],
)
def test_endpoints(url: str, why: str | None) -> None:
    told = wrong_endpoint(url)
    assert told is None if why is None else why in str(told)
    assert "hidden" not in str(told)


def test_what_does_not_fit_the_broker_is_explained() -> None:
    wrong = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")
    wrong.reason = "WRONG_VERSION_NUMBER"
    assert "set security_protocol to PLAINTEXT" in str(explained(wrong))
    assert "refuses the credentials" in reason(SaslAuthenticationFailed("no"))
    assert "wants no SASL" in reason(IllegalSaslStateError("no"))
    assert "nothing listens there" in reason(ConnectionRefusedError(111, "refused"))
    assert reason(EOFError("gone")) == "EOFError('gone')"


async def test_a_broker_that_speaks_tls_is_recognized() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4)
        writer.write(b"\x15\x03\x03\x00\x02\x02\x46")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        connection = BrokerConnection("127.0.0.1", server.sockets[0].getsockname()[1], request_timeout_ms=2000)
        with pytest.raises(KafkaConnectionError) as caught:
            await connection.connect()
        assert "the broker speaks TLS there; set security_protocol to SSL or SASL_SSL" in reason(caught.value)
