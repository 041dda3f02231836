"""Keeps background tasks running as long as the process: a mistake in one ends neither that task nor the process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway.observability import telemetry

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 30.0
"""Seconds until a failed part is restarted: twice as long each time, from the first to the longest."""
SOUND_SECONDS = 60.0
"""Seconds after which a running part is sound again."""


class Background:
    """Parts that are kept going, each by a task of its own."""

    def __init__(self) -> None:
        self.ailing: dict[str, str] = {}
        """The parts that broke off lately, each with the kind of its mistake."""

    async def keep(self, part: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run a part for ever. An error is counted and logged; then the part is restarted after a pause."""
        loop = asyncio.get_running_loop()
        pause = FIRST_PAUSE
        while True:
            begun = loop.time()
            sound = loop.call_later(SOUND_SECONDS, self.ailing.pop, part, None)
            try:
                await run()
                return
            except Exception as error:
                telemetry.mistake(part, error)
                self.ailing[part] = type(error).__name__
            finally:
                sound.cancel()
            pause = FIRST_PAUSE if loop.time() - begun >= SOUND_SECONDS else min(2 * pause, LONGEST_PAUSE)
            await asyncio.sleep(pause)
