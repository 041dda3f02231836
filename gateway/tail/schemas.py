"""Gets the schemas of events from the server that sends them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from gateway.client.fetch import fetch

MOST = 50
"""Schemas that are asked for in one run."""
SECONDS = 2.0
"""The longest that the first event of a schema waits for it."""
BYTES = 2_000_000
_NAME = re.compile(r"/[\w.-]+(/[\w.-]+)+", re.ASCII)


class Schemas:
    """Asked for once each; None where the server does not give them."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._known: dict[str, Mapping[str, Any] | None] = {}

    async def get(self, name: object) -> Mapping[str, Any] | None:
        """The schema that an event names in `$schema`."""
        if not isinstance(name, str) or ".." in name or not _NAME.fullmatch(name):
            return None
        if name not in self._known and len(self._known) < MOST:
            self._known[name] = await self._load(name)
        return self._known.get(name)

    async def _load(self, name: str) -> Mapping[str, Any] | None:
        body = await fetch(f"{self._server}/v2/schemas{name}", BYTES, SECONDS)
        try:
            schema = None if body is None else orjson.loads(body)
        except ValueError:
            return None
        return schema if isinstance(schema, Mapping) else None
