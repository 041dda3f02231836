"""Events handed to an intake, without a request."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.intake.intake import Intake
from gateway.intake.outcome import Outcome, Submission
from gateway.intake.split import Piece, split_plainly, split_slowly


async def take(intake: Intake, submission: Submission) -> Outcome:
    """Split the body and take its events in. Raises Problem."""
    async with intake.split(submission) as split:
        return await intake.take(split)


def split(body: bytes, maximum: int) -> Iterator[list[Piece]]:
    """The events of a body, in chunks where it is read slowly. Raises BadBody and TooManyEvents."""
    pieces = split_plainly(body, maximum)
    if pieces is None:
        yield from split_slowly(body, maximum)
    else:
        yield pieces
