"""Explains connections that fail because the configuration does not fit what is there."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

from gateway.outbound.certificates import why_refused

_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")
"""What OpenSSL says of an answer that is none in TLS."""


def why_failed(error: BaseException | None) -> str | None:
    """What is wrong with the address or the certificate, on one line; None where the connection itself was made."""
    if (refused := why_refused(error)) is not None:
        return refused
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLError) and cause.reason in _NO_TLS:
            return "no TLS is spoken there"
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            return f"the name is not known ({cause.strerror})"
        if isinstance(cause, ConnectionRefusedError):
            return "nothing listens there (connection refused)"
        if isinstance(cause, FileNotFoundError):
            return "there is no such socket"
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and its causes, those of each address that was tried included."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        found = waiting.pop()
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        if isinstance(found, BaseExceptionGroup):
            waiting += found.exceptions
        waiting += [found.__context__, found.__cause__]
