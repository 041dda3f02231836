"""`POST /explorer/trial`: tries a declaration of a derived stream on what has just come. Nothing is stored."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from gateway.catalog.quantity import milliseconds
from gateway.derive.trials import FREE, Trials
from gateway.errors import LogError, Problem
from gateway.routes.access import Viewers
from gateway.routes.admission import Admission
from gateway.routes.answers import json_answer
from gateway.routes.catalog import PRIVATE
from gateway.schemas.repository import SchemaRepository

TRIAL_PATH = "/explorer/trial"
LONGEST_TEXT = 32 * 1024
"""Bytes of a declaration."""
BODY_SECONDS = 10.0
USUAL_SPAN = "10m"
LONGEST_SPAN = 3_600_000
"""Milliseconds of the sources."""
RETRY_SECONDS = "5"


class TrialRoute:
    """Tries declarations over the streams that a client may read."""

    def __init__(
        self,
        trials: Trials,
        viewers: Viewers,
        schemas: Callable[[], SchemaRepository],
        admission: Admission | None = None,
    ) -> None:
        self._trials = trials
        self._viewers = viewers
        self._schemas = schemas
        self._admission = admission

    async def trial(self, request: Request) -> Response:
        """`POST /explorer/trial?last=10m` with the YAML of one stream."""
        grant = await self._viewers.reader(request.scope)
        span = _span(request)
        payment = FREE if self._admission is None else await self._admission.begin_work(request.scope)
        text = await _text(request)
        catalog = self._viewers.readable(grant)
        try:
            found = await self._trials.run(text, span, catalog, self._schemas(), payment)
        except LogError as error:
            detail = "the log does not give the records of the sources; try again"
            raise Problem(503, "Unavailable", detail, headers={"retry-after": RETRY_SECONDS}) from error
        return json_answer(found, headers=PRIVATE if grant.by_token else {})


def _span(request: Request) -> int:
    for name in request.query_params:
        if name != "last":
            raise Problem(400, "Bad request", "the parameter is `last`", name[:100])
    text = request.query_params.get("last", USUAL_SPAN)
    span = milliseconds(text)
    if span is None or not 1_000 <= span <= LONGEST_SPAN:
        raise Problem(400, "Bad request", f"`last` takes 1s to 1h, such as 10m, not {text[:100]!r}", "last")
    return span


async def _text(request: Request) -> bytes:
    """The body, within its bounds. Raises Problem."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem(415, "Unsupported content coding", "send the declaration uncompressed", "Content-Encoding")
    text = b""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                text += part
                if len(text) > LONGEST_TEXT:
                    raise Problem(413, "Content too large", f"a declaration has at most {LONGEST_TEXT} bytes")
                await asyncio.sleep(0)
    except TimeoutError:
        raise Problem(408, "Request timeout", f"the body did not arrive within {BODY_SECONDS:g} s") from None
    except ClientDisconnect:
        raise Problem(400, "Bad request", "the client went away") from None
    return text
