"""When `subscribe` stores a position, which, and what it does where a store fails."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.client import FilePositions, MemoryPositions, PositionStoreError, Query
from tests.client.server import Server, answer, events, message, position, stream
from tests.client.streams import END, Endless, Failing, Noticed, Read, Stop, numbers, stop_at


def test_a_position_is_stored_once_the_next_event_is_asked_for(read: Read) -> None:
    store = MemoryPositions()
    before: list[str] = []
    server = Server(stream(message(1) + message(2) + message(3), END))
    read(lambda: events(server, store=store, store_seconds=0), lambda event: before.append(store.position))
    assert before == ["", position(1), position(2)]
    assert store.position == position(3)


def test_what_a_store_holds_goes_before_what_was_given(read: Read) -> None:
    server = Server(answer(204))
    store = MemoryPositions(position(7))
    assert numbers(read, lambda: events(server, Query(since=5), store=store, last_event_id=position(3))) == []
    assert server.position(0) == position(7)
    assert server.parameters(0) == {}


def test_an_event_in_whose_processing_it_fails_comes_again(read: Read) -> None:
    store = MemoryPositions()
    with pytest.raises(Stop):
        read(lambda: events(Server(stream(message(1) + message(2) + message(3))), store=store), stop_at(2))
    assert store.position == position(1)


async def test_only_a_commit_counts_where_that_was_chosen() -> None:
    store = MemoryPositions()
    feed = Endless(message(1) + message(2) + message(3), message(4))
    async with events(feed.server(), store=store, auto_commit=False) as source:
        first, _, third = [await anext(source) for _ in range(3)]
        assert store.position == ""
        await source.commit(first)
        assert store.position == source.position == position(1)
        await source.commit(third)
        assert store.position == position(3)
        await anext(source)
    assert store.position == position(3)


async def test_a_commit_before_the_loop_is_left_is_stored() -> None:
    store = MemoryPositions()
    async with events(Endless(message(1) + message(2)).server(), store=store) as source:
        async for _ in source:
            await source.commit()
            break
    assert store.position == position(1)


@pytest.mark.parametrize("auto_commit", [True, False])
async def test_heartbeats_move_a_position_after_which_all_is_processed(auto_commit: bool) -> None:
    store = Noticed()
    heartbeat = b"id: " + position(9).encode() + b"\n\n"
    feed = Endless(message(1) + heartbeat)
    async with events(feed.server(), store=store, store_seconds=0, auto_commit=auto_commit) as source:
        event = await anext(source)
        if not auto_commit:
            await source.commit(event)
        waiting = asyncio.ensure_future(anext(source))
        await store.reached(position(9))
        feed.more.put_nowait(b"id: " + position(15).encode() + b"\n\n")
        await store.reached(position(15))
        feed.more.put_nowait(message(20))
        assert (await waiting).offset == 20
    assert store.position == position(15)


async def test_heartbeats_move_no_position_past_what_was_not_committed() -> None:
    store = MemoryPositions()
    feed = Endless(message(1), b"id: " + position(9).encode() + b"\n\n", message(10))
    async with events(feed.server(), store=store, store_seconds=0, auto_commit=False) as source:
        assert [(await anext(source)).offset for _ in range(2)] == [1, 10]
    assert store.position == ""


async def test_a_position_is_stored_in_time_also_where_nothing_comes() -> None:
    store = Noticed()
    async with events(Endless(message(1), message(2)).server(), store=store, store_seconds=0.01) as source:
        await anext(source)
        await anext(source)
        waiting = asyncio.ensure_future(anext(source))
        await store.reached(position(2))
        waiting.cancel()


async def test_a_store_that_fails_is_told_and_the_stream_can_be_read_on() -> None:
    store = Failing()
    source = events(Endless(message(1) + message(2) + message(3)).server(), store=store)
    await anext(source)
    with pytest.raises(PositionStoreError, match="the disk is full"):
        await anext(source)
    assert (await anext(source)).offset == 2
    with pytest.raises(PositionStoreError):
        await source.commit()
    store.fails = False
    await source.commit()
    assert store.position == position(2)
    store.fails = True
    assert (await anext(source)).offset == 3
    await source.aclose()


def test_a_store_that_fails_at_the_end_hides_no_other_error(read: Read) -> None:
    class FullLater(MemoryPositions):
        def save(self, position: str) -> None:
            if self.position:
                raise PositionStoreError("the disk is full")
            super().save(position)

    server = Server(stream(message(1), message(2), message(3)))
    with pytest.raises(Stop) as raised:
        read(lambda: events(server, store=FullLater(), store_seconds=60), stop_at(3))
    assert raised.value.__notes__ == ["The position was not stored: the disk is full"]


def test_a_store_that_cannot_be_read_is_told_before_any_request(read: Read, tmp_path: Path) -> None:
    (tmp_path / "position").write_bytes(b"\xff")
    with pytest.raises(PositionStoreError, match="holds something else"):
        numbers(read, lambda: events(Server(), store=FilePositions(tmp_path / "position")))
