"""Erasing reaches views: their files go, and they are built again from what is left."""

from __future__ import annotations

from pathlib import Path

from gateway.catalog.catalog import Catalog
from gateway.commands.erasing import Matcher, erase_everywhere
from gateway.definitions import Definitions
from gateway.eventlog.memory.log import MemoryLog
from gateway.schemas.repository import SchemaRepository
from gateway.settings.table import Settings
from gateway.state.files import path_of
from gateway.state.store import Store
from tests.routes.viewing import PAGES, VIEW


async def test_the_views_of_a_stream_are_taken_away(tmp_path: Path) -> None:
    log = MemoryLog()
    log.create_topic("pages", 2)
    Store(path_of(tmp_path, VIEW), VIEW).close()
    said: list[str] = []
    settings, matcher = Settings(view_directory=str(tmp_path)), Matcher(b"a", None)
    definitions = Definitions(Catalog([PAGES]), SchemaRepository(()), views=(VIEW,))
    for _ in range(2):
        await erase_everywhere(PAGES, definitions, log, settings, matcher, False, said.append)
    assert [line for line in said if line.startswith("views: ")] == [
        "views: pages is built again; it knows no state from before the log, or its archive, begins",
        "views: no file of pages here; erase it where the view is built, too",
    ]
