"""The admin port: who has access, and `POST /-/reload`."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.errors import ConfigurationError, Problem, RestartNeeded
from gateway.routes.answers import json_answer
from gateway.routes.problems import answer

OPEN_PATHS = ("/healthz",)
"""Paths that machines may ask for under any name: they reveal only that the process lives. Metrics and readiness
name private streams and the operator's hosts."""


PAGE_PATHS = ("/-/reload", "/-/drain")
"""What the operators' page may change, with the header that it sends."""
PAGE_HEADER = "gateway-operator"


class AdminGuard:
    """Plain ASGI: keeps out the pages that a browser shows on a machine from which the admin port can be reached.

    A page may send a request anywhere, with its Origin (WHATWG Fetch), though it cannot read the answer; so nothing
    that changes something is taken from a page. It could read the answer where its own name leads to this port ("DNS
    rebinding"); so the port must be asked for by an address or a name that is known to be its own.
    """

    def __init__(self, app: ASGIApp, names: Collection[str]) -> None:
        self._app = app
        self._names = {"localhost", *(name.lower() for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            problem = self._problem(scope["method"], scope["path"], Headers(scope=scope))
            if problem is not None:
                await answer(problem)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _problem(self, method: str, path: str, headers: Headers) -> Problem | None:
        if path not in OPEN_PATHS:
            for host in headers.getlist("host"):
                if not self._is_known(host):
                    detail = (
                        f"the admin port is not known as {host[:100]!r}; use its address or localhost, or add the "
                        "name to the setting `admin_names`"
                    )
                    return Problem(421, "Misdirected request", detail, "Host")
        if method not in ("GET", "HEAD") and "origin" in headers and not _is_own(path, headers):
            return Problem(403, "Forbidden", "the admin port refuses such requests from web pages", "Origin")
        return None

    def _is_known(self, host: str) -> bool:
        name = host.partition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
        name = name.lower().removesuffix(".")
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _is_own(path: str, headers: Headers) -> bool:
    """Whether it comes from a page of this port, and is one of the few requests that these make. A page of another
    origin cannot send the header unasked (WHATWG Fetch), and nobody here answers such a question."""
    hosts, origins = headers.getlist("host"), headers.getlist("origin")
    if path not in PAGE_PATHS or len(hosts) != 1 or origins not in ([f"http://{hosts[0]}"], [f"https://{hosts[0]}"]):
        return False
    return headers.get("sec-fetch-site", "same-origin") == "same-origin" and headers.get(PAGE_HEADER) == "yes"


class ReloadRoute:
    """Reads the configuration again; `reload` gives what changed, or raises ConfigurationError or Problem."""

    def __init__(self, reload: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        self._reload = reload

    async def reload(self, _: Request) -> Response:
        """`POST /-/reload`"""
        try:
            return json_answer(await self._reload())
        except ConfigurationError as error:
            status, title = (
                (409, "Restart needed") if isinstance(error, RestartNeeded) else (400, "Broken configuration")
            )
            detail = "nothing was reloaded; the previous configuration stays in force"
            return answer(Problem(status, title, detail, members={"mistakes": error.mistakes}))
