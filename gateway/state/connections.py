"""Shows the operator who follows a view, as rows of the table of open streams."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.hub.ring import Ring
from gateway.state.session import ViewSession
from gateway.subscription.connections import SHOWN_CHARACTERS, ConnectionRow, acknowledged, behind, first_rows


async def first_followers(
    sessions: Sequence[ViewSession], ring: Ring, worker: str, order: str, limit: int
) -> list[ConnectionRow]:
    """The first rows in this order."""
    return await first_rows(len(sessions), lambda index: _Follower(sessions[index], ring, worker), order, limit)


class _Follower:
    """A session, and what it may be sorted by, which is found out when it is asked for."""

    __slots__ = ("_ring", "_session", "_worker")

    def __init__(self, session: ViewSession, ring: Ring, worker: str) -> None:
        self._session = session
        self._ring = ring
        self._worker = worker

    @property
    def since(self) -> int:
        return self._session.since

    @property
    def address(self) -> str:
        return self._session.visitor.address

    @property
    def lag(self) -> int:
        return 0 if self._session.is_live else behind(self._ring, self._session.next_offsets)

    @property
    def bytes(self) -> int | None:
        return acknowledged(self._session.transport)

    def row(self) -> ConnectionRow:
        session = self._session
        return ConnectionRow(
            id=f"{self._worker}-{id(session):x}",
            address=self.address,
            user_agent=session.visitor.agent,
            streams=[session.view.stream],
            filter=None,
            format=session.following.form.content_type,
            position=session.identifier.decode()[:SHOWN_CHARACTERS],
            live=session.is_live,
            lag=self.lag,
            bytes=self.bytes,
            since=self.since,
            view=session.view.name,
        )
