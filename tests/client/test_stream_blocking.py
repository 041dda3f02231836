"""What only the blocking twin has to hold: threads, signals, loops."""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway.client import FilePositions, subscribe_blocking
from tests.client.server import Server, message, position
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


async def test_the_blocking_twin_says_that_a_loop_runs_already() -> None:
    source = subscribe_blocking("http://h/s", transport=Server())
    with pytest.raises(RuntimeError, match="running event loop"):
        next(source)
    source._runner.close()
    source._closed = True
