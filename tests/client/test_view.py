"""`view` and its blocking twin: a mapping that stays up to date over lost connections, and its changes."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.client import ClientError, Refused, view, view_blocking
from gateway.client.view import WAITING_CHANGES
from tests.client.server import Server, answer, stream
from tests.client.streams import Endless
from tests.kit.waiting import becomes
from tests.routes.viewing import TOPIC, page, shown, viewing


def frame(kind: str, identifier: str, **document: Any) -> bytes:
    """A frame of a view."""
    return f"event: {kind}\nid: {identifier}\ndata: {json.dumps(document)}\n\n".encode()


def row(kind: str, identifier: str, page: str, value: Any = None) -> bytes:
    """A frame about a key."""
    return frame(kind, identifier, key={"page": page}, **({} if kind == "delete" else {"value": value}))


SNAPSHOT = frame("snapshot", "0", earliest=None) + row("row", "0a", "A", 1) + row("row", "0b", "B", 2)
READY = frame("ready", "0", keys=2)


async def test_it_is_the_state_as_of_ready_and_after_each_change(tmp_path: Path) -> None:
    async with viewing(tmp_path, page("A"), page("B", 10)) as views:
        url = f"http://127.0.0.1:{views.site.port}"
        async with view(url, "pages") as pages:
            assert repr(pages) == "<View with 0 keys, not ready>"
            await pages.ready()
            assert repr(pages) == "<View with 2 keys, ready>"
            assert dict(pages) == {("enwiki", "A"): shown("A"), ("enwiki", "B"): shown("B")}
            changes = aiter(pages)
            views.site.put(TOPIC, page("A", 20, kind="delete"), page("C", 30))
            assert (await anext(changes))[:2] == ("delete", ("enwiki", "A"))
            assert (await anext(changes))[:3] == ("change", ("enwiki", "C"), shown("C"))
            assert list(pages) == [("enwiki", "B"), ("enwiki", "C")]
        async with view(url, "pages", prefix="fr") as none:
            await none.ready()
            assert not none
        with pytest.raises(Refused):
            async with view(url, "nothing") as missing:
                await missing.ready()


@pytest.mark.long
async def test_a_lost_connection_resumes_and_a_reset_begins_anew() -> None:
    server = Server(
        stream(SNAPSHOT),
        stream(row("row", "0c", "C", 3), READY, row("change", "1", "A", 10), httpx.ReadError("lost")),
        stream(frame("reset", "5", earliest=None), row("row", "5", "A", 50), frame("ready", "5", keys=1)),
        answer(404),
    )
    async with view("http://h", "v", transport=server) as pages:
        changes = [change[:3] async for change in _until_failure(pages)]
    assert changes == [
        ("row", "A", 1),
        ("row", "B", 2),
        ("row", "C", 3),
        ("change", "A", 10),
        ("reset", None, None),
        ("row", "A", 50),
    ]
    assert [request.headers.get("last-event-id") for request in server.requests] == [None, "0b", "1", "5"]
    assert dict(pages) == {"A": 50}


async def _until_failure(pages: Any) -> Any:
    try:
        async for change in pages:
            yield change
    except Refused:
        return


async def test_values_may_be_hostile(tmp_path: Path) -> None:
    values: list[tuple[bytes, Any]] = [
        (b"1e400", float("inf")),
        (rb'"\ud800\u0000"', "\ud800\x00"),
        (b"[" * 250 + b"]" * 250, None),
        (b"9" * 400, float("inf")),
        (b'"%b"' % (b"x" * 1_000_000), "x" * 1_000_000),
    ]
    begun = page("first")
    async with (
        viewing(tmp_path, begun) as views,
        view(f"http://127.0.0.1:{views.site.port}", "pages", maximum_event_bytes=2_000_000) as pages,
    ):
        await pages.ready()
        for offset, (written, read) in enumerate(values, 1):
            event = b'{"wiki":"enwiki","title":"P%d","type":"edit","v":%b}' % (offset, written)
            views.site.put(TOPIC, begun._replace(value=event))
            await becomes(partial(pages.__contains__, ("enwiki", f"P{offset}")))
            assert read is None or pages["enwiki", f"P{offset}"]["v"] == read


async def test_it_is_kept_up_to_date_while_nobody_iterates() -> None:
    server = Server(stream(SNAPSHOT, READY, *(row("change", str(n), "A", n) for n in range(5000))), answer(404))
    async with view("http://h", "v", transport=server) as pages:
        await becomes(lambda: pages.get("A") == 4999)


async def test_it_is_read_within_its_block() -> None:
    with pytest.raises(ClientError, match="async with"):
        await view("http://h", "v").ready()
    with pytest.raises(ClientError, match="within `with`"):
        view_blocking("http://h", "v").ready()


class Slow(httpx.AsyncByteStream):
    """Says more once that is asked for."""

    def __init__(self, *more: bytes) -> None:
        self._more = more or (row("change", "1", "A", 10) + row("delete", "2", "B"),)
        self.more = threading.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield SNAPSHOT + READY
        for said in self._more:
            await asyncio.to_thread(self.more.wait, 60)
            self.more.clear()
            yield said

    def server(self) -> Server:
        """It, and then a refusal."""
        first = httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=self)
        return Server(first, answer(404))


MANY = tuple(row("change", str(number), "A", number) for number in range(2 * WAITING_CHANGES))


@pytest.mark.long
async def test_changes_that_nobody_asks_for_hold_nothing_up() -> None:
    slow = Slow(b"".join(MANY))
    async with view("http://h", "v", transport=slow.server()) as pages:
        await pages.ready()
        unasked = pages.changes()
        slow.more.set()
        await becomes(lambda: pages.get("A") == len(MANY) - 1)
        with pytest.raises(Refused):
            await anext(unasked)


@pytest.mark.long
async def test_who_asks_no_more_holds_nothing_up() -> None:
    slow = Slow(b"".join(MANY))
    async with view("http://h", "v", transport=slow.server()) as pages:
        await pages.ready()
        changes = pages.changes()
        first = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0)
        slow.more.set()
        assert (await first).value == 0
        await becomes(lambda: pages.get("A") == WAITING_CHANGES)  # The rest is not read before somebody asks.
        await changes.aclose()
        await becomes(lambda: pages.get("A") == len(MANY) - 1)


@pytest.mark.long
async def test_several_may_follow_the_changes() -> None:
    slow = Slow(row("change", "1", "A", 10), row("delete", "2", "B"))

    async def follow() -> list[str]:
        return [change.kind async for change in _until_failure(pages)]

    async with view("http://h", "v", transport=slow.server()) as pages:
        await pages.ready()
        following = [asyncio.create_task(follow()) for _ in range(2)]
        await asyncio.sleep(0)
        slow.more.set()
        await becomes(lambda: pages.get("A") == 10)
        late = asyncio.create_task(follow())
        await asyncio.sleep(0)
        slow.more.set()
        async with asyncio.timeout(60):
            assert await asyncio.gather(*following, late) == [["change", "delete"]] * 2 + [["delete"]]


@pytest.mark.long
@pytest.mark.parametrize("kind", ["reset", "snapshot"])
async def test_it_is_ready_again_once_all_rows_have_come_anew(kind: str) -> None:
    begun = frame(kind, "5", earliest=None) + row("row", "5a", "A", 50)
    slow = Slow(begun, row("row", "5b", "C", 60) + frame("ready", "5", keys=2))
    async with view("http://h", "v", transport=slow.server()) as pages:
        await pages.ready()
        changes = aiter(pages)
        change = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0)
        slow.more.set()
        assert (await change).kind == "reset"
        await becomes(lambda: pages.position == "5a")
        assert repr(pages) == "<View with 1 keys, not ready>"
        ready = asyncio.ensure_future(pages.ready())
        done, _ = await asyncio.wait({ready}, timeout=0.01)
        assert not done
        slow.more.set()
        async with asyncio.timeout(60):
            await ready
        assert dict(pages) == {"A": 50, "C": 60}


async def test_rows_that_are_told_anew_at_once_are_waited_for() -> None:
    begun = SNAPSHOT + READY + frame("reset", "5", earliest=None)
    server = Server(stream(begun), stream(row("row", "5a", "A", 50) + frame("ready", "5", keys=1)), answer(404))
    async with view("http://h", "v", transport=server) as pages:
        await pages.ready()
        assert dict(pages) == {"A": 50}


@pytest.mark.parametrize("last", [answer(204), stream(SNAPSHOT, b"event: end\nid: 1\ndata: {}\n\n")])
async def test_a_view_that_ends_is_not_ready(last: httpx.Response) -> None:
    async with view("http://h", "v", transport=Server(last)) as pages:
        with pytest.raises(ClientError, match="the server has ended the view"):
            await pages.ready()
        with pytest.raises(ClientError, match="the server has ended the view"):
            await anext(aiter(pages))


async def test_who_waits_for_a_view_that_is_left_is_told() -> None:
    async with view("http://h", "v", transport=Endless(SNAPSHOT).server()) as pages:
        waiting = asyncio.ensure_future(pages.ready())
        await becomes(lambda: len(pages) == 2)
    with pytest.raises(ClientError, match="async with"):
        await waiting


@pytest.mark.long
def test_the_blocking_twin_does_the_same() -> None:
    slow = Slow()
    with view_blocking("http://h", "v", transport=slow.server()) as pages, ThreadPoolExecutor(2) as pool:
        pages.ready(60)
        assert dict(pages) == {"A": 1, "B": 2}
        pages.changes()  # It is never asked.
        following = [pages.changes() for _ in range(2)]
        first = [pool.submit(next, changes) for changes in following]
        asyncio.run(becomes(lambda: len(pages._view._listeners) == 2))  # type: ignore[union-attr]
        slow.more.set()
        assert [change.result(60).kind for change in first] == ["change"] * 2
        for changes in following:
            assert next(changes).kind == "delete"
            with pytest.raises(Refused):
                next(changes)
        assert dict(pages) == {"A": 10}


@pytest.mark.long
def test_a_program_that_is_interrupted_while_it_waits_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: Future[Any]) -> None:
        raise KeyboardInterrupt

    slow = Slow(b"".join(MANY))
    with view_blocking("http://h", "v", transport=slow.server()) as pages:
        pages.ready(60)
        changes = pages.changes()
        with monkeypatch.context() as patched:
            asked = asyncio.run_coroutine_threadsafe

            def ask(*arguments: Any) -> Future[Any]:
                # The first call waits for a change, the second closes.
                patched.setattr(asyncio, "run_coroutine_threadsafe", asked)
                future = asked(*arguments)
                future.result = partial(interrupted, future)  # type: ignore[method-assign]
                return future

            patched.setattr(asyncio, "run_coroutine_threadsafe", ask)
            with pytest.raises(KeyboardInterrupt):
                next(changes)
        slow.more.set()
        asyncio.run(becomes(lambda: pages.get("A") == len(MANY) - 1))
