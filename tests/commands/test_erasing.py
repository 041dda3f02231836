"""Erasing reaches all topics of a stream, and its views: their files go, and they are built again from what is left."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from gateway.catalog.catalog import Catalog
from gateway.catalog.derivation import Derivation
from gateway.catalog.stream import Stream
from gateway.commands.erasing import Matcher, erase_everywhere
from gateway.definitions import Definitions
from gateway.eventlog.memory.log import MemoryLog
from gateway.filters.compile import compile_filter
from gateway.model.record import NewRecord, Record
from gateway.schemas.repository import SchemaRepository
from gateway.settings.table import Settings
from gateway.state.files import path_of
from gateway.state.place import Place
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
        await erase_everywhere(PAGES, definitions, (), log, settings, matcher, False, said.append)
    assert [line for line in said if line.startswith("views: ")] == [
        "views: pages is built again; it knows no state from before the log, or its archive, begins",
        "views: no file of pages here; erase it where the view is built, too",
    ]


async def test_views_that_are_not_declared_any_more_are_taken_away_too(tmp_path: Path) -> None:
    """Declared again, they would answer at once."""
    log = MemoryLog()
    log.create_topic("pages", 2)
    former = dataclasses.replace(VIEW, name="former")
    other = dataclasses.replace(VIEW, name="other", topic="others")
    for view in (VIEW, former, other):
        store = Store(path_of(tmp_path, view), view)
        store.begin({0: Place(0)}, "identity", 1)
        store.close()
    said: list[str] = []
    settings, matcher = Settings(view_directory=str(tmp_path)), Matcher(b"a", None)
    definitions = Definitions(Catalog([PAGES]), SchemaRepository(()), views=(VIEW,))
    await erase_everywhere(PAGES, definitions, (), log, settings, matcher, False, said.append)
    assert [name for name in os.listdir(tmp_path) if name.endswith(".db")] == [path_of(tmp_path, other).name]
    assert any(path_of(tmp_path, former).name in line for line in said)


async def test_a_topic_that_is_not_there_yet_keeps_nothing_from_being_erased(tmp_path: Path) -> None:
    log = MemoryLog()
    log.create_topic("pages")
    log.append_now("pages", [NewRecord(b"{}", b"a"), NewRecord(b"{}", b"b")])
    Store(path_of(tmp_path, VIEW), VIEW).close()
    stream = dataclasses.replace(PAGES, topics=("absent", "pages"))
    definitions = Definitions(Catalog([stream]), SchemaRepository(()), views=(VIEW,))
    said: list[str] = []
    settings = Settings(view_directory=str(tmp_path))
    await erase_everywhere(stream, definitions, (), log, settings, Matcher(b"a", None), False, said.append)
    assert said[0] == "log: 1 record emptied"
    assert any(line.startswith("views: pages is built again") for line in said)


async def test_earlier_versions_of_a_derived_stream_are_erased_from_too() -> None:
    log = MemoryLog()
    for topic in ("made", "made.v2", "made.v4"):
        log.create_topic(topic)
        log.append_now(topic, [NewRecord(b"{}", b"a"), NewRecord(b"{}", b"b")])
    made = Stream("made", ("made.v4",), derive=Derivation(("pages",), version=4))
    other = Stream("other", ("made.v2",))
    definitions = Definitions(Catalog([PAGES, made, other]), SchemaRepository(()))
    said: list[str] = []
    await erase_everywhere(made, definitions, (), log, Settings(), Matcher(b"a", None), False, said.append)
    assert said[0] == "log: 2 records emptied"


def test_a_matcher_needs_either_a_key_or_a_filter() -> None:
    for key, where in ((None, None), (b"a", compile_filter("true"))):
        with pytest.raises(ValueError, match="either a key or a filter"):
            Matcher(key, where)


BOB = [rb'{"user":"Bob","t":"\ud83d"}', b'{"user":"Bob","n":1e400}', b'{"user":"Bob"}']
"""What streams deliver, though orjson alone reads only the last."""


@pytest.mark.parametrize(
    ("value", "matches"), [*((value, True) for value in BOB), (b"[1]", False), (b"x", False), (None, False)]
)
def test_a_filter_finds_all_that_streams_deliver(value: bytes | None, matches: bool) -> None:
    matcher = Matcher(None, compile_filter('event.user == "Bob"'))
    assert matcher(Record("pages", 0, 0, 1, None, value)) is matches


async def test_all_that_a_filter_finds_is_erased(tmp_path: Path) -> None:
    log = MemoryLog()
    log.create_topic("pages")
    log.append_now("pages", [NewRecord(value, b"a") for value in (*BOB, b"x", b'{"user":"Ada"}')])
    said: list[str] = []
    settings = Settings(view_directory=str(tmp_path))
    matcher = Matcher(None, compile_filter('event.user == "Bob"'))
    definitions = Definitions(Catalog([PAGES]), SchemaRepository(()))
    await erase_everywhere(PAGES, definitions, (), log, settings, matcher, False, said.append)
    assert said[0] == "log: 3 records emptied"
