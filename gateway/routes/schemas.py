"""`/v2/schemas`: the schemas of the repositories, without `$ref`s. Names from clients are only looked up in memory."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from gateway.errors import Problem
from gateway.routes.content import is_known
from gateway.schemas.repository import Schema, SchemaRepository
from gateway.schemas.text import to_json, to_yaml

BASE = uuid.uuid4().hex
IMMUTABLE = "public, max-age=31536000, immutable"
"""Of a released version that refers to nothing else, which never changes (RFC 8246); a year, in seconds."""
SHORT = "public, max-age=60"
"""Of whatever may be another schema later: `latest`, a version that is being written or refers to such a one, the
index."""


@dataclass(frozen=True, slots=True)
class _Body:
    data: bytes
    tag: str
    media_type: str


class SchemaRoutes:
    """Bodies are made at the first request for them, and kept: there are as many as schemas, in two forms."""

    def __init__(self, schemas: Callable[[], SchemaRepository]) -> None:
        self._current = schemas
        self._bodies_of = schemas()
        self._bodies: dict[tuple[str, str], _Body] = {}
        self._index: list[bytes] | None = None
        """The list of all, between places where the address stands under which the gateway is asked."""

    @property
    def _schemas(self) -> SchemaRepository:
        """Those in force; the bodies of others are forgotten."""
        schemas = self._current()
        if schemas is not self._bodies_of:
            self._bodies_of, self._bodies, self._index = schemas, {}, None
        return schemas

    async def index(self, request: Request) -> Response:
        """`GET /v2/schemas`"""
        schemas = self._schemas
        if self._index is None:
            described = [self._describe(title, BASE) for title in schemas.titles()]
            self._index = to_json(described).split(BASE.encode())
        data = to_json(str(request.base_url)).strip()[1:-1].join(self._index)
        return _answer(request, _body(data, "application/json"), SHORT)

    async def one(self, request: Request) -> Response:
        """`GET /v2/schemas/{title}/{version}`, where the version may be `latest` and end in `.json` or `.yaml`; and
        `GET /v2/schemas/{title}`, its versions."""
        path = request.path_params["path"]
        if self._schemas.versions(path):
            body = _body(to_json(self._describe(path, str(request.base_url))), "application/json")
            return _answer(request, body, SHORT)
        title, _, version = path.rpartition("/")
        form = next((ending for ending in (".json", ".yaml") if version.endswith(ending)), "")
        version = version.removesuffix(form)
        schema = self._schemas.get(title, version)
        if schema is None:
            raise self._missing(path, title, version)
        lasting = version != "latest" and self._schemas.is_settled(schema)
        return _answer(request, self._written(schema, form), IMMUTABLE if lasting else SHORT)

    def _describe(self, title: str, base: str) -> dict[str, Any]:
        newest = self._schemas.get(title)
        assert newest is not None
        return {
            "title": title,
            "description": newest.document.get("description", ""),
            "versions": list(self._schemas.versions(title)),
            "latest": f"{base}v2/schemas/{quote(title)}/latest",
        }

    def _written(self, schema: Schema, form: str) -> _Body:
        key = (schema.uri, form)
        if key not in self._bodies:
            if form == ".yaml":
                self._bodies[key] = _body(to_yaml(schema.document).encode(), "application/yaml")
            else:
                self._bodies[key] = _body(to_json(schema.document), "application/schema+json")
        return self._bodies[key]

    def _missing(self, path: str, title: str, version: str) -> Problem:
        if not self._schemas.versions(title) and version != "latest" and not version[:1].isdigit():
            # The last part is no version, so it may be that of a title.
            title = path
        detail = self._schemas.missing(title, version)
        hint = "" if ";" in detail else "; /v2/schemas lists all"
        return Problem(404, "Not found", detail + hint, "path")


def _body(data: bytes, media_type: str) -> _Body:
    return _Body(data, f'"{hashlib.blake2b(data, digest_size=16).hexdigest()}"', media_type)


def _answer(request: Request, body: _Body, cache_control: str) -> Response:
    headers = {"etag": body.tag, "cache-control": cache_control}
    if is_known(request, body.tag):
        return Response(status_code=304, headers=headers)
    return Response(body.data, 200, headers, body.media_type)
