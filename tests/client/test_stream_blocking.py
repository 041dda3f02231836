"""What only the blocking twin has to hold: threads, signals, loops."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, patch

import pytest

from gateway.client import ClientError, FilePositions, MemoryPositions, Refused, subscribe_blocking
from tests.client.interrupting import interrupted_within
from tests.client.server import Server, answer, message, position, stream
from tests.client.streams import END, Endless


@pytest.fixture
def threads() -> Iterator[None]:
    """Those that are there at the end were there at the beginning."""
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.mark.usefixtures("threads")
def test_the_blocking_twin_leaves_no_thread_and_no_loop(tmp_path: Path) -> None:
    feed = Endless(message(1) + message(2))
    store = FilePositions(tmp_path / "position")
    for event in subscribe_blocking("http://h/s", transport=feed.server(), store=store, store_seconds=0):
        if event.offset == 2:
            break
    gc.collect()
    assert feed.closed.is_set()
    assert (tmp_path / "position").read_text() == position(1) + "\n"


def test_the_blocking_twin_can_be_interrupted_and_read_on() -> None:
    class Interrupting(Endless):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield message(1)
            signal.raise_signal(signal.SIGINT)
            yield message(2)
            yield END

    source = subscribe_blocking("http://h/s", transport=Interrupting().server())
    with source:
        assert next(source).offset == 1
        with pytest.raises(KeyboardInterrupt):
            next(source)
        assert [event.offset for event in source] == [2]


@pytest.mark.usefixtures("threads")
async def test_inside_a_running_loop_it_runs_in_a_thread_as_long_as_it_waits(tmp_path: Path) -> None:
    feed = Endless(message(1) + message(2) + END)
    called: list[str] = []
    store = FilePositions(tmp_path / "position")
    with subscribe_blocking(
        "http://h/s",
        transport=feed.server(),
        store=store,
        on_state=lambda state: called.append(threading.current_thread().name),
    ) as source:
        assert [event.offset for event in source] == [1, 2]
        assert source.position == position(2)
    assert set(called) == {"event-stream"}
    assert feed.closed.is_set()
    assert (tmp_path / "position").read_text() == position(2) + "\n"


@pytest.mark.usefixtures("threads")
async def test_inside_a_running_loop_batches_commits_and_errors_are_the_same() -> None:
    store = MemoryPositions()
    server = Server(stream(message(1) + message(2), message(3)), answer(404, "gone"))
    with subscribe_blocking("http://h/s", transport=server, store=store, auto_commit=False) as source:
        first = source.batch()
        assert [event.offset for event in first] == [1, 2]
        source.commit(first[0])
        assert store.position == position(1)
        assert [event.offset for event in source.batch()] == [3]
        with patch.object(source._stream._subscription, "_sleep", AsyncMock()), pytest.raises(Refused, match="404"):
            next(source)
    assert list(source) == []
    source.close()


@pytest.mark.usefixtures("threads")
async def test_inside_a_running_loop_it_can_be_interrupted_and_read_on() -> None:
    feed = Endless(message(1))
    source = subscribe_blocking("http://h/s", transport=feed.server())
    with source:
        assert next(source).offset == 1
        # As a notebook's kernel has it; asyncio.run's own handler waits for the loop.
        with pytest.raises(KeyboardInterrupt), interrupted_within("_Apart.wait", "Condition.wait"):
            next(source)
        feed.more.put_nowait(message(2))
        assert next(source).offset == 2


def test_what_came_while_it_was_interrupted_is_handed_over() -> None:
    with subscribe_blocking("http://h/s", transport=Server(stream(message(1), message(2), END))) as source:
        run = source._loop.run

        def interrupted(call: Any) -> None:
            run(call)
            raise KeyboardInterrupt

        with patch.object(source._loop, "run", interrupted), pytest.raises(KeyboardInterrupt):
            next(source)
        assert source.batch()[0].offset == 1
        assert next(source).offset == 2


async def test_one_that_is_left_inside_a_running_loop_is_closed() -> None:
    feed = Endless(message(1))
    source = subscribe_blocking("http://h/s", transport=feed.server())
    assert next(source).offset == 1
    del source
    gc.collect()
    await asyncio.sleep(0)
    for thread in threading.enumerate():
        if thread.name == "event-stream":
            thread.join()
    assert feed.closed.is_set()


async def test_one_that_is_collected_as_part_of_a_circle_is_closed() -> None:
    feed = Endless(message(1))
    source = subscribe_blocking("http://h/s", transport=feed.server())
    assert next(source).offset == 1
    circle: list[object] = [source, source._loop._runner.get_loop()]
    circle.append(circle)
    source._stream._subscription.circle = circle  # type: ignore[attr-defined]
    del source, circle
    gc.collect()
    await asyncio.sleep(0)
    for thread in threading.enumerate():
        if thread.name == "event-stream":
            thread.join()
    assert feed.closed.is_set()


def test_one_that_began_without_a_loop_goes_on_in_one_and_back() -> None:
    with subscribe_blocking("http://h/s", transport=Server(stream(message(1), message(2), message(3), END))) as source:
        assert next(source).offset == 1

        async def inside() -> int | None:
            return next(source).offset

        assert asyncio.run(inside()) == 2
        assert next(source).offset == 3


def test_it_leaves_the_loop_of_its_thread_alone() -> None:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        with subscribe_blocking("http://h/s", transport=Server(stream(message(1), END))) as source:
            assert len(list(source)) == 1
        assert asyncio.get_event_loop_policy().get_event_loop() is loop
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def test_a_child_process_neither_reads_its_parents_stream_nor_closes_it() -> None:
    feed = Endless(message(1) + message(2))
    source = subscribe_blocking("http://h/s", transport=feed.server())
    with source:
        assert next(source).offset == 1

        def child() -> None:
            for use in (source.__next__, source.batch, source.commit):
                with pytest.raises(ClientError, match="forked"):
                    use()
            source.close()
            assert not feed.closed.is_set()

        assert in_a_child(child) == 0
        feed.more.put_nowait(message(3))
        assert [next(source).offset, next(source).offset] == [2, 3]


@pytest.mark.long
def test_a_program_that_leaves_one_open_comes_to_its_end(tmp_path: Path) -> None:
    program = """
import sys
from gateway.client import FilePositions, subscribe_blocking
from tests.client.server import Server, message, stream

def stop(state):
    if state.name == "waiting":
        raise KeyError

store = FilePositions(sys.argv[1])
one = subscribe_blocking("http://h/s", transport=Server(stream(message(1), message(2))), store=store)
print(next(one).offset, next(one).offset)
two = subscribe_blocking("http://localhost:1/s", on_state=stop)
try:
    next(two)
except KeyError:
    print("left open")
"""
    store = tmp_path / "position"
    command = [sys.executable, "-c", program, str(store)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "1 2\nleft open\n", "")
    assert store.read_text() == position(1) + "\n"


def in_a_child(check: Callable[[], None]) -> int:
    """The exit status of a forked process: 0 where the check holds."""
    number = os.fork()
    if number == 0:
        status = 1
        with suppress(BaseException):
            check()
            status = 0
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
