"""Events handed to an intake, without a request."""

from __future__ import annotations

from gateway.intake.intake import Intake
from gateway.intake.outcome import Outcome, Submission


async def take(intake: Intake, submission: Submission) -> Outcome:
    """Split the body and take its events in. Raises Problem."""
    async with intake.split(submission) as split:
        return await intake.take(split)
