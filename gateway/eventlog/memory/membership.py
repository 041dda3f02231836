"""Divides work on a log in memory."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from gateway.eventlog.assignment import ClaimingMembership, assign


class MemoryMembership(ClaimingMembership):
    """A Membership over a MemoryLog."""

    def __init__(self, members: dict[str, MemoryMembership], on_change: Callable[[], None]) -> None:
        super().__init__()
        self._members = members
        self._on_change = on_change
        self._name = str(uuid.uuid4())
        self._members[self._name] = self

    async def close(self) -> None:
        """See Membership."""
        self.expel()

    def expel(self) -> None:
        """As if it had not answered for too long; it does not notice."""
        if self._members.pop(self._name, None) is not None:
            self._tell()

    def rejoin(self) -> None:
        """As when it answers again."""
        self._members[self._name] = self
        self._tell()

    def _tell(self) -> None:
        generation = 1 + max((one._claims.generation for one in self._members.values()), default=0)
        given = assign({name: one._claims.claimant for name, one in self._members.items()})
        for name, pieces in given.items():
            member = self._members[name]
            if member._claims.give(pieces, generation):
                member._on_change()
