"""The port of claims: they decide which of several gateways stores an event, where the log cannot decide that itself.

A gateway claims an event before it appends it, so that all others know. After the append it says how that ended. If the
event is stored, the claim stays for as long as the window lasts. If not, the claim is free again. The claim of a holder
that falls silent lapses. Then only the log can tell, and a gateway that has asked it may take the claim over.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple, Protocol

from gateway.errors import GatewayError

LEASE_SECONDS = 10.0
"""Seconds after the last sign of its holder until a claim lapses. This is longer than an append takes
(OFFER_SECONDS). If the holder was killed meanwhile, the log has the event by then, or never will."""

RENEW_SECONDS = 3.0
"""A holder says so often that it is there."""

TOGETHER = 1000
"""The most claims in one call."""


class ClaimsAway(GatewayError):
    """The store of the claims does not answer."""


class ClaimState(IntEnum):
    """How it stands with a claim."""

    OWN = 0
    """It was free, or is the asker's, who may append."""
    STORED = 1
    """The event is in the log."""
    HELD = 2
    """Somebody else is about to store it."""
    LAPSED = 3
    """Somebody else was about to, and says nothing more: the log knows."""


class Standing(NamedTuple):
    """Of one claim; `holder` is whose it was where it has lapsed."""

    kind: ClaimState
    holder: bytes = b""


class AskedClaim(NamedTuple):
    """A claim that is wanted. `lapsed`: the holder whose claim may be taken over, since the log does not have it."""

    id: bytes
    lapsed: bytes = b""


class Keys(Protocol):
    """Names that have one value each."""

    async def bind(self, name: bytes, value: bytes) -> bytes:
        """Give a name this value for the window, where it has none; returns the one that it has. Raises ClaimsAway, or
        LogUnavailable where the log keeps them."""
        ...


class Claims(Keys, Protocol):
    """Claims that all gateways share. Each object is one holder. Every method raises ClaimsAway, within a second."""

    @property
    def sure(self) -> bool:
        """Whether what nobody has claimed is not stored. False where, or while, others may have stored something
        without a claim: then the log is to be asked as well."""
        ...

    async def take(self, asked: Sequence[AskedClaim]) -> list[Standing]:
        """Claim each, where it is free."""
        ...

    async def renew(self, ids: Sequence[bytes]) -> list[bool]:
        """Hold these for longer; whether each is the holder's still."""
        ...

    async def settle(self, stored: Sequence[bytes], freed: Sequence[bytes]) -> None:
        """Report events as stored, no matter which process has claimed them, and free claims of this process."""
        ...

    async def run(self) -> None:
        """Find out whether the store is there. Does not end by itself."""
        ...

    async def close(self) -> None:
        """Bounded in time, and never raises."""
        ...
