"""Certificates for the time of a test: an authority, and a server at 127.0.0.1 that it vouches for."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

_AUTHORITY = """\
[req]
distinguished_name = name
x509_extensions = extensions
[name]
[extensions]
basicConstraints = critical,CA:TRUE
subjectKeyIdentifier = hash
"""

_SERVER = """\
basicConstraints = CA:FALSE
keyUsage = critical,digitalSignature,keyEncipherment
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = IP:127.0.0.1,DNS:localhost
"""


class Certificates(NamedTuple):
    """Files in PEM. `server` holds the server's key and certificate, `authority` the certificate to trust."""

    authority: Path
    server: Path


def make_certificates(openssl: str, directory: Path, usage: str = "critical,keyCertSign,cRLSign") -> Certificates:
    """Make an authority with this key usage ("": none), and a certificate that it signs, good for a day."""
    authority, authority_key = directory / "authority.pem", directory / "authority.key"
    key, request, certificate = directory / "server.key", directory / "server.csr", directory / "server.crt"
    # A configuration of our own: the system's differs from one to the other.
    of_the_authority, of_the_server = directory / "authority.cnf", directory / "server.cnf"
    of_the_authority.write_text(_AUTHORITY + (f"keyUsage = {usage}\n" if usage else ""))
    of_the_server.write_text(_SERVER)
    new = ["req", "-newkey", "rsa:2048", "-nodes", "-config", str(of_the_authority)]
    signed = ["-CA", str(authority), "-CAkey", str(authority_key), "-CAcreateserial", "-extfile", str(of_the_server)]
    for arguments in (
        [*new, "-x509", "-days", "1", "-subj", "/CN=authority", "-keyout", str(authority_key), "-out", str(authority)],
        [*new, "-subj", "/CN=127.0.0.1", "-keyout", str(key), "-out", str(request)],
        ["x509", "-req", "-days", "1", "-in", str(request), "-out", str(certificate), *signed],
    ):
        subprocess.run([openssl, *arguments], check=True, capture_output=True)
    server = directory / "server.pem"
    server.write_bytes(key.read_bytes() + certificate.read_bytes())
    return Certificates(authority, server)
