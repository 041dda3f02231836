"""A mistake of our own ends clients, but none goes on as if it had been sent what it has not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.feed.live import LiveFeed
from gateway.feed.live_clients import LiveClient
from gateway.feed.packer import Gzip, Plain
from gateway.feed.router import FilterRouter
from gateway.feed.selection import Selection
from gateway.filters.index import FilterIndex
from gateway.wire.sse import SSE
from tests.feed.live_reader import LiveReader, broadcast_of, connect, deliver

DEAR = "event.x in [] || (event.n == 1 && event.list.all(one, one < 1000))"
"""Takes more steps than one may have that is live, on an event with a long list."""
LIST = list(range(200))
BOTH = frozenset(["alpha", "beta"])


def awaited(reader: LiveReader) -> asyncio.Future[int]:
    """What the task of this client waits for."""
    released = reader.client.released = asyncio.get_running_loop().create_future()
    return released


def _fail(*_: object) -> None:
    raise ZeroDivisionError


async def test_a_mistake_of_our_own_ends_the_clients_of_these_streams_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    broadcast = broadcast_of()
    broken = [connect(broadcast, text, Plain()) for text in (None, 'event.wiki == "a"')]
    other = LiveReader(broadcast.join(Selection(frozenset(["alpha", "beta"])), SSE), Plain())
    for reader in broken:
        awaited(reader)
        monkeypatch.setattr(reader.live_feed.router, "affected", _fail)
    deliver(broadcast, {"n": 1, "wiki": "a"})
    for reader in broken:
        assert reader.client.released is not None
        assert isinstance(reader.client.released.exception(), ZeroDivisionError)
        assert not reader.live_feed.clients
    assert other.numbers() == [1]


async def test_who_leaves_takes_nothing_along_of_a_filter_that_can_never_match() -> None:
    broadcast = broadcast_of()
    other, dear = connect(broadcast, "event.x == 1", Plain()), connect(broadcast, DEAR, Plain())
    behind = LiveReader(broadcast.join(Selection(BOTH), SSE), Plain())
    released = awaited(dear)
    other.live_feed.remove(other.client)
    deliver(broadcast, {"n": 1, "list": LIST})
    assert released.done()
    assert released.result() == 0
    deliver(broadcast, {"n": 2})
    assert behind.numbers() == [1, 2]


@pytest.mark.parametrize("packer", [Plain, Gzip])
async def test_a_client_is_handed_back_though_its_filter_cannot_be_taken_out(
    packer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    broadcast = broadcast_of()
    reader = connect(broadcast, "event.n == 1", packer())
    released = awaited(reader)
    monkeypatch.setattr(FilterIndex, "remove", _fail)
    with pytest.raises(ZeroDivisionError):
        reader.live_feed.leave(reader.client, reader.sink.gone)
    assert released.result() == 0
    assert not reader.live_feed.clients
    assert reader.live_feed.router.clients == 0


@pytest.mark.parametrize("event", [{"n": 1, "list": LIST}, {"n": 1, "text": "a" * 300_000}], ids=["dear", "large"])
async def test_clients_that_cannot_be_handed_back_keep_nothing_from_others(
    event: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    broadcast = broadcast_of()
    broken = [connect(broadcast, "event.n > 0 && event.list.all(one, one < 1000)", Plain()) for _ in range(2)]
    behind = LiveReader(broadcast.join(Selection(BOTH), SSE), Plain())
    ends = [awaited(reader) for reader in [*broken, behind]]
    monkeypatch.setattr(LiveFeed, "remove", _failing_once(broken[0].client))
    deliver(broadcast, event)
    # The first goes on at the segment that it has not been sent; the other is ended.
    assert ends[0].result() == 0
    assert isinstance(ends[1].exception(), ZeroDivisionError)
    if "text" in event:
        assert ends[2].result() == 0
    else:
        assert behind.numbers() == [1]


def _failing_once(client: LiveClient) -> Any:
    remove = LiveFeed.remove

    def failing(live: LiveFeed, other: LiveClient) -> None:
        remove(live, other)
        if other is client:
            raise ZeroDivisionError

    return failing


async def test_all_feeds_are_renewed_though_one_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    broadcast = broadcast_of()
    readers = [connect(broadcast, text, Plain()) for text in ("event.n == 1", None)]
    ends = [awaited(reader) for reader in readers]
    monkeypatch.setattr(FilterIndex, "remove", _fail)
    broadcast.hub.partitions_changed()
    assert [end.result() for end in ends] == [0, 0]


async def test_clients_end_though_the_mistake_is_met_again_while_they_do(monkeypatch: pytest.MonkeyPatch) -> None:
    broadcast = broadcast_of()
    readers = [connect(broadcast, text, Plain()) for text in ("event.n > 0", "event.n > 0", 'event.wiki == "a"')]
    ends = [awaited(reader) for reader in readers]
    for mistaken, name in ((FilterIndex, "remove"), (LiveClient, "on_release"), (FilterRouter, "affected")):
        monkeypatch.setattr(mistaken, name, _fail)
    deliver(broadcast, {"n": 1})
    assert all(isinstance(end.exception(), ZeroDivisionError) for end in ends)
    assert not any(reader.live_feed.clients for reader in readers)


async def test_a_client_whose_position_cannot_be_told_does_not_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = connect(broadcast_of(), None, Plain())
    released = awaited(reader)
    monkeypatch.setattr(LiveClient, "on_release", _fail)
    reader.live_feed.leave(reader.client, reader.sink.gone)
    assert isinstance(released.exception(), ZeroDivisionError)
