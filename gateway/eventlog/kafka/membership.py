"""Divides work on a Kafka log by Kafka's group protocol: members tell a broker what they want, one of them decides for
all, and a silent one is left out.

This is the protocol alone, with a type of its own, and no consumer: pieces of work are no partitions, and whether
results are right does not depend on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from aiokafka.errors import for_code
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, SyncGroupRequest

from gateway.errors import LogForbids, LogUnavailable
from gateway.eventlog.assignment import ClaimingMembership, assign, decode, decode_given, encode, encode_given
from gateway.eventlog.kafka.calls import read
from gateway.eventlog.kafka.cluster import Cluster
from gateway.eventlog.kafka.connections import CLOSE_SECONDS, BrokerConnections
from gateway.eventlog.kafka.metadata import Address
from gateway.eventlog.port import MEMBER_SECONDS
from gateway.eventlog.trouble import Kind
from gateway.observability import telemetry

GROUP = "gateway.processing"
PROTOCOL_TYPE = PROTOCOL = "gateway-pieces"

ROUND_SECONDS = 6.0
"""Seconds that the broker waits for all members to join again; who has not by then is left out."""
PATIENCE_SECONDS = ROUND_SECONDS + 3.0
"""Seconds until an answer of the broker is overdue."""
BEAT_SECONDS = 1.5
"""Seconds between two heartbeats, by which a member learns that others have come or gone."""
GATHER_SECONDS = 0.05
"""Seconds in which changes of what a member wants and holds are told together."""
RETRY_SECONDS = 1.0
FORBIDDEN_SECONDS = 30.0
"""Seconds before a broker is asked again that refuses the group."""

OUTDATED = 22
UNKNOWN_MEMBER = 25
REBALANCING = 27
NEEDS_ID = 79
FORBIDDEN = frozenset({30, 31})


class _Again(Exception):
    """The group is to be joined again, at once."""


class KafkaMembership(ClaimingMembership):
    """A Membership over a Kafka log."""

    def __init__(self, cluster: Cluster, on_change: Callable[[], None]) -> None:
        super().__init__()
        self._cluster = cluster
        self._connections = BrokerConnections(self._connect)
        self._on_change = on_change
        self._member = ""
        self._coordinator: Address | None = None
        self._moved = asyncio.Event()
        self._taking_part = asyncio.create_task(self._take_part())

    async def close(self) -> None:
        """See Membership."""
        self._taking_part.cancel()
        await asyncio.wait([self._taking_part])
        with suppress(LogUnavailable, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                if self._member and self._coordinator is not None:
                    await self._ask(LeaveGroupRequest(GROUP, self._member))
        await self._connections.close()

    def _tell(self) -> None:
        self._moved.set()

    async def _take_part(self) -> None:
        while True:
            try:
                await self._moved.wait()
                await self._find()
                while True:
                    try:
                        await self._join()
                        await self._beat()
                    except _Again:
                        pass
            except LogForbids as error:
                telemetry.work_waits(str(error))
                await asyncio.sleep(FORBIDDEN_SECONDS)
            except LogUnavailable as error:
                telemetry.work_waits(str(error))
                await asyncio.sleep(RETRY_SECONDS)
            self._moved.set()

    async def _connect(self, address: Address) -> Any:
        connection = await self._cluster.connect(address)
        connection.patience = PATIENCE_SECONDS
        return connection

    async def _find(self) -> None:
        """Which broker leads the group."""
        answer = await self._cluster.send_to_any(FindCoordinatorRequest(GROUP, 0))
        self._check(answer.error_code)
        self._coordinator = read("group", lambda: (answer.host, answer.port))

    async def _ask(self, request: Any) -> Any:
        assert self._coordinator is not None
        return await self._connections.send(self._coordinator, request, PATIENCE_SECONDS)

    async def _join(self) -> None:
        """Take part in a round: all tell what they want, and one says who gets what."""
        await asyncio.sleep(GATHER_SECONDS)
        self._moved.clear()
        claimant = self._claims.claimant
        times = int(MEMBER_SECONDS * 1000), int(ROUND_SECONDS * 1000)
        protocols = [(PROTOCOL, encode(claimant))]
        answer = await self._ask(JoinGroupRequest(GROUP, *times, self._member, None, PROTOCOL_TYPE, protocols))
        if answer.error_code == NEEDS_ID:
            self._member = answer.member_id
            raise _Again
        self._check(answer.error_code)
        self._member = answer.member_id
        generation: int = answer.generation_id
        given = read("group", lambda: _divided(answer)) if answer.leader_id == self._member else []
        synced = await self._ask(SyncGroupRequest(GROUP, generation, self._member, None, given))
        self._check(synced.error_code)
        # What was put down meanwhile is told in the next round.
        put_down = claimant.holds - self._claims.claimant.holds
        if self._claims.give(decode_given(synced.member_assignment) - put_down, generation):
            self._on_change()

    async def _beat(self) -> None:
        """Say that this process is there, until another round is due."""
        while not self._moved.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT_SECONDS):
                    await self._moved.wait()
            if not self._moved.is_set():
                answer = await self._ask(HeartbeatRequest(GROUP, self._claims.generation, self._member))
                self._check(answer.error_code)

    def _check(self, code: int) -> None:
        """Raises what an error of the broker means."""
        if code == 0:
            return
        if code in (OUTDATED, UNKNOWN_MEMBER):
            self._member = "" if code == UNKNOWN_MEMBER else self._member
            raise _Again
        if code == REBALANCING:
            raise _Again
        name = for_code(code).__name__
        if code in FORBIDDEN:
            raise LogForbids(f"Kafka: the gateway may not join the group {GROUP}: {name}", Kind.NO_RIGHT)
        raise LogUnavailable(f"Kafka: the group {GROUP}: {name}")


def _divided(answer: Any) -> list[tuple[str, bytes]]:
    """What each member is given."""
    claimants = {member[0]: decode(member[-1]) for member in answer.members}
    return [(name, encode_given(pieces)) for name, pieces in assign(claimants).items()]
