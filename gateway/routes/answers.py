"""JSON answers that hold only for the moment."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from starlette.responses import Response


def json_answer(document: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON document on one line, not to be stored by caches."""
    return Response(
        orjson.dumps(document) + b"\n", status, {"cache-control": "no-store", **(headers or {})}, "application/json"
    )
