"""HTTP/1.1's chunked coding (RFC 9112, section 7.1)."""

from __future__ import annotations


def http_chunk(data: bytes) -> bytes:
    """A chunk of HTTP/1.1's chunked coding (RFC 9112 section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)
