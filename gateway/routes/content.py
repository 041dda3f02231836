"""Answers that clients may keep: named by their content (RFC 9110 section 8.8.3), and compressed once."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from starlette.requests import Request
from starlette.responses import Response

from gateway.routes.negotiate import LONGEST, accepts_gzip


@dataclass(frozen=True)
class Content:
    """The body of an answer, and the headers that are its own."""

    data: bytes
    media_type: str
    headers: Mapping[str, str]
    packs: bool = True
    """Whether it is kept, so that it is worth compressing."""

    @cached_property
    def packed(self) -> bytes:
        """The same, compressed."""
        return gzip.compress(self.data, 9, mtime=0)

    @cached_property
    def tag(self) -> str:
        """The ETag of the content."""
        return f'"{hashlib.blake2b(self.data, digest_size=12).hexdigest()}"'

    def prepare(self) -> None:
        """Make what is made once, which takes a while where there is much: in a thread."""
        _ = self.tag, self.packed if self.packs else b""

    def answer(self, request: Request, cache_control: str, vary: str = "accept-encoding") -> Response:
        """The content, or that it is what the client has."""
        headers = {"etag": self.tag, "cache-control": cache_control, "vary": vary, **self.headers}
        if is_known(request, self.tag):
            return Response(status_code=304, headers=headers)
        packed = self.packs and accepts_gzip(request.headers.get("accept-encoding"))
        if packed:
            headers["content-encoding"] = "gzip"
        return Response(self.packed if packed else self.data, 200, headers, self.media_type)


def is_known(request: Request, tag: str) -> bool:
    """Whether If-None-Match names the tag; its comparison is the weak one (RFC 9110 section 13.1.2)."""
    fields = request.headers.getlist("if-none-match")
    if sum(map(len, fields)) > LONGEST:
        return False
    tags = [item.strip().removeprefix("W/") for field in fields for item in field.split(",")]
    return tag in tags or "*" in tags
