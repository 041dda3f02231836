"""A gateway with a view that is built beside it, for tests."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.catalog.catalog import Catalog
from gateway.catalog.derivation import Expression
from gateway.catalog.stream import Stream
from gateway.catalog.view import View
from gateway.model.record import NewRecord
from gateway.state.builder import keep_building
from gateway.state.files import path_of, state_of
from gateway.state.place import Places
from tests.kit.waiting import becomes
from tests.routes.kit import Site, running

TOPIC = "pages"
PAGES = Stream("pages", (TOPIC,), message_key_fields=("wiki", "title"), partitions=2)
VIEW = View("pages", "pages", TOPIC, ("wiki", "title"), delete=Expression("event.type == 'delete'"), determined=True)
START = 1_700_000_000_000


def page(
    title: str, time: int = 0, wiki: str = "enwiki", kind: str = "edit", partition: int = 0, **more: Any
) -> NewRecord:
    """A change of a page, so many milliseconds after the start."""
    event = {"wiki": wiki, "title": title, "type": kind, **more}
    return NewRecord(json.dumps(event, ensure_ascii=False).encode(), None, START + time, partition)


def shown(title: str, **more: Any) -> dict[str, Any]:
    """The event of `page`."""
    return {"wiki": "enwiki", "title": title, "type": "edit", **more}


def _reaches(places: Places, partition: int, offset: int) -> bool:
    return partition in places and places[partition].next > offset


class Viewing:
    """A site and the task that builds its view."""

    def __init__(self, site: Site, directory: Path, view: View) -> None:
        self.site = site
        self.directory = directory
        self.view = view
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def build(self) -> None:
        """Build from now on."""
        self._stop = asyncio.Event()
        gateway = self.site.gateway
        self._task = asyncio.create_task(
            keep_building(self.view, self.site.log, self.directory, 1000, gateway.clock, self._stop)
        )

    async def rest(self) -> None:
        """Build no more."""
        self._stop.set()
        if self._task is not None:
            await self._task

    def declare(self, *views: View) -> None:
        """Put these in force."""
        current = self.site.gateway.current
        current.replace(dataclasses.replace(current.definitions, views=views))

    async def take(self, view: View, *streams: Stream) -> None:
        """Put this view in force by a reload, with these streams where any are given. It is not built by that."""
        await self.rest()
        self.view = view
        definitions = dataclasses.replace(self.site.gateway.current.definitions, views=(view,))
        if streams:
            definitions = dataclasses.replace(definitions, catalog=Catalog(streams))
        await self.site.gateway.take(definitions)

    async def has(self, offset: int, partition: int = 0) -> None:
        """Return once the view has read this record."""
        path = path_of(self.directory, self.view)

        def is_there() -> bool:
            state = state_of(path)
            return state is not None and state.ready and _reaches(state.places, partition, offset)

        await becomes(is_there)


@asynccontextmanager
async def viewing(directory: Path, *records: NewRecord, view: View = VIEW, **more: Any) -> AsyncIterator[Viewing]:
    """A site that has these records in the topic of this view, and builds it."""
    with pytest.MonkeyPatch.context() as patch:
        # A builder ends once its fetch has.
        patch.setattr("gateway.state.builder.WAIT", 0.02)
        async with _viewing(directory, *records, view=view, **more) as found:
            yield found


@asynccontextmanager
async def _viewing(directory: Path, *records: NewRecord, view: View, **more: Any) -> AsyncIterator[Viewing]:
    more.setdefault("streams", (PAGES,))
    async with running(view_directory=str(directory), **more) as site:
        site.log.create_topic("other", 1)
        found = Viewing(site, directory, view)
        found.declare(view)
        site.put(view.topic, *records)
        found.build()
        try:
            if records:
                await found.has(sum(record.partition == 0 for record in records) - 1)
            yield found
        finally:
            await found.rest()
