"""Who reads a view in a process: one who asks for a key waits for no one who reads all of them."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.catalog.view import View
from gateway.state.files import path_of
from gateway.state.lookup import Lookup
from gateway.state.place import Place
from gateway.state.serving import THREADS, WALKS, Serving, Views
from gateway.state.store import Store

VIEW = View("v", "pages", "pages", ("page",), determined=True)


@asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[Serving]:
    """What reads an empty view that is ready."""
    store = Store(path_of(directory, VIEW), VIEW)
    store.begin({0: Place(0)}, "identity", 1)
    store.say(ready=True)
    store.close()
    views = Views(directory, lambda: (VIEW,))
    found = await views.serving(VIEW)
    assert found is not None
    try:
        yield found
    finally:
        await views.close()


async def test_a_file_that_could_not_be_read_once_is_opened_again(tmp_path: Path) -> None:
    def fail(_: Lookup) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    async with serving(tmp_path) as one:
        for _ in range(2 * THREADS):
            with pytest.raises(sqlite3.OperationalError, match="disk"):
                await one.run(fail)
            assert await one.run(Lookup.state) is not None


async def test_what_is_told_is_of_one_file_also_where_another_takes_its_name(tmp_path: Path) -> None:
    path = path_of(tmp_path, VIEW)
    async with serving(tmp_path) as one:
        path.rename(tmp_path / "old")
        Store(path, VIEW).close()
        with pytest.raises(sqlite3.OperationalError, match="another file"):
            await one.run(Lookup.state)


async def test_one_who_asks_waits_for_none_of_many_who_read_everything(tmp_path: Path) -> None:
    begun, release = [], threading.Event()

    def long(_: Lookup, number: int) -> int:
        begun.append(number)
        assert release.wait(60)
        return number

    async with serving(tmp_path) as one:
        walking = [asyncio.create_task(one.walk(long, number)) for number in range(5 * THREADS)]
        try:
            async with asyncio.timeout(30):
                for _ in range(10):
                    assert await one.run(Lookup.state) is not None
            assert len(begun) <= WALKS < THREADS
            walking[-1].cancel()
        finally:
            release.set()
        assert await asyncio.gather(*walking[:-1]) == list(range(5 * THREADS - 1))
        assert sorted(begun) == list(range(5 * THREADS - 1))
