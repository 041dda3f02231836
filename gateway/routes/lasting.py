"""Ends streams in order: with the token that they were opened with, and at their age."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

from gateway.clock import Clock

LONGEST_TIMER = 30 * 86_400.0
"""Seconds; a token that lives longer does so for no stream."""


class Lasting(Protocol):
    """What a client reads until it is ended. `ends_at`: seconds of the monotonic clock, or infinity."""

    ends_at: float

    def stop(self) -> None:
        """End it soon, in order."""
        ...


def end_at(expires: int | None, clock: Clock, session: Lasting) -> asyncio.TimerHandle | None:
    """End it with its token, which expires then (ms); the client comes back with its last id and another token."""
    if expires is None:
        return None
    seconds = max(0, expires - clock.now()) / 1000
    return asyncio.get_running_loop().call_later(min(seconds, LONGEST_TIMER), session.stop)


async def end_the_old(sessions: Iterable[Lasting], clock: Clock, step: float) -> None:
    """End those that have lasted for long enough, for ever; looks every `step` seconds."""
    while True:
        await asyncio.sleep(step)
        now = clock.monotonic()
        for session in [session for session in sessions if session.ends_at <= now]:
            session.stop()
