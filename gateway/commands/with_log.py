"""Commands that need an open log."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from gateway.app.composition import open_log
from gateway.commands.ending import fail
from gateway.errors import LogError
from gateway.eventlog.port import EventLog
from gateway.settings.configuration import Configured


def end_with_log(
    configured: Configured, command: str, work: Callable[[EventLog], Coroutine[Any, Any, int]]
) -> NoReturn:
    """Do this with the log of the settings, and end with its exit status; `command` is who complains of the log."""

    async def with_log() -> int:
        log = open_log(configured.settings, configured.catalog)
        try:
            await log.open()
            return await work(log)
        finally:
            await log.close()

    try:
        status = asyncio.run(with_log())
    except LogError as error:
        fail([f"{command}: {error}"])
    sys.exit(status)
