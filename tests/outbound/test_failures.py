"""What is said of connections that are not made."""

from __future__ import annotations

import socket
import ssl

import pytest

from gateway.outbound.failures import why_failed


def caused(cause: BaseException, error: BaseException | None = None) -> BaseException:
    error = error or OSError("All connection attempts failed")
    error.__cause__ = cause
    return error


def no_tls() -> ssl.SSLError:
    error = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")
    error.reason = "WRONG_VERSION_NUMBER"
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionRefusedError(111, "x"), "nothing listens there (connection refused)"),
        (caused(ExceptionGroup("all", [ConnectionRefusedError(111, "x")])), "nothing listens there"),
        (caused(socket.gaierror(-2, "Name or service not known")), "the name is not known (Name or service not known)"),
        (caused(no_tls()), "no TLS is spoken there"),
        (caused(ssl.SSLCertVerificationError(1, "self-signed certificate")), "the certificate is refused: "),
        (FileNotFoundError(2, "x"), "there is no such socket"),
    ],
)
def test_causes_are_told_however_deep(error: BaseException, said: str) -> None:
    told = why_failed(caused(error, RuntimeError("outer")))
    assert told is not None
    assert told.startswith(said)


def test_another_error_and_a_circle() -> None:
    one = ValueError("one")
    caused(caused(one, RuntimeError("two")), one)
    assert why_failed(one) is None
    assert why_failed(None) is None
