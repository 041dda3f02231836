"""Lets requests in, as far as the limits allow."""

from __future__ import annotations

import math
from functools import partial

from starlette.types import Scope

from gateway import telemetry
from gateway.errors import Problem
from gateway.limits.networks import Networks, Policies
from gateway.limits.port import (
    AWAY,
    CONNECTS,
    FILTERS,
    INTAKE,
    REPLAY,
    STREAMS,
    STREAMS_PER_ADDRESS,
    Client,
    Limiter,
    Refusal,
)
from gateway.routes.peer import sender
from gateway.subscription.judge import Charge
from gateway.subscription.replay import Pace

_DETAILS = {
    STREAMS: "all the streams that may be open are",
    STREAMS_PER_ADDRESS: "all the streams that your address may have open are",
    FILTERS: "the filters of your address take too much",
    CONNECTS: "your address opens streams too fast",
    INTAKE: "your address sends events too fast",
    AWAY: "the limits cannot be counted now",
}


class Lease:
    """A stream that is counted for as long as it is open."""

    __slots__ = ("_client", "_limiter")

    def __init__(self, limiter: Limiter, client: Client) -> None:
        self._limiter = limiter
        self._client: Client | None = client

    def release(self) -> None:
        """It has ended; said again, it is nothing."""
        client, self._client = self._client, None
        if client is not None:
            self._limiter.leave(client)

    @property
    def charge(self) -> Charge | None:
        """What the steps of the stream's filter are paid with, where anything has to be paid."""
        client, limiter = self._client, self._limiter
        if client is None or not client.policy.filters.limited:
            return None
        return partial(limiter.charge, client)

    @property
    def pace(self) -> Pace | None:
        """What slows the replay of the stream, where anything does."""
        client, limiter = self._client, self._limiter
        if client is None or not client.policy.replay.limited:
            return None

        async def pace(size: int) -> float:
            return await limiter.spend(REPLAY, client, client.policy.replay, size, owing=True)

        return pace


class Admission:
    """`header` names the header in which proxies that are trusted tell whom they speak for."""

    def __init__(self, limiter: Limiter, policies: Policies, trusted: Networks, header: bytes) -> None:
        self._limiter = limiter
        self._policies = policies
        self._trusted = trusted
        self._header = header
        self._told = False

    def client(self, scope: Scope) -> Client | None:
        """Whose limits hold for the request; None where none do."""
        address, vouched = sender(scope, self._trusted, self._header)
        if not vouched and not self._told:
            self._told = True
            telemetry.forwarding_ignored()
        return self._policies.client(address, vouched)

    def address(self, scope: Scope) -> str:
        """The client's address, as far as the proxies that are trusted tell it."""
        return str(sender(scope, self._trusted, self._header).address)

    async def enter(self, scope: Scope, filtered: bool = False) -> Lease | None:
        """Count a stream that opens, with a filter or without. Raises Problem(429) where a limit refuses it."""
        client = self.client(scope)
        if client is None:
            return None
        refusal = await self._limiter.enter(client, filtered)
        if refusal is not None:
            raise _refused(refusal)
        return Lease(self._limiter, client)

    async def take_events(self, scope: Scope, count: int) -> None:
        """Count events that come in. Raises Problem(429) where they come too fast."""
        client = self.client(scope)
        if client is None or not client.policy.intake.limited:
            return
        wait = await self._limiter.spend(INTAKE, client, client.policy.intake, count)
        if wait > 0:
            raise _refused(Refusal(INTAKE, wait))


def _refused(refusal: Refusal) -> Problem:
    telemetry.limit_refused(refusal.limit)
    seconds = max(1, math.ceil(refusal.seconds))
    detail = f"{_DETAILS[refusal.limit]} ({refusal.limit}); try again in {seconds} s"
    headers = {"retry-after": str(seconds)}
    if refusal.limit == AWAY:
        return Problem(503, "Unavailable", detail, headers=headers)
    return Problem(429, "Too many requests", detail, headers=headers, members={"limit": refusal.limit})
