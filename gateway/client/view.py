"""`view`: the state of a stream by key as a mapping that stays up to date, and each of its changes."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from concurrent.futures import Future
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
    """A mapping from keys to values (parsed JSON). As of `ready`, it is at each moment the state at `position`; after a
    reset it is that again once all rows have come anew, for which `ready` waits.

    Iterating over it (`for key in view`) gives its keys; `async for change in view` gives each change from then on,
    the rows of the snapshot included where it begins before they have come. Several may iterate: each gets every
    change, and the slowest sets the pace.
    """

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription
        self._rows: dict[Key, Any] = {}
        self._ready = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._listeners: list[_Listener] = []
        self._room = asyncio.Event()
        """A listener has taken a change, or is gone."""
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
        """Return once all rows have come, after a reset those that are told anew. Raises ClientError for what will not
        heal."""
        self._check_begun()
        # A reset may come before whoever waits is woken.
        while not self._ready.is_set():
            await self._ready.wait()
        self._check()
        self._check_begun()

    def changes(self) -> AsyncGenerator[Change, None]:
        """Each change from when the first is asked for. Raises ClientError for what will not heal."""
        self._check_begun()
        return self._each()

    def __aiter__(self) -> AsyncGenerator[Change, None]:
        return self.changes()

    async def _each(self) -> AsyncGenerator[Change, None]:
        # Only who asks is waited for: what is made here and never asked may lie around for ever.
        listener = _Listener()
        self._listeners.append(listener)
        try:
            while True:
                while not listener.changes:
                    if self._is_over():
                        self._check()
                        return
                    listener.told.clear()
                    await listener.told.wait()
                change = listener.changes.popleft()
                self._room.set()
                yield change
        finally:
            self._listeners.remove(listener)
            self._room.set()

    def _check_begun(self) -> None:
        if self._task is None:
            raise ClientError("the view is read within `async with`")

    def _is_over(self) -> bool:
        return self._task is None or self._task.done() or self._failure is not None

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _follow(self) -> None:
        try:
            async with aclosing(self._subscription.batches()) as batches:
                async for batch in batches:
                    for event in batch:
                        change = self._apply(event)
                        if change is not None:
                            await self._tell(change)
                    self.position = self._subscription.last_event_id
            raise ClientError(f"{self._subscription.shown}: the server has ended the view")
        except Exception as error:
            self._failure = error
        finally:
            self._ready.set()
            for listener in self._listeners:
                listener.told.set()

    async def _tell(self, change: Change) -> None:
        for listener in self._listeners:
            listener.changes.append(change)
            listener.told.set()
        while any(len(listener.changes) >= WAITING_CHANGES for listener in self._listeners):
            self._room.clear()
            await self._room.wait()

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
                # Whoever has been told of rows is told that they are gone.
                told = kind == "reset" or bool(self._rows)
                self._rows.clear()
                self._ready.clear()
                return Change("reset", id=event.id) if told else None
            case "ready":
                self._ready.set()
            case "gap":
                raise EventTooLarge(read_gap(event))
        return None

    @staticmethod
    def _rows_key(document: dict[str, Any]) -> Key:
        members = tuple(document["key"].values())
        return members[0] if len(members) == 1 else members


class _Listener:
    """Who iterates over changes, and those that wait for it."""

    def __init__(self) -> None:
        self.changes: deque[Change] = deque()
        self.told = asyncio.Event()


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
        """Return once all rows have come; see View. Raises TimeoutError, and ClientError for what will not heal."""
        view, loop = self._running()
        asyncio.run_coroutine_threadsafe(view.ready(), loop).result(seconds)

    def changes(self) -> Iterator[Change]:
        """Each change from when the first is asked for; see View."""
        view, loop = self._running()
        return self._each(view.changes(), loop)

    def _each(self, changes: AsyncGenerator[Change, None], loop: asyncio.AbstractEventLoop) -> Iterator[Change]:
        asking = asyncio.Lock()
        asked: Future[Change | None] | None = None
        try:
            while True:
                asked = asyncio.run_coroutine_threadsafe(_next(changes, asking), loop)
                change = asked.result()
                if change is None:
                    return
                yield change
        finally:
            # Interrupted while it waits, it is not waited for any more.
            if asked is not None:
                asked.cancel()
            if loop.is_running():
                asyncio.run_coroutine_threadsafe(_close(changes, asking), loop).result()

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


async def _next(changes: AsyncGenerator[Change, None], asking: asyncio.Lock) -> Change | None:
    async with asking:
        return await anext(changes, None)


async def _close(changes: AsyncGenerator[Change, None], asking: asyncio.Lock) -> None:
    # Who asked last and was interrupted may not have ended yet.
    async with asking:
        await changes.aclose()


def view_blocking(url: str, name: str, **options: Any) -> BlockingView:
    """As `view`, with the same options, for programs without an event loop."""
    return BlockingView(lambda: view(url, name, **options))
