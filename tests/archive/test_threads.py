"""Calls in threads end for who waits for them, and none begins beside one that goes on."""

from __future__ import annotations

from threading import Event

import pytest

from gateway.archive.threads import Lane, Threads
from gateway.errors import LogUnavailable


async def test_a_call_that_goes_on_lets_no_other_begin() -> None:
    threads, ending = Threads(1, "test"), Event()
    lane = Lane(threads)
    with pytest.raises(LogUnavailable, match=r"does not answer within 0\.2 s"):
        await lane.run(0.2, ending.wait)
    for _ in range(2):
        with pytest.raises(LogUnavailable, match="still under way"):
            await lane.run(10, int)
    ending.set()
    await threads.run(10, int)  # after it, in the only thread
    assert await lane.run(10, int) == 0
    threads.close()


async def test_a_call_that_never_began_holds_up_none() -> None:
    threads, ending, calls = Threads(1, "test"), Event(), list[int]()
    lane = Lane(threads)
    threads.begin(ending.wait)
    with pytest.raises(LogUnavailable, match="does not answer"):
        await lane.run(0.01, calls.append, 1)
    ending.set()
    await lane.run(10, calls.append, 2)
    assert calls == [2]
    threads.close()


async def test_a_failure_is_raised_and_holds_up_none() -> None:
    threads = Threads(1, "test")
    lane = Lane(threads)
    with pytest.raises(ValueError, match="invalid literal"):
        await lane.run(10, int, "x")
    assert await lane.run(10, int, "7") == 7
    threads.close()
    with pytest.raises(LogUnavailable, match="the archive is closed"):
        await lane.run(10, int)
