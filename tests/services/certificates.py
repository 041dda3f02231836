"""Certificates for the time of a test: an authority, and a server at 127.0.0.1 that it vouches for."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple


class Certificates(NamedTuple):
    """Files in PEM. `server` holds the server's key and certificate, `authority` the certificate to trust."""

    authority: Path
    server: Path


def make_certificates(openssl: str, directory: Path) -> Certificates:
    """Make an authority and a certificate that it signs, good for a day."""
    authority, authority_key = directory / "authority.pem", directory / "authority.key"
    key, request, certificate = directory / "server.key", directory / "server.csr", directory / "server.crt"
    names = directory / "names"
    names.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    new = ["req", "-newkey", "rsa:2048", "-nodes"]
    signed = ["-CA", str(authority), "-CAkey", str(authority_key), "-CAcreateserial", "-extfile", str(names)]
    for arguments in (
        [*new, "-x509", "-days", "1", "-subj", "/CN=authority", "-keyout", str(authority_key), "-out", str(authority)],
        [*new, "-subj", "/CN=127.0.0.1", "-keyout", str(key), "-out", str(request)],
        ["x509", "-req", "-days", "1", "-in", str(request), "-out", str(certificate), *signed],
    ):
        subprocess.run([openssl, *arguments], check=True, capture_output=True)
    server = directory / "server.pem"
    server.write_bytes(key.read_bytes() + certificate.read_bytes())
    return Certificates(authority, server)
