"""The certificates that verify brokers, and the one that is shown to them; and why a file is none."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.model.setting import MemberMistake

_JAVA = (b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce")
"""The first bytes of the older keystores of Java; the newer ones are PKCS #12."""
_DER = 0x30
_BEGIN = b"-----BEGIN "
FILE_BYTES = 16 << 20
"""A longer file holds no certificates that anybody trusts."""


def tls_context(given: Mapping[str, Any]) -> ssl.SSLContext:
    """The context for connections. Raises ValueError with a MemberMistake for each file that cannot be used."""
    names = ("ssl_cafile", "ssl_capath", "ssl_cadata", "ssl_certfile", "ssl_keyfile")
    mistakes = [mistake for key in names if key in given and (mistake := _wrong_file(key, given[key])) is not None]
    if mistakes:
        raise ValueError(*mistakes)
    context = _authorities(given)
    if "ssl_certfile" in given:
        _show(context, given)
    return context


def _authorities(given: Mapping[str, Any]) -> ssl.SSLContext:
    file, path, text = (given.get(key) for key in ("ssl_cafile", "ssl_capath", "ssl_cadata"))
    try:
        context = ssl.create_default_context(cafile=file, capath=path, cadata=text)
    except (OSError, ValueError) as error:
        key = "ssl_cafile" if file is not None else "ssl_cadata"
        why = "no certificate in it can be read" if isinstance(error, ssl.SSLError | ValueError) else str(error)
        raise ValueError(
            _mistake(key, f"{why}; it takes the authorities' certificates (PEM)", given.get(key))
        ) from None
    if path is None and (file or text) and not context.cert_store_stats()["x509"]:
        key = "ssl_cafile" if file is not None else "ssl_cadata"
        raise ValueError(_mistake(key, "it holds no certificate", given.get(key)))
    return context


def _show(context: ssl.SSLContext, given: Mapping[str, Any]) -> None:
    """Load the client's certificate. OpenSSL would ask on the terminal for a password that is not given."""
    certificate, key = given["ssl_certfile"], given.get("ssl_keyfile")
    asked = False

    def password() -> str:
        nonlocal asked
        asked = True
        return str(given.get("ssl_password", ""))

    named = "ssl_keyfile" if key is not None else "ssl_certfile"
    try:
        context.load_cert_chain(certificate, key, password)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", "") or ""
        if asked:
            why = (
                "the key does not open with ssl_password"
                if "ssl_password" in given
                else "the key is encrypted; set ssl_password (or ssl_password_file)"
            )
        elif "KEY_VALUES_MISMATCH" in reason:
            why = "the key does not belong to the certificate in ssl_certfile"
        elif key is None and _has_no_key(certificate):
            why = "the file holds a certificate without its key; name the key with ssl_keyfile"
        else:
            why = f"no key with its certificate can be read ({reason.replace('_', ' ').lower() or 'not PEM'})"
        raise ValueError(_mistake(named, why, given[named])) from None


def _wrong_file(key: str, value: str) -> MemberMistake | None:
    """The mistake of a file or directory that cannot be read, or is of another form."""
    if key == "ssl_cadata":
        return None if "-----BEGIN " in value else _mistake(key, "it holds no certificate (PEM)", None)
    path = Path(value)
    try:
        if key == "ssl_capath":
            return None if any(path.iterdir()) else _mistake(key, "the directory is empty", value)
        if not path.is_file():
            why = "it is a directory" if path.is_dir() else "it is no regular file" if path.exists() else ""
            return _mistake(key, why or "there is no such file", value)
        with path.open("rb") as file:
            content = file.read(FILE_BYTES)
    except OSError as error:
        return _mistake(key, (error.strerror or str(error)).lower(), value)
    if _BEGIN in content:
        return None
    export = "export it as PEM (openssl pkcs12 -nodes, or keytool -exportcert -rfc)"
    if content[:4] in _JAVA or value.lower().endswith((".jks", ".p12", ".pfx")):
        return _mistake(key, f"this is a keystore; {export}", value)
    if content[:1] == bytes([_DER]):
        return _mistake(key, f"this is binary (DER or PKCS #12); {export}", value)
    return _mistake(key, "it is empty" if not content else "it holds nothing in PEM", value)


def _has_no_key(certificate: str) -> bool:
    try:
        return b"PRIVATE KEY-----" not in Path(certificate).read_bytes()[:FILE_BYTES]
    except OSError:
        return False


def _mistake(key: str, why: str, value: str | None) -> MemberMistake:
    place = f" {value}" if value is not None and key != "ssl_cadata" else ""
    return MemberMistake(f"kafka: {key}{place}: {why}", key)
