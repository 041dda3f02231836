"""What is said of a certificate that is refused."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import httpx
import pytest

from gateway.client.answer import reason
from gateway.outbound.certificates import refused_certificate, why_refused
from tests.services.certificates import Certificates, make_certificates


def refusal(verdict: int, words: str) -> httpx.ConnectError:
    """What httpx raises for OpenSSL's verdict."""
    cause = ssl.SSLCertVerificationError(1, f"[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: {words}")
    cause.verify_code, cause.verify_message = verdict, words
    error = httpx.ConnectError(str(cause))
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("verdict", "remedy"),
    [(85, "authorityKeyIdentifier"), (86, "subjectKeyIdentifier"), (89, "critical, CA:TRUE"), (92, "keyCertSign"),
     (84, "RFC 5280")],
)  # fmt: skip
def test_what_python_demands_from_3_13_on_is_told_with_its_remedy(verdict: int, remedy: str) -> None:
    said = reason(refusal(verdict, "words of OpenSSL"), 1.0)
    assert said.startswith(
        "no connection: the certificate is refused: words of OpenSSL; Python 3.13 and later require it: "
    )
    assert remedy in said
    assert "docs/OPERATING.md" in said


@pytest.mark.parametrize("verdict", [10, 18, 19, 20, 62])
def test_other_refusals_are_told_in_openssl_s_words(verdict: int) -> None:
    assert reason(refusal(verdict, "words"), 1.0) == "no connection: the certificate is refused: words"


def test_an_error_that_is_not_about_a_certificate() -> None:
    broken = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")
    error = httpx.ConnectError("tls")
    error.__cause__ = broken
    assert reason(error, 1.0) == "no connection: [SSL: WRONG_VERSION_NUMBER] wrong version number"
    assert why_refused(error) is None
    circle = ValueError()
    circle.__context__ = error
    error.__context__ = circle
    assert refused_certificate(circle) is None


async def handshake(certificates: Certificates) -> None:
    """Connects as the gateway does, with what the standard library demands from 3.13 on."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificates.server)
    trusting = ssl.create_default_context(cafile=certificates.authority)
    trusting.verify_flags |= ssl.VERIFY_X509_STRICT
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=serving)
    async with server:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), ssl=trusting)
        writer.close()


@pytest.mark.long
async def test_an_authority_without_key_usage(openssl: str, tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError) as refused:
        await handshake(make_certificates(openssl, tmp_path, usage=""))
    said = why_refused(refused.value)
    assert said is not None
    assert "keyUsage = critical, keyCertSign, cRLSign" in said


@pytest.mark.long
async def test_the_authority_of_the_tests_is_as_python_demands(openssl: str, tmp_path: Path) -> None:
    await handshake(make_certificates(openssl, tmp_path))
