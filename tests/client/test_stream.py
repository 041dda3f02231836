"""`subscribe` and its blocking twin against scripted servers."""

from __future__ import annotations

import asyncio
import gc
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.client import (
    Event,
    EventsMissing,
    EventStream,
    EventTooLarge,
    Gap,
    InvalidQuery,
    MemoryPositions,
    Query,
    RecentIds,
    Refused,
    subscribe,
    subscribe_blocking,
)
from gateway.client.query import Time
from tests.client.server import Feed, Server, answer, events, message, position, stream
from tests.client.streams import END, GAP, Endless, Read, Stop, numbers, read_blocking, read_in_loop, stop_at


def test_events_know_their_place(read: Read) -> None:
    taken: list[Event] = []
    read(lambda: events(Server(stream(message(1) + message(2), END))), taken.append)
    assert [(event.topic, event.partition, event.offset, event.timestamp) for event in taken] == [
        ("t", 0, 1, 1000),
        ("t", 0, 2, 2000),
    ]
    assert [event.id for event in taken] == [position(1), position(2)]
    assert [event.data for event in taken] == [b'{"n": 1}', b'{"n": 2}']


@pytest.mark.parametrize("read", [read_in_loop, read_blocking])
@given(cuts=st.lists(st.integers(0, 1200), max_size=8), repeats=st.integers(0, 3), count=st.integers(1, 12))
def test_wherever_it_is_cut_each_event_comes_once_and_in_order(
    read: Read, cuts: list[int], repeats: int, count: int
) -> None:
    assert numbers(read, lambda: events(Feed(count, cuts, repeats))) == list(range(count))


@given(cuts=st.lists(st.integers(0, 1200), max_size=4), stops=st.lists(st.integers(1, 6), max_size=4))
def test_whenever_a_program_ends_it_goes_on_with_what_was_not_processed(cuts: list[int], stops: list[int]) -> None:
    store, done = MemoryPositions(), []
    for after in [*stops, 100]:
        taken = 0

        def take(event: Event, after: int = after) -> None:
            nonlocal taken
            taken += 1
            if taken == after:
                raise Stop  # Begun, and not finished.
            done.append(event.json["n"])

        try:
            read_in_loop(lambda: events(Feed(12, cuts), store=store), take)
        except Stop:
            assert store.position == (position(done[-1]) if done else "")
    assert done == list(range(12))


def test_an_event_that_is_too_large_is_raised_and_the_stream_goes_on_after_it() -> None:
    async def run() -> None:
        server = Server(stream(message(1) + message(2, text="x" * 2000) + message(3), END))
        async with subscribe("http://feed.test/s", maximum_event_bytes=1000, transport=server) as source:
            assert (await anext(source)).json == {"n": 1}
            with pytest.raises(EventTooLarge, match="larger than is read: t/0 at 2") as raised:
                await anext(source)
            assert raised.value.gap.reason == "too_large"
            assert source.position == position(1)
            assert (await anext(source)).json == {"n": 3}
            assert source.position == position(2)

    asyncio.run(run())


def test_a_gap_is_raised_and_the_stream_goes_on_after_it() -> None:
    async def run() -> None:
        store = MemoryPositions()
        gap = GAP % position(4).encode()
        async with events(Server(stream(message(1) + gap + message(5), END)), store=store) as source:
            assert (await anext(source)).offset == 1
            with pytest.raises(EventsMissing, match="t/0 goes on at 5; 1 was asked for") as raised:
                await anext(source)
            assert raised.value.gap.reason == "expired"
            assert source.position == position(1)
            assert [event.offset async for event in source] == [5]
        assert store.position == position(5)

    asyncio.run(run())
    gap = GAP % position(4).encode()
    with subscribe_blocking("http://feed.test/s", transport=Server(stream(gap + message(5), END))) as source:
        with pytest.raises(EventsMissing):
            next(source)
        assert [event.offset for event in source] == [5]


@pytest.mark.parametrize("waits", [False, True])
def test_a_gap_may_be_called_back(read: Read, waits: bool) -> None:
    gaps: list[int | None] = []

    async def note_later(gap: Gap) -> None:
        await asyncio.sleep(0)
        gaps.append(gap.resumed)

    on_gap = note_later if waits else lambda gap: gaps.append(gap.resumed)
    server = Server(stream(message(9) + GAP % position(4).encode() + message(5), END))
    assert numbers(read, lambda: events(server, on_gap=on_gap)) == [9, 5]
    assert gaps == [5]


async def test_who_is_cancelled_while_waiting_loses_nothing() -> None:
    feed = Endless(message(1))
    async with events(feed.server()) as source:
        assert (await anext(source)).offset == 1
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await anext(source)
        feed.more.put_nowait(message(2))
        assert (await anext(source)).offset == 2
    assert feed.closed.is_set()


async def test_two_who_wait_get_different_events() -> None:
    feed = Endless()
    async with events(feed.server()) as source:
        waiting = [asyncio.ensure_future(anext(source)) for _ in range(2)]
        await feed.opened.wait()
        feed.more.put_nowait(message(1))
        feed.more.put_nowait(message(2))
        async with asyncio.timeout(60):
            assert sorted([(await each).json["n"] for each in waiting]) == [1, 2]


async def test_closing_ends_who_waits_and_the_connection() -> None:
    feed = Endless()
    source = events(feed.server())
    waiting = asyncio.create_task(anext(source, None))
    await feed.opened.wait()
    await source.aclose()
    assert await waiting is None
    assert feed.closed.is_set()
    assert [event async for event in source] == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_stream_that_is_dropped_leaves_nothing_behind() -> None:
    left, cancelled = Endless(message(1)), Endless(message(1))
    async for _ in events(left.server()):
        break

    async def follow() -> None:
        async for _ in events(cancelled.server()):
            pass

    following = asyncio.create_task(follow())
    await cancelled.opened.wait()
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following
    del following
    gc.collect()
    async with asyncio.timeout(60):
        await left.closed.wait()
        await cancelled.closed.wait()


def test_a_limit_counts_over_connections_and_not_what_is_repeated(read: Read) -> None:
    ended = b'event: end\ndata: {"reason":"limit"}\n\n'
    server = Server(
        stream(message(1) + message(2), httpx.ReadError("reset")),
        stream(message(2) + message(3) + message(4)[:-5], httpx.ReadError("reset")),
        stream(message(3) + ended),
        stream(message(4) + ended),
    )
    assert numbers(read, lambda: events(server, Query(limit=4))) == [1, 2, 3, 4]
    assert [server.parameters(number)["limit"] for number in range(4)] == ["4", "2", "1", "1"]


def test_after_an_error_it_can_be_read_on() -> None:
    async def run() -> None:
        async with events(Server(stream(message(1)), answer(404), stream(message(2), END))) as source:
            assert (await anext(source)).offset == 1
            with pytest.raises(Refused):
                await anext(source)
            assert [event.offset async for event in source] == [2]

    asyncio.run(run())


@pytest.mark.parametrize("since", [0, "1970-01-01", timedelta(99_999), datetime(1960, 1, 1, tzinfo=UTC)])
def test_the_beginning_is_asked_for(since: Time, read: Read) -> None:
    server = Server(stream(message(1), END))
    assert numbers(read, lambda: subscribe("http://feed.test/s", since=since, transport=server)) == [1]
    assert server.parameters(0) == {"since": "1970-01-01T00:00:00.000Z"}


def test_what_is_written_is_asked_for() -> None:
    server = Server(stream(message(1), END))
    tokens = iter(["first"])
    with subscribe_blocking(
        "http://feed.test/",
        ["wiki.change", "wiki.*"],
        since=datetime(2026, 1, 1, tzinfo=UTC),
        until="2026-01-02",
        limit=5,
        filter="event.n == 1",
        fields=["n", "a.b"],
        canary=True,
        token=lambda: next(tokens),
        headers={"User-Agent": "me/1 (me@example.org)"},
        transport=server,
    ) as source:
        assert len(source.batch()) == 1
        assert source.batch() == []
    assert server.requests[0].url.path == "/v2/stream/wiki.change,wiki.*"
    assert server.parameters(0) == {
        "since": "2026-01-01T00:00:00.000Z",
        "until": "2026-01-02T00:00:00.000Z",
        "limit": "5",
        "filter": "event.n == 1",
        "fields": "n,a.b",
        "canary": "true",
    }
    assert server.requests[0].headers["authorization"] == "Bearer first"
    assert server.requests[0].headers["user-agent"] == "me/1 (me@example.org)"


def test_a_token_goes_to_no_other_server() -> None:
    server = Server(answer(307, location="http://elsewhere.test/s"), stream(message(1), END))
    with subscribe_blocking("http://feed.test/s", token="secret", transport=server) as source:
        next(source)
    assert [request.headers.get("authorization") for request in server.requests] == ["Bearer secret", None]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"since": "yesterday"}, "since: 'yesterday' is not a time; write ISO 8601"),
        ({"since": datetime(2026, 1, 1)}, "has no zone"),  # noqa: DTZ001
        ({"until": "later"}, "until: 'later' is not a time"),
        ({"since": timedelta(hours=1), "until": timedelta(hours=2)}, "until is not after since"),
        ({"limit": 0}, "limit: 0 events are none"),
        ({"streams": []}, "no stream is named"),
        ({"token": "a\nb"}, "the token cannot be sent"),
        ({"token": ""}, "the token cannot be sent"),
        ({"filter": "event.n = 1"}, "line 1, column 9"),
        ({"fields": "a..b"}, "empty name"),
    ],
)
def test_what_cannot_be_asked_for(options: dict[str, Any], said: str) -> None:
    server = Server(stream(message(1), headers={}))
    with pytest.raises(InvalidQuery) as raised, subscribe_blocking("http://h/s", transport=server, **options) as source:
        next(source)
    assert said in str(raised.value)


def test_events_of_several_servers_are_told_apart_by_their_ids(read: Read) -> None:
    recent = RecentIds()
    taken: list[int | None] = []
    for first in (1, 2):
        frames = [message(first + n, meta={"id": str(first + n)}) for n in range(3)]
        server = Server(stream(*frames, END))
        options: dict[str, Any] = {"transport": server, "recent_ids": recent}
        read(lambda options=options: subscribe("http://h/s", **options), lambda event: taken.append(event.offset))  # type: ignore[misc]
    assert taken == [1, 2, 3, 4]


def named(number: int) -> bytes:
    """A frame with an event that has a `meta.id`."""
    return message(number, meta={"id": str(number)})


def test_what_was_read_and_not_processed_is_no_duplicate_of_anything(read: Read) -> None:
    recent = RecentIds()
    frames = named(1) + named(2) + named(3)

    def again() -> EventStream:
        return subscribe("http://h/s", transport=Server(stream(frames, END)), recent_ids=recent)

    with pytest.raises(Stop):
        read(again, stop_at(2))
    assert numbers(read, again) == [2, 3]
    assert numbers(read, again) == []


async def test_only_what_was_committed_is_a_duplicate_where_that_was_chosen() -> None:
    recent = RecentIds()
    frames = b"".join(named(number) for number in range(1, 5))

    def again() -> EventStream:
        server = Server(stream(frames, END))
        return subscribe("http://h/s", transport=server, recent_ids=recent, auto_commit=False)

    async with again() as source:
        _, second, _ = [await anext(source) for _ in range(3)]
        await source.commit(second)
    async with again() as source:
        assert [event.offset for event in await source.batch()] == [3, 4]
        await source.commit()
    async with again() as source:
        assert await source.batch() == []


async def test_what_another_subscription_has_processed_meanwhile_is_passed_over() -> None:
    recent, store = RecentIds(), MemoryPositions()
    frames = named(1) + named(2) + named(3)
    servers = [Server(stream(frames, END)) for _ in range(2)]
    async with (
        subscribe("http://h/s", transport=servers[0], recent_ids=recent) as one,
        subscribe("http://h/s", transport=servers[1], recent_ids=recent, store=store) as other,
    ):
        assert [(await anext(source)).offset for source in (one, other)] == [1, 1], "both have begun it"
        assert [(await anext(one)).offset for _ in range(2)] == [2, 3]
        assert (await anext(other)).offset == 3, "the second is processed, the third is not"
        assert await anext(one, None) is None
    async with subscribe("http://h/s", transport=Server(stream(frames, END)), recent_ids=recent, store=store) as last:
        assert await last.batch() == []
    assert store.position == position(3)


async def test_an_event_that_comes_twice_at_once_is_processed_once() -> None:
    frames = [message(number, meta={"id": "same"}) for number in (1, 2)]
    server = Server(stream(b"".join(frames) + named(3), END))
    async with subscribe("http://h/s", limit=2, transport=server, recent_ids=RecentIds(), auto_commit=False) as source:
        assert [event.offset for event in await source.batch()] == [1, 3]


def test_times_that_go_back_lose_no_event(read: Read) -> None:
    entry = '[{"topic":"t","partition":0,"timestamp":%d,"seen":1}]'
    times = [100, 90, 95, 101]
    first, last = (stream(*(message(time, entry % time) for time in part)) for part in (times[:3], times[3:]))
    server = Server(first, last, answer(204))
    assert numbers(read, lambda: events(server)) == times
    assert server.position(1) == entry % 95


@pytest.mark.long
def test_a_lost_connection_is_logged_where_nobody_is_told(read: Read, caplog: pytest.LogCaptureFixture) -> None:
    server = Server(stream(b"retry: 1\n\n" + message(1)), stream(message(2), END))
    assert numbers(read, lambda: subscribe("http://me:secret@h/s?token=secret", transport=server)) == [1, 2]
    assert [record.getMessage().partition(";")[0] for record in caplog.records if record.name == "gateway.client"] == [
        "http://h/s: the server ended the response"
    ]
