"""`/v2/streams`: the streams, what they hold, and their rates."""

from __future__ import annotations

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gateway.catalog.catalog import Catalog
from gateway.catalog.derivation import Derivation
from gateway.catalog.lineage import made_of, read_by
from gateway.catalog.stream import Stream
from gateway.errors import Problem
from gateway.routes.access import Viewers
from gateway.routes.answers import json_answer
from gateway.routes.survey import Survey, Surveyor
from gateway.schemas.repository import SchemaRepository
from gateway.times import iso_time

PRIVATE = {"cache-control": "private, no-store", "vary": "authorization"}
"""Headers of what was made for the holder of a token alone."""
REMEMBERED = 16
"""Catalogues of which the document is kept until the next survey: all who may see the same share one."""
STEP_STREAMS = 100
"""The number of names after which other work runs."""
Lags = Callable[[], Mapping[str, int]]
"""Seconds by which derived streams are behind their sources, by their names; those alone of which it is known."""
BASE = uuid.uuid4().hex
"""Stands in a document for the address under which the gateway is asked; no text of a stream has it."""


class CatalogRoutes:
    """Answers from the catalogue that the client may see, and what was found in its topics. `rules` gives the rules
    that read a stream, where that may be told, `absent` the topics that are not there."""

    def __init__(
        self,
        viewers: Viewers,
        surveyor: Surveyor,
        lags: Lags,
        schemas: Callable[[], SchemaRepository],
        rules: Callable[[], Mapping[str, Sequence[str]]] | None = None,
        absent: Callable[[], Container[str]] = tuple,
    ) -> None:
        self._absent = absent
        self._viewers = viewers
        self._surveyor = surveyor
        self._lags = lags
        self._schemas = schemas
        self._rules = rules
        self._documents: OrderedDict[Catalog, tuple[Survey, asyncio.Task[list[bytes]]]] = OrderedDict()

    async def index(self, request: Request) -> Response:
        """`GET /v2/streams`"""
        grant = await self._viewers.reader(request.scope)
        survey = await self._surveyor.look()
        parts = await asyncio.shield(self._document(self._viewers.readable(grant), survey))
        base = orjson.dumps(str(request.base_url))[1:-1]
        headers = {"cache-control": "no-store", **(PRIVATE if grant.by_token else {})}
        return Response(base.join(parts), 200, headers, "application/json")

    def _document(self, catalog: Catalog, survey: Survey) -> asyncio.Task[list[bytes]]:
        """The document of a catalogue, made once for a survey, between places where the address stands."""
        known = self._documents.get(catalog)
        if known is not None and known[0] is survey and not known[1].cancelled():
            return known[1]
        task = asyncio.create_task(self._make(catalog))
        self._documents[catalog] = survey, task
        self._documents.move_to_end(catalog)
        while len(self._documents) > REMEMBERED:
            self._documents.popitem(last=False)
        return task

    async def _make(self, catalog: Catalog) -> list[bytes]:
        described: list[bytes] = []
        made = read_by(catalog.streams)
        for stream in catalog.streams.values():
            described.append(orjson.dumps(self._describe(stream, catalog, made, BASE)))
            if len(described) % STEP_STREAMS == 0:
                await asyncio.sleep(0)
        return (b"[" + b",".join(described) + b"]\n").split(BASE.encode())

    async def one(self, request: Request) -> Response:
        """`GET /v2/streams/{name}`"""
        name = request.path_params["name"]
        grant = await self._viewers.reader(request.scope)
        catalog = self._viewers.readable(grant)
        stream = catalog.get(name)
        if stream is None:
            close = catalog.close_matches(name)
            hint = f"; did you mean {' or '.join(close)}?" if close else ""
            raise Problem(404, "Not found", f"there is no stream {name[:100]!r}{hint}", "name")
        await self._surveyor.look()
        description = self._describe(stream, catalog, read_by(catalog.streams), str(request.base_url))
        example = self._surveyor.example(stream.topics)
        description["example"] = None if example is None else orjson.Fragment(example)
        return json_answer(description, headers=PRIVATE if grant.by_token else {})

    def _describe(
        self, stream: Stream, catalog: Catalog, made: Mapping[str, Sequence[str]], base: str
    ) -> dict[str, Any]:
        schema, surveyor = None, self._surveyor
        registered = self._schemas().described(stream.name)
        title = stream.schema_title if registered is None else registered.together.title
        if title is not None and not title.startswith("/"):
            schema = f"{base}v2/schemas/{quote(title)}/latest"
        sources = [name for name in made_of(stream) if name in catalog.streams]
        # A private source does not exist for whoever may not read it: nothing tells of how it is used.
        derive = stream.derive if len(sources) == len(made_of(stream)) else None
        rules = {} if self._rules is None else {"rules": list(self._rules().get(stream.name, ()))}
        gone = self._absent()
        absent = [topic for topic in stream.topics if topic in gone]
        return {
            "name": stream.name,
            "aliases": list(stream.aliases),
            "title": stream.title or stream.name,
            "description": stream.description,
            "schema": schema,
            "topics": list(stream.topics),
            "derived_from": sources,
            "derived_into": list(made.get(stream.name, ())),
            "derivation": None if derive is None else self._derivation(stream.name, derive),
            **rules,
            "oldest": _shown(surveyor.oldest(stream.topics)),
            "newest": _shown(surveyor.newest(stream.topics)),
            "rate": surveyor.rate(stream.topics),
            **({"absent": absent} if absent else {}),
        }

    def _derivation(self, name: str, derive: Derivation) -> dict[str, Any]:
        return {"operator": derive.operator, "version": derive.version, "lag": self._lags().get(name)}


def _shown(milliseconds: int | None) -> str | int | None:
    """As ISO 8601; as the number where no calendar has it."""
    if milliseconds is None:
        return None
    text = iso_time(milliseconds)
    return text if text.endswith("Z") else milliseconds
