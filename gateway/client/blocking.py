"""The producer for programs without an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any, Self, TypeVar

from gateway.client.producer import Event, Producer

Result = TypeVar("Result")


class BlockingProducer:
    """A Producer on a thread of its own; takes what Producer takes. Its methods may be called from any thread.

    with BlockingProducer("http://127.0.0.1:8080") as producer:
        producer.send({"$schema": "/wiki/change/1.0.0", "meta": {"stream": "wiki.change"}, …})
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="event-producer", daemon=True)
        self._make: Callable[[], Producer] = lambda: Producer(*arguments, **options)

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._producer = self._run(self._open)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._run(self._producer.close)
        finally:
            self._stop()

    def send(self, event: Event) -> None:
        """Return once the event is stored; see Producer."""
        self._run(lambda: self._producer.send(event))

    def put(self, event: Event) -> Future[None]:
        """Give an event over, as soon as there is room for it; the future tells when it is stored; see Producer."""
        settled: Future[None] = Future()
        self._run(lambda: self._put(event, settled))
        return settled

    def flush(self) -> None:
        """Return when all that was given over before is settled; see Producer."""
        self._run(self._producer.flush)

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _open(self) -> Producer:
        return await self._make().__aenter__()

    async def _put(self, event: Event, settled: Future[None]) -> None:
        def tell(done: asyncio.Future[None]) -> None:
            error = done.exception()
            if error is None:
                settled.set_result(None)
            else:
                settled.set_exception(error)

        (await self._producer.put(event)).add_done_callback(tell)

    def _run(self, call: Callable[[], Awaitable[Result]]) -> Result:
        async def run() -> Result:
            return await call()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result()
