"""The table of the open streams of a process with very many: what is looked at, and that others run meanwhile."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway import cooperative
from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.hub.ring import Ring
from gateway.subscription.connections import Table
from gateway.subscription.session import Session

SESSIONS = 500


class NoClients:
    """A feed to which nobody listens live."""

    clients = ()


class Asked:
    """A connection that counts how often it is asked for its figures."""

    def __init__(self) -> None:
        self.times = 0

    def get_extra_info(self, _: str) -> None:
        self.times += 1


def sessions(connection: Asked) -> list[Session]:
    """The newer, the further to the front."""
    feed = NoClients()
    selection = SimpleNamespace(topics=frozenset({"a"}), filter=None)
    found = [
        SimpleNamespace(
            since=SESSIONS - number,
            visitor=SimpleNamespace(address=f"{number:05}", agent=""),
            live_feed=feed,
            subscription=None,
            request=SimpleNamespace(selection=selection, format=SimpleNamespace(content_type="")),
            writer=SimpleNamespace(sink=SimpleNamespace(transport=connection)),
        )
        for number in range(SESSIONS)
    ]
    return cast(list[Session], found)


def table() -> Table:
    return Table(Catalog([Stream("of a", ("a",)), Stream("of b", ("b",))]), cast(Ring, None), "worker")


async def test_others_run_while_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cooperative, "YIELD_SECONDS", 0.0)
    making = asyncio.create_task(table().first(sessions(Asked()), "since", 10))
    turns = 0
    while not making.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns >= SESSIONS
    assert [row.since for row in making.result()] == list(range(1, 11))


@pytest.mark.parametrize(("order", "times"), [("since", 3), ("address", 3), ("lag", 3), ("bytes", SESSIONS + 3)])
async def test_no_more_is_found_out_of_those_that_are_not_shown(order: str, times: int) -> None:
    connection = Asked()
    rows = await table().first(sessions(connection), order, 3)
    assert connection.times == times
    assert len(rows) == 3
    assert rows[0].streams == ["of a"]


async def test_the_fewest_are_shown_where_there_are_fewer() -> None:
    few: Any = sessions(Asked())[:2]
    assert len(await table().first(few, "address", 100)) == 2
    assert await table().first([], "lag", 100) == []
