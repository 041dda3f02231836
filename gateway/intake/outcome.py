"""The events of one request to the intake, and what became of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.access.grant import NOBODY, Grant
from gateway.intake.split import Piece
from gateway.observability.tracing import NO_SPAN, Span


class Submission(NamedTuple):
    """A body with the facts about its request. `grant` says which streams its sender may write; others do not exist
    for it. The work for it is recorded in parts of `span`."""

    body: bytes
    media_type: str
    grant: Grant = NOBODY
    hasty: bool = False
    request_id: str | None = None
    idempotency_key: str | None = None
    span: Span = NO_SPAN
    stream: str | None = None
    """That of CloudEvents, which name none."""


@dataclass(eq=False, slots=True)
class SplitBody:
    """A submission and its events, for as long as it is under way. `validation` is the part of its span in which the
    events are split and validated. Until then it holds the lock of large bodies, if it is one (`large`)."""

    submission: Submission
    validation: Span
    large: asyncio.Lock | None
    pieces: list[Piece] = field(default_factory=list)
    validated: bool = False

    def release(self, error: BaseException | None = None) -> None:
        """The events are validated, or will not be; said again, it is nothing."""
        if not self.validated:
            self.validated = True
            self.validation.end(None if error is None else type(error).__name__)
            if self.large is not None:
                self.large.release()


class Rejected(NamedTuple):
    """An event that is not stored, and why; `number` is its index in the request, from 0. `stream` is that of the
    request, where the event names none."""

    number: int
    piece: Piece
    detail: str
    stream: str | None = None


@dataclass(slots=True)
class Outcome:
    """The fates of the events of a request. `stored` counts those `repeated` too; for a hasty request, it counts the
    events handed to the log."""

    hasty: bool = False
    stored: int = 0
    repeated: int = 0
    invalid: list[Rejected] = field(default_factory=list)
    failed: list[Rejected] = field(default_factory=list)
    unavailable: bool = False
    """Whether any failed since the log did not answer."""
    forbidden: bool = False
    """Whether any failed until an operator acts, as where the log does not let the gateway write."""
    why: str = ""
    """The kind of the trouble with the log (`eventlog.trouble.Kind`), of the first that failed by it."""
