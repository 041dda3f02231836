"""What a world came to, or why it failed, and the errors that the product logs meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.client import Client


@dataclass(frozen=True, slots=True)
class Result:
    """What a world came to. The digest is that of everything that any client read, and when."""

    seed: int
    digest: str
    clients: int
    records: int
    delivered: int
    gaps: int
    seconds: float
    turns: int


class FailureError(Exception):
    """A world in which a promise was broken."""

    def __init__(self, seed: int, error: BaseException, client: Client | None) -> None:
        lines = [f"seed {seed}: {type(error).__name__}: {error}"]
        if client is not None:
            lines += ["what the client met, the newest last:", *(f"  {line}" for line in client.trace), repr(client)]
            lines += [f"  {partition} {state}" for partition, state in client.oracle.locations.items()]
        super().__init__("\n".join(lines))
        self.seed = seed


class _Complaints(logging.Handler):
    """Errors that the product logs are its own mistakes."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def listening() -> Iterator[list[logging.LogRecord]]:
    """The errors that are logged until the end of the block; nothing is printed."""
    handler = _Complaints()
    loggers = [logging.getLogger(name) for name in ("gateway", "asyncio")]
    before = [logger.propagate for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
    try:
        yield handler.records
    finally:
        for logger, propagate in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.propagate = propagate
