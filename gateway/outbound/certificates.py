"""Explains why a certificate was refused, and what its owner can do.

From Python 3.13 on, the standard library refuses certificates that break RFC 5280 (ssl.VERIFY_X509_STRICT). After an
update, private authorities that served for years are refused, with words that name no remedy.
"""

from __future__ import annotations

import ssl

_REMEDIES = {
    85: "the server's certificate needs the extension authorityKeyIdentifier",
    86: "the authority's certificate needs the extension subjectKeyIdentifier",
    89: "the authority's certificate needs basicConstraints = critical, CA:TRUE",
    92: "the authority's certificate needs the extension keyUsage = critical, keyCertSign, cRLSign",
}
"""The extensions that are missing most often, by OpenSSL's number of the verdict (x509_vfy.h)."""
_STRICT = range(80, 94)
"""The verdicts that are found under ssl.VERIFY_X509_STRICT alone."""


def refused_certificate(error: BaseException | None) -> ssl.SSLCertVerificationError | None:
    """Which of an error and its causes says that the other side could not show who it is; it never will be able to."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


def why_refused(error: BaseException | None) -> str | None:
    """The fault of the certificate and the remedy, on one line; None if the error is not about a certificate."""
    refused = refused_certificate(error)
    if refused is None:
        return None
    # Neither is there where the error was not made by OpenSSL.
    verdict, words = getattr(refused, "verify_code", 0), getattr(refused, "verify_message", "") or str(refused)
    said = f"the certificate is refused: {words.rstrip('.')}"
    if verdict not in _STRICT:
        return said
    remedy = _REMEDIES.get(verdict, "the certificates must comply with RFC 5280")
    return f'{said}; Python 3.13 and later require it: {remedy}. Have it reissued (docs/OPERATING.md, "Certificates")'
