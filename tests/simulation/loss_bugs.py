"""Bugs on purpose, which worlds of losses have to find."""

from __future__ import annotations

from tests.simulation.losses import LossError, simulate_losses
from tests.simulation.planted import Planted, planted

LOSS_BUGS = (
    Planted("losses: the others are not told", "gateway.hub.losses:Losses._tell", "forget(lost)", "pass"),
    Planted("losses: no stamp is kept", "gateway.hub.hub:Hub._reach", "stamps[partition])", "-1)"),
    Planted(
        "losses: a new reader has no stamps",
        "gateway.hub.recovery:Recovery.join",
        "reader.add(positions, stamps)",
        "reader.add(positions)",
    ),
    Planted(
        "losses: a cut is no cut",
        "gateway.hub.recovery:Recovery._mend",
        "trouble.kind is Kind.CUT",
        "trouble.kind is Kind.ABSENT",
    ),
    Planted(
        "losses: a record too far",
        "gateway.hub.parting:_first_difference",
        "return end",
        "return end + 1",
    ),
    Planted("losses: a cut is not told", "gateway.hub.hub:Hub.cut", "tail.offset < gap.resumed", "tail.offset >= 0"),
)


def found_after(bug: Planted, seeds: int) -> int | None:
    """After how many seeds a bug is found."""
    for seed in range(seeds):
        try:
            with planted(bug):
                simulate_losses(seed)
        except LossError:
            return seed + 1
    return None
