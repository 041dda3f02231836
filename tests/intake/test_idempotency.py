"""An Idempotency-Key belongs to one body, also while the place where others learn of it does not answer."""

from __future__ import annotations

import asyncio

import pytest

from gateway.claims.port import ClaimsAway
from gateway.clock import SystemClock
from gateway.errors import LogForbids, LogUnavailable, Problem
from gateway.intake.idempotency import IdempotencyKeys


class Slow:
    """Says after a while that it does not answer."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def bind(self, name: bytes, value: bytes) -> bytes:
        await asyncio.sleep(0.01)
        raise self._error


@pytest.mark.parametrize("error", [ClaimsAway("away"), LogForbids("read-only")])
async def test_a_process_that_is_alone_keeps_two_bodies_apart(error: Exception) -> None:
    keys = IdempotencyKeys(SystemClock(), 600, 1000, Slow(error))
    told = await asyncio.gather(keys.bind("key", "a"), keys.bind("key", "b"), return_exceptions=True)
    assert told[0] is None
    assert isinstance(told[1], Problem)
    assert told[1].status == 422
    await keys.bind("key", "a")
    with pytest.raises(Problem):
        await keys.bind("key", "b")


async def test_a_log_that_does_not_answer_is_told_and_binds_nothing() -> None:
    keys = IdempotencyKeys(SystemClock(), 600, 1000, Slow(LogUnavailable("locked")))
    with pytest.raises(Problem) as caught:
        await keys.bind("key", "a")
    assert caught.value.status == 503
    assert "retry-after" in caught.value.headers
    with pytest.raises(Problem) as caught:
        await keys.bind("key", "b")
    assert caught.value.status == 503
