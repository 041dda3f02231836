"""A process that archives a log in a file, and dies where its seed says: `python -m tests.archive.process`."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.archive import archiver
from gateway.archive.files import FileWriter
from gateway.archive.store import Store
from gateway.archive.table import Table
from gateway.archive.upkeep import compact
from gateway.errors import LogError
from gateway.eventlog.sqlite.log import SqliteLog
from tests.archive.kit import SHAPES, Desk

TOPICS = ("one", "two")


def deadly(chance: random.Random, likelihood: float) -> None:
    """Let the process be killed in or after what changes something."""

    def die() -> None:
        if chance.random() < likelihood:
            os.kill(os.getpid(), signal.SIGKILL)

    def wrapped(owner: type, name: str) -> None:
        method: Callable[..., Any] = getattr(owner, name)

        def deadly_method(*given: Any, **named: Any) -> Any:
            die()
            found = method(*given, **named)
            die()
            return found

        setattr(owner, name, deadly_method)

    for owner, name in ((FileWriter, "_write"), (Store, "keep"), (Table, "commit"), (Table, "prepare")):
        wrapped(owner, name)


async def work(path: Path, seed: int, likelihood: float) -> None:
    """Archive all there is, merge, and say so."""
    chance = random.Random(seed)
    archiver.ROWS = 300  # type: ignore[attr-defined]  # for many files
    deadly(chance, likelihood)
    log = SqliteLog(path / "events.db")
    await log.open()
    desk = Desk(path / "table", log, *TOPICS, file_bytes=1 << 12)
    try:
        while True:
            progress = await desk.archiver.round()
            if progress.troubles:
                continue
            if chance.random() < 0.5:
                compact(desk.table, desk.archive, desk.table.prepare(SHAPES), 1 << 20, everything=True)
            if progress.records == 0:
                break
    except (LogError, FileNotFoundError):
        sys.exit(3)
    finally:
        await log.close()


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
