"""`GET /`: the explorer, a page for people; to programs an index of the API. Its files are served from memory."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import PurePosixPath

from starlette.requests import Request
from starlette.responses import Response

from gateway.errors import Problem
from gateway.routes.answers import json_answer
from gateway.routes.negotiate import accepts_gzip, prefers_json

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_PAGE = "index.html"
_ENTRY = "main.js"
_WORKER = ("worker.js", "follower.js")
"""What the worker alone loads, after the page."""

IMMUTABLE = "public, max-age=31536000, immutable"
"""Of files whose address names their content; a year, in seconds."""

SECURITY = {
    # Of what can be a document or a worker. Only what this server sends is run, shown or connected to; no text can
    # become markup or a script.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "worker-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types explorer"
    ),
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
}

_INDEX = {
    "streams": "/v2/streams",
    "stream": "/v2/stream/{streams}",
    "schemas": "/v2/schemas",
    "events": "/v1/events",
    "health": "/healthz",
    "readiness": "/readyz",
    "openapi": "/openapi.json",
    "asyncapi": "/asyncapi.json",
    "documents": "/docs",
}


@dataclass(frozen=True)
class _File:
    data: bytes
    media_type: str
    security: dict[str, str]

    @cached_property
    def packed(self) -> bytes:
        return gzip.compress(self.data, 9, mtime=0)

    @cached_property
    def tag(self) -> str:
        return f'"{hashlib.blake2b(self.data, digest_size=12).hexdigest()}"'


class ExplorerRoutes:
    """The page and its files. All of them are in one directory named after their content, so that they can be kept for
    ever, and never are of two versions."""

    def __init__(self) -> None:
        room = resources.files("gateway") / "explorer"
        served = (entry for entry in room.iterdir() if PurePosixPath(entry.name).suffix in _TYPES)
        files = {entry.name: entry.read_bytes() for entry in served}
        digest = hashlib.blake2b(digest_size=8)
        for name in sorted(files):
            digest.update(name.encode() + b"\0" + files[name] + b"\0")
        self.version = digest.hexdigest()
        files[_PAGE] = self._page(files)
        self._files = {name: _file(name, data) for name, data in files.items()}

    async def page(self, request: Request) -> Response:
        """`GET /`"""
        if prefers_json(request.headers.get("accept")):
            response = json_answer(_INDEX)
            response.headers["vary"] = "accept"
            return response
        return self._answer(request, self._files[_PAGE], "no-cache", "accept, accept-encoding")

    async def file(self, request: Request) -> Response:
        """`GET /explorer/{version}/{name}`"""
        name = request.path_params["name"]
        file = self._files.get(name)
        if file is None or name == _PAGE:
            raise Problem(404, "Not found", f"the explorer has no file {name[:100]!r}", "path")
        # A page of another version, from a process before this one, gets what there is; nobody keeps it.
        current = request.path_params["version"] == self.version
        return self._answer(request, file, IMMUTABLE if current else "no-cache", "accept-encoding")

    def _page(self, files: dict[str, bytes]) -> bytes:
        """The page with the addresses of its files; modules are named in advance, so that all are loaded at once."""
        place = f"/explorer/{self.version}/"
        # The basic style goes first: the others build on it.
        styles = sorted((name for name in files if name.endswith(".css")), key=lambda name: (name != "base.css", name))
        modules = sorted(name for name in files if name.endswith(".js") and name not in (_ENTRY, *_WORKER))
        links = {
            "{styles}": [f'<link rel="stylesheet" href="{place}{name}" />' for name in styles],
            "{modules}": [f'<link rel="modulepreload" href="{place}{name}" />' for name in modules],
        }
        text = files[_PAGE].decode().replace("{version}", self.version)
        for slot, lines in links.items():
            text = text.replace(slot, "\n    ".join(lines))
        return text.encode()

    def _answer(self, request: Request, file: _File, cache_control: str, vary: str) -> Response:
        headers = {"etag": file.tag, "cache-control": cache_control, "vary": vary, **file.security}
        known = request.headers.get("if-none-match", "")
        if file.tag in known or known.strip() == "*":
            return Response(status_code=304, headers=headers)
        packed = accepts_gzip(request.headers.get("accept-encoding"))
        if packed:
            headers["content-encoding"] = "gzip"
        return Response(file.packed if packed else file.data, 200, headers, file.media_type)


def _file(name: str, data: bytes) -> _File:
    suffix = PurePosixPath(name).suffix
    running = suffix in (".html", ".svg") or name in _WORKER
    return _File(data, _TYPES[suffix], SECURITY if running else {})
