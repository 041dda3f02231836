"""`GET /`: the explorer, a page for people. Programs get an index of the API. Its files are served from memory."""

from __future__ import annotations

import hashlib
import html
import re
from importlib import resources
from pathlib import PurePosixPath

from starlette.requests import Request
from starlette.responses import Response

from gateway.errors import Problem
from gateway.routes.answers import json_answer
from gateway.routes.content import Content
from gateway.routes.house import House
from gateway.routes.negotiate import prefers_json

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webp": "image/webp",
}
_PAGE = "index.html"
_ENTRY = "main.js"
_HOUSE = "house.css"
"""The operator's colours, which stand after the page's own."""
_WORKER = ("worker.js", "admission.js", "backoff.js", "follower.js", "turns.js")
"""The files that only the worker loads, after the page."""
_LATER = (
    "cookbook.js",
    "csv.js",
    "difference.js",
    "facets.js",
    "languages.js",
    "members.js",
    "older.js",
    "snippets.js",
    "state.css",
    "state.js",
    "trial.js",
    "use.js",
    "versions.js",
)
"""Files that are loaded when somebody asks for what they do."""

_COMMENTS = re.compile(rb"^[ \t]*(?:/\*(?:[^*]|\*(?!/))*\*/|//[^\n]*)[ \t]*\n", re.MULTILINE)
"""Comments that have their lines for themselves: a fifth of what would be sent, for nobody who reads it. No text of
several lines in the page's files has such a line."""

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
    "counts": "/v2/streams/{names}/counts",
    "views": "/v2/views",
    "schemas": "/v2/schemas",
    "events": "/v1/events",
    "health": "/healthz",
    "readiness": "/readyz",
    "openapi": "/openapi.json",
    "asyncapi": "/asyncapi.json",
    "documents": "/docs",
}


class ExplorerRoutes:
    """The page and its files. All of them are in one directory named after their content, so that they can be kept for
    ever, and never are of two versions."""

    def __init__(self, trials: bool = False, house: House | None = None, inside: bool = False) -> None:
        """`trials`: whether the page offers to try declarations; `house`: what it calls itself, and how it looks;
        `inside`: it is on the admin port, beside the operators' page."""
        self._more = '<a href="/">the operators\u2019 page</a>' if inside else '<a href="/docs">the API</a>'
        self._trials = trials
        self._house = house or House()
        self._logo = "icon.svg"
        room = resources.files("gateway") / "explorer"
        served = (entry for entry in room.iterdir() if PurePosixPath(entry.name).suffix in _TYPES)
        files = {entry.name: _without_comments(entry.name, entry.read_bytes()) for entry in served}
        if style := self._house.style():
            files[_HOUSE] = style.encode()
        logo = self._house.logo
        if logo is not None:
            suffix = next(suffix for suffix, kind in _TYPES.items() if kind == logo[1])
            self._logo = f"logo{suffix}"
            files[self._logo] = logo[0]
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
        return self._files[_PAGE].answer(request, "no-cache", "accept, accept-encoding")

    async def file(self, request: Request) -> Response:
        """`GET /explorer/{version}/{name}`"""
        name = request.path_params["name"]
        file = self._files.get(name)
        if file is None or name == _PAGE:
            raise Problem(404, "Not found", f"the explorer has no file {name[:100]!r}", "path")
        # A page of another version, from a process before this one, gets what there is; nobody keeps it.
        current = request.path_params["version"] == self.version
        return file.answer(request, IMMUTABLE if current else "no-cache")

    def _page(self, files: dict[str, bytes]) -> bytes:
        """The page with the addresses of its files; modules are named in advance, so that all are loaded at once."""
        place = f"/explorer/{self.version}/"
        # The basic style goes first: the others build on it.
        first = files.keys() - {_ENTRY, *_WORKER, *_LATER}
        styles = sorted(
            (name for name in first if name.endswith(".css")),
            key=lambda name: (name == _HOUSE, name != "base.css", name),
        )
        modules = sorted(name for name in first if name.endswith(".js"))
        links = {
            "{styles}": [f'<link rel="stylesheet" href="{place}{name}" />' for name in styles],
            "{modules}": [f'<link rel="modulepreload" href="{place}{name}" />' for name in modules],
        }
        text = files[_PAGE].decode().replace("{version}", self.version)
        text = text.replace("{trials}", "" if self._trials else "hidden").replace("{logo}", self._logo)
        for slot, lines in links.items():
            text = text.replace(slot, "\n    ".join(lines))
        text = text.replace("{more}", self._more)
        # Last: what the operator has written may hold anything.
        named = text.replace("{footer}", self._house.footer()).split("{title}")
        return html.escape(self._house.title).join(named).encode()


def _without_comments(name: str, data: bytes) -> bytes:
    return _COMMENTS.sub(b"", data) if name.endswith((".js", ".css")) else data


def _file(name: str, data: bytes) -> Content:
    suffix = PurePosixPath(name).suffix
    running = suffix in (".html", ".svg") or name in _WORKER
    return Content(data, _TYPES[suffix], SECURITY if running else {})
