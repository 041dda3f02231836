"""Explains failures of connections that the configuration causes: what the broker wants, and what to change."""

from __future__ import annotations

import socket
import ssl

from aiokafka.errors import IllegalSaslStateError, SaslAuthenticationFailed, UnsupportedSaslMechanismError

from gateway.eventlog.kafka.oidc import NoToken

TLS_ALERT = 0x1503
"""The first two bytes of a server of TLS that is spoken to in the clear (RFC 8446, section 5.1)."""


class SpeaksTls(ConnectionError):
    """The broker answers in TLS."""


def explained(error: BaseException) -> str | None:
    """What to change, where the configuration is why; None otherwise."""
    if isinstance(error, NoToken):
        return str(error)
    if isinstance(error, SpeaksTls):
        return "the broker speaks TLS there; set security_protocol to SSL or SASL_SSL"
    if isinstance(error, ssl.SSLError) and error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
        return "the broker speaks no TLS there; set security_protocol to PLAINTEXT or SASL_PLAINTEXT"
    if isinstance(error, SaslAuthenticationFailed):
        return f"the broker refuses the credentials: {error}"
    if isinstance(error, UnsupportedSaslMechanismError):
        return "the broker does not take this sasl_mechanism (UnsupportedSaslMechanismError)"
    if isinstance(error, IllegalSaslStateError):
        return "the broker wants no SASL there; set security_protocol to PLAINTEXT or SSL"
    if isinstance(error, socket.gaierror):
        return f"the name is not known ({error.strerror})"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there (connection refused)"
    return None
