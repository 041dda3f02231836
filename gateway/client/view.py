"""`view`: the state of a stream by key as a mapping that stays up to date, and each of its changes."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self
from urllib.parse import quote, urlencode

import httpx

from gateway import json_text
from gateway.client.errors import ClientError, EventTooLarge
from gateway.client.frame import StreamEvent
from gateway.client.gap import read_gap
from gateway.client.own_loop import Process
from gateway.client.parser import MAXIMUM_EVENT_BYTES
from gateway.client.subscription import State, Subscription, Token

Key = Any
"""The members of a key, in the view's order, as a tuple; of a view with one member, that member. Python takes `1` and
`True` for one key: a view whose keys have both in one place needs texts there."""
WAITING_CHANGES = 1000
"""Changes that wait for who iterates; the connection is not read further meanwhile."""


class Change(NamedTuple):
    """What became of a key. `reset`: everything is told anew, and the mapping is empty now."""

    kind: Literal["row", "change", "delete", "reset"]
    key: Key = None
    value: Any = None
    id: str = ""
    """The position of the view after it, which resumes the view and its stream."""


def view(
    url: str,
    name: str,
    *,
    prefix: str | None = None,
    on_state: Callable[[State], None] | None = None,
    token: Token | None = None,
    headers: Mapping[str, str] | None = None,
    idle_seconds: float | None = None,
    maximum_event_bytes: int = MAXIMUM_EVENT_BYTES,
    transport: httpx.AsyncBaseTransport | None = None,
) -> View:
    """The view of this name on the server at `url`, as a mapping that stays up to date while the block lasts.

        async with view("http://127.0.0.1:8080", "pages") as pages:
            await pages.ready()
            print(pages["enwiki", "Berlin"])
            async for change in pages:
                print(change.kind, change.key)

    `prefix` restricts it to keys whose first member begins so. The other options are those of `subscribe`. A lost
    connection resumes; until then the mapping is as it was.
    """
    address = f"{url.rstrip('/')}/v2/views/{quote(name, safe='')}"
    subscription = Subscription(
        address if prefix is None else f"{address}?{urlencode({'prefix': prefix})}",
        on_state=on_state,
        transport=transport,
        idle_seconds=idle_seconds,
        maximum_event_bytes=maximum_event_bytes,
        token=token,
        headers=headers,
    )
    return View(subscription)


class View(Mapping[Key, Any]):
    """A mapping from keys to values (parsed JSON). As of `ready`, it is at each moment the state at `position`.

    Iterating over it (`for key in view`) gives its keys; `async for change in view` gives each change from then on,
    the rows of the snapshot included where it begins before they have come.
    """

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription
        self._rows: dict[Key, Any] = {}
        self._ready = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._changes: deque[Change] | None = None
        self._moved = asyncio.Condition()
        self.position = ""
        """The id after all that is in the mapping."""

    def __repr__(self) -> str:
        state = "ready" if self._ready.is_set() and self._failure is None else "not ready"
        return f"<View with {len(self._rows)} keys, {state}>"

    def __getitem__(self, key: Key) -> Any:
        return self._rows[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(list(self._rows))

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, key: object) -> bool:
        return key in self._rows

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def ready(self) -> None:
        """Return once all rows have come. Raises ClientError for what will not heal."""
        self._check_begun()
        await self._ready.wait()
        self._check()

    def changes(self) -> AsyncIterator[Change]:
        """Each change from now on. Raises ClientError for what will not heal."""
        self._check_begun()
        self._changes = deque()
        return self._each(self._changes)

    def __aiter__(self) -> AsyncIterator[Change]:
        return self.changes()

    async def _each(self, changes: deque[Change]) -> AsyncIterator[Change]:
        try:
            while True:
                async with self._moved:
                    await self._moved.wait_for(lambda: changes or self._failure or self._task is None)
                    self._moved.notify_all()
                if not changes:
                    self._check()
                    return
                yield changes.popleft()
        finally:
            if self._changes is changes:
                self._changes = None

    def _check_begun(self) -> None:
        if self._task is None:
            raise ClientError("the view is read within `async with`")

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _follow(self) -> None:
        try:
            async with aclosing(self._subscription.batches()) as batches:
                async for batch in batches:
                    for event in batch:
                        change = self._apply(event)
                        if change is not None and self._changes is not None:
                            await self._tell(self._changes, change)
                    self.position = self._subscription.last_event_id
        except Exception as error:
            self._failure = error
        finally:
            self._ready.set()
            async with self._moved:
                self._moved.notify_all()

    async def _tell(self, changes: deque[Change], change: Change) -> None:
        changes.append(change)
        async with self._moved:
            self._moved.notify_all()
            await self._moved.wait_for(lambda: len(changes) < WAITING_CHANGES or self._changes is not changes)

    def _apply(self, event: StreamEvent) -> Change | None:
        """Take one frame into the mapping."""
        self.position = event.id
        match event.event:
            case "row" | "change" as kind:
                document = json_text.loads_any(event.data)
                key = self._rows_key(document)
                self._rows[key] = document["value"]
                return Change("row" if kind == "row" else "change", key, document["value"], event.id)
            case "delete":
                key = self._rows_key(json_text.loads_any(event.data))
                self._rows.pop(key, None)
                return Change("delete", key, None, event.id)
            case "snapshot" | "reset" as kind:
                self._rows.clear()
                return Change("reset", id=event.id) if kind == "reset" else None
            case "ready":
                self._ready.set()
            case "gap":
                raise EventTooLarge(read_gap(event))
        return None

    @staticmethod
    def _rows_key(document: dict[str, Any]) -> Key:
        members = tuple(document["key"].values())
        return members[0] if len(members) == 1 else members


class BlockingView(Mapping[Key, Any]):
    """A View for programs without an event loop: a thread keeps it up to date while the block lasts.

    with view_blocking("http://127.0.0.1:8080", "pages") as pages:
        pages.ready()
        print(pages["enwiki", "Berlin"])
        for change in pages.changes():
            print(change.kind, change.key)
    """

    def __init__(self, make: Callable[[], View]) -> None:
        self._make = make
        self._process = Process()
        self._view: View | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._begun = threading.Event()
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="view", daemon=True)
        self._thread.start()
        self._begun.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process.is_another(self._loop, self._thread) or self._thread is None:
            return
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _run(self) -> None:
        try:
            view = self._make()
            async with view:
                self._loop, self._stop, self._view = asyncio.get_running_loop(), asyncio.Event(), view
                self._begun.set()
                await self._stop.wait()
        finally:
            self._begun.set()

    def ready(self, seconds: float | None = None) -> None:
        """Return once all rows have come. Raises TimeoutError, and ClientError for what will not heal."""
        view, loop = self._running()
        asyncio.run_coroutine_threadsafe(view.ready(), loop).result(seconds)

    def changes(self) -> Iterator[Change]:
        """Each change from now on; see View."""
        view, loop = self._running()
        return self._each(view.changes(), loop)

    def _each(self, changes: AsyncIterator[Change], loop: asyncio.AbstractEventLoop) -> Iterator[Change]:
        try:
            while True:
                change = asyncio.run_coroutine_threadsafe(_next(changes), loop).result()
                if change is None:
                    return
                yield change
        finally:
            if loop.is_running():
                asyncio.run_coroutine_threadsafe(_close(changes), loop).result()

    @property
    def position(self) -> str:
        """See View."""
        return self._running()[0].position

    def __getitem__(self, key: Key) -> Any:
        return self._running()[0][key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._running()[0])

    def __len__(self) -> int:
        return len(self._running()[0])

    def _running(self) -> tuple[View, asyncio.AbstractEventLoop]:
        self._process.check()
        if self._view is None or self._loop is None:
            raise ClientError("the view is read within `with`")
        return self._view, self._loop


async def _next(changes: AsyncIterator[Change]) -> Change | None:
    return await anext(changes, None)


async def _close(changes: AsyncIterator[Change]) -> None:
    await changes.aclose()  # type: ignore[attr-defined]


def view_blocking(url: str, name: str, **options: Any) -> BlockingView:
    """As `view`, with the same options, for programs without an event loop."""
    return BlockingView(lambda: view(url, name, **options))
