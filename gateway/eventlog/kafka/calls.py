"""Calls that need brokers: bounded as a whole, made once for all callers, or made to several brokers at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

from aiokafka.errors import KafkaError

from gateway.cooperative import retrieve
from gateway.errors import LogUnavailable
from gateway.eventlog.kafka.mismatches import explained
from gateway.outbound.certificates import why_refused

CALL_SECONDS = 5.0
"""A call of the log that has no answer by then raises LogUnavailable, however many brokers it has asked, how often."""

FAILURES = (OSError, KafkaError, TimeoutError, EOFError, NotImplementedError)
"""The errors of aiokafka if a broker does not answer, refuses, or speaks other versions."""

Key = TypeVar("Key")
Broker = TypeVar("Broker")
Result = TypeVar("Result")


class Call:
    """A call of the log that is under way; `obstacle` is what keeps it from ending, as far as is known."""

    obstacle = ""


@asynccontextmanager
async def within(seconds: float, what: str) -> AsyncIterator[Call]:
    """The bound of a whole call, however many attempts it makes. Raises LogUnavailable."""
    call = Call()
    try:
        async with asyncio.timeout(seconds):
            yield call
    except TimeoutError as error:
        obstacle = f": {call.obstacle}" if call.obstacle else ""
        raise LogUnavailable(f"Kafka: {what}: no answer within {seconds:g} s{obstacle}") from error


async def bounded(call: Awaitable[Result], seconds: float, what: str) -> Result:
    """The result of a call to a broker, or LogUnavailable."""
    async with within(seconds, what):
        try:
            return await call
        except FAILURES as error:
            raise LogUnavailable(f"Kafka: {what}: {reason(error)}") from error


def reason(error: BaseException) -> str:
    """Why something failed: of a certificate, what is wrong with it; of a connection that was closed, why it was; of a
    configuration that does not fit the broker, what to change."""
    cause = error.__cause__ or error
    return why_refused(error) or explained(cause) or repr(cause)


def read(what: str, reading: Callable[[], Result]) -> Result:
    """The content of an answer. Raises LogUnavailable if it lacks something that every answer has."""
    try:
        return reading()
    except (ValueError, TypeError, LookupError, AttributeError) as mistake:
        raise LogUnavailable(f"Kafka: {what}: an answer is malformed: {mistake!r}") from mistake


async def joined(task: asyncio.Task[Result]) -> Result:
    """The result of a task that others wait for too: to be cancelled ends the waiting, not the task."""
    await asyncio.wait([task])
    if task.cancelled():
        raise LogUnavailable("Kafka: the log is closed")
    error = task.exception()
    if isinstance(error, LogUnavailable):
        # Each has one of its own: it keeps the frames of whoever raises it.
        raise LogUnavailable(str(error), error.kind)
    return task.result()


class Together(Generic[Key, Result]):
    """Calls that are made once for all who ask for the same at the same time. They belong to nobody, so they have to be
    bounded themselves."""

    def __init__(self) -> None:
        self._tasks: dict[Key, asyncio.Task[Result]] = {}

    async def ask(self, key: Key, call: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """The result of the call that is under way for this key, or of a new one. Raises what it raises."""
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(self._run(key, call))
            task.add_done_callback(retrieve)
        return await joined(task)

    def cancel(self) -> None:
        """All waiting callers learn that the log is closed."""
        tasks, self._tasks = self._tasks, {}
        for task in tasks.values():
            task.cancel()

    async def _run(self, key: Key, call: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        try:
            return await call()
        finally:
            if self._tasks.get(key) is asyncio.current_task():
                del self._tasks[key]


async def first_answer(
    brokers: Iterable[Broker], ask: Callable[[Broker], Coroutine[Any, Any, Result]], patience: float
) -> Result:
    """The first answer of any broker. The next broker is asked if one fails, or is silent for this many seconds;
    those asked before may still answer. Raises LogUnavailable if all have failed; not bounded in time."""
    left = iter(brokers)
    waiting: set[asyncio.Task[Result]] = set()
    failure = LogUnavailable("Kafka: no broker is known")
    try:
        while True:
            broker = next(left, None)
            if broker is not None:
                waiting.add(asyncio.create_task(ask(broker)))
            if not waiting:
                raise failure
            timeout = None if broker is None else patience
            done, waiting = await asyncio.wait(waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            errors = [task.exception() for task in done]
            for task, error in zip(done, errors, strict=True):
                if not isinstance(error, LogUnavailable):
                    return task.result()
                failure = error
    finally:
        for task in waiting:
            task.add_done_callback(retrieve)
            task.cancel()
