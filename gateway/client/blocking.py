"""The producer for programs without an event loop, or with one that is busy, as in a notebook."""

from __future__ import annotations

import asyncio
import logging
import threading
import weakref
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, wait
from typing import Any, Self, TypeVar

from gateway.client.errors import ClientError, ProducerClosed
from gateway.client.own_loop import Process
from gateway.client.producer import Event, Producer
from gateway.text import counted

Result = TypeVar("Result")
_LOG = logging.getLogger("gateway.client")


class BlockingProducer:
    """A Producer on a thread of its own; takes what Producer takes. Its methods may be called from any thread.

        with BlockingProducer("http://127.0.0.1:8080") as producer:
            producer.send({"$schema": "/wiki/change/1.0.0", "meta": {"stream": "wiki.change"}, …})

    Without the block the thread begins with the first call and ends with `close()`. Interrupted (KeyboardInterrupt), a
    call is given up: `send` does not send what has not gone yet, and `close` drops it. A producer that is collected
    without being closed drops it as well, with a line in the log.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._producer = Producer(*arguments, **options)
        self._process = Process()
        self._starting = threading.Lock()
        self._thread: _LoopThread | None = None
        self._closed = False

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take nothing more, and return when all is settled; see Producer."""
        if self._process.is_another(self._thread):
            return
        with self._starting:
            self._closed = True
            thread, self._thread = self._thread, None
        if thread is not None:
            try:
                thread.run(self._producer.close)
            finally:
                thread.stop(self._producer.abandon)
                thread.join()

    def send(self, event: Event) -> None:
        """Return once the event is stored; see Producer."""
        self._start().run(lambda: self._producer.send(event))

    def put(self, event: Event) -> Future[None]:
        """Hand over an event as soon as there is room for it. The future is done when the event is stored; see
        Producer. Its callbacks run in the producer's thread, and must not wait for the producer."""
        settled: Future[None] = Future()
        settled.set_running_or_notify_cancel()
        self._start().run(lambda: self._put(event, settled))
        return settled

    def flush(self) -> None:
        """Return when all that was given over before is settled; see Producer."""
        self._start().run(self._producer.flush)

    def _start(self) -> _LoopThread:
        self._process.check()
        with self._starting:
            if self._closed:
                raise ProducerClosed
            if self._thread is None:
                self._thread = _LoopThread()
                # Also at the end of the interpreter, before its threads stand still.
                weakref.finalize(self, _abandon, self._thread, self._producer)
                self._thread.run(self._producer.__aenter__)
            return self._thread

    async def _put(self, event: Event, settled: Future[None]) -> None:
        (await self._producer.put(event)).add_done_callback(lambda done: _hand_on(done, settled))


class _LoopThread:
    """A thread with a loop. It holds nothing of who made it, which therefore can be collected."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._process = Process()
        self._tasks: list[asyncio.Task[None]] = []
        self._thread = threading.Thread(target=_run, args=(self._loop,), name="event-producer", daemon=True)
        self._thread.start()

    def run(self, call: Callable[[], Awaitable[Result]]) -> Result:
        """The result of the call. If the caller is interrupted, the call is cancelled, and has ended."""
        if threading.current_thread() is self._thread:
            raise ClientError("called from the producer's own thread, which cannot wait for itself")
        outcome: Future[Result] = Future()
        begun: list[asyncio.Task[Result]] = []

        async def run() -> Result:
            return await call()

        def begin() -> None:
            begun.append(self._loop.create_task(run()))
            begun[0].add_done_callback(lambda task: _hand_on(task, outcome))

        self._loop.call_soon_threadsafe(begin)
        try:
            return outcome.result()
        except BaseException:
            if not outcome.done():
                # It begins before this is called.
                self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in begun])
                wait([outcome])
            raise

    def stop(self, last: Callable[[], Awaitable[None]]) -> bool:
        """End after this last call; returns at once, and whether it ran till now."""
        if self._process.is_another(self):
            return False

        async def run() -> None:
            try:
                await last()
            finally:
                self._loop.stop()

        try:
            self._loop.call_soon_threadsafe(lambda: self._tasks.append(self._loop.create_task(run())))
        except RuntimeError:  # closed already
            return False
        return True

    def join(self) -> None:
        """Wait for its end."""
        self._thread.join()


def _hand_on(done: asyncio.Future[Result], outcome: Future[Result]) -> None:
    error = ProducerClosed() if done.cancelled() else done.exception()
    if error is None:
        outcome.set_result(done.result())
    else:
        outcome.set_exception(error)


def _abandon(thread: _LoopThread, producer: Producer) -> None:
    """A producer was collected, or the interpreter ends."""
    waiting = producer.waiting
    if thread.stop(producer.abandon) and waiting:
        _LOG.warning("%s: not sent, since the producer was not closed: %s", producer.shown, counted(waiting, "event"))


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """The thread: until somebody stops the loop."""
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.get_loop().run_forever()
