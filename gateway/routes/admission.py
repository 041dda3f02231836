"""Admits requests, as far as the limits allow."""

from __future__ import annotations

import math
from functools import partial

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.clock import Clock, SystemClock
from gateway.derive.trials import Payment
from gateway.errors import Problem
from gateway.feed.judge import Charge
from gateway.limits.ledger import FORGET_SECONDS, Ledger
from gateway.limits.networks import Networks, Policies
from gateway.limits.port import (
    AWAY,
    CONNECTS,
    FILTERS,
    INTAKE,
    REPLAY,
    REQUESTS,
    STREAMS,
    STREAMS_PER_ADDRESS,
    Client,
    Limiter,
    LimitReached,
)
from gateway.observability import telemetry
from gateway.observability.throttle import Seldom
from gateway.routes.peer import sender, told_by_nobody
from gateway.routes.problems import answer
from gateway.subscription.replay import Pace

MOST_PARAMETERS = 64
"""Parameters of one request: more than any has, few enough to be looked at one by one."""
MOST_PEERS = 4096
"""Peers that are remembered."""
READ_SECONDS = 0.005
"""Processor seconds. A request for a stream counts once more for each such time that it takes to be parsed."""
BODY_BYTES = 16_384
"""A body counts as at least one event for each of these bytes."""
UNCOUNTED = ("/healthz", "/readyz")
"""They cost no more than a refusal, and who asks for them must not be refused."""
COUNTED_APART = ("/v2/stream/", "/v1/events")
"""Streams and events, which have limits of their own."""

_DETAILS = {
    STREAMS: "the maximum number of streams is open",
    STREAMS_PER_ADDRESS: "your address has its maximum number of open streams",
    FILTERS: "the filters of your address take too much work",
    CONNECTS: "your address opens streams too fast",
    REQUESTS: "your address sends requests too fast",
    INTAKE: "your address sends events too fast",
    REPLAY: "your address reads history too fast",
    AWAY: "limits cannot be checked now",
}


class Lease:
    """A stream that is counted for as long as it is open."""

    __slots__ = ("_client", "_limiter")

    def __init__(self, limiter: Limiter, client: Client) -> None:
        self._limiter = limiter
        self._client: Client | None = client

    def check_filters(self) -> None:
        """It has a filter. Raises Problem(429) where those of the client have taken more than is paid for."""
        refusal = None if self._client is None else self._limiter.indebted(self._client)
        if refusal is not None:
            raise _refused(refusal)

    async def count_reading(self, seconds: float) -> None:
        """Count a request as several, by the processor seconds that parsing it took."""
        more = int(seconds / READ_SECONDS)
        if self._client is not None and more:
            await self._limiter.spend(CONNECTS, self._client, self._client.policy.connects, more, owing=True)

    def release(self) -> None:
        """It has ended; said again, it is nothing."""
        client, self._client = self._client, None
        if client is not None:
            self._limiter.leave(client)

    @property
    def charge(self) -> Charge | None:
        """The budget that pays for the steps of the stream's filter, if there is one."""
        return None if self._client is None else _charge(self._limiter, self._client)

    @property
    def pace(self) -> Pace | None:
        """The budget that slows the replay of the stream, if there is one."""
        return None if self._client is None else _pace(self._limiter, self._client)


def _charge(limiter: Limiter, client: Client) -> Charge | None:
    return partial(limiter.charge, client) if client.policy.filters.limited else None


def _pace(limiter: Limiter, client: Client) -> Pace | None:
    if not client.policy.replay.limited:
        return None

    async def pace(size: int) -> float:
        return await limiter.spend(REPLAY, client, client.policy.replay, size, owing=True)

    return pace


class Admission:
    """`header` names the header in which proxies that are trusted tell whom they speak for."""

    def __init__(
        self, limiter: Limiter, policies: Policies, trusted: Networks, header: bytes, clock: Clock | None = None
    ) -> None:
        self._limiter = limiter
        self._policies = policies
        self._trusted = trusted
        self._header = header
        self._told = False
        self._clock = clock or SystemClock()
        self._requests = Ledger(0)
        """Of this process alone, whose time they take: to ask others would cost more than most requests."""
        self._forget = Seldom(FORGET_SECONDS)
        self._peers: dict[str, tuple[Client | None, str]] = {}
        """By the peer of a connection, whose limits hold, and its address: it asks again and again."""

    def client(self, scope: Scope) -> Client | None:
        """Whose limits hold for the request; None where none do."""
        return self._known(scope)[0]

    def _known(self, scope: Scope) -> tuple[Client | None, str]:
        peer = told_by_nobody(scope)
        if peer is not None and (known := self._peers.get(peer)) is not None:
            return known
        address, vouched = sender(scope, self._trusted, self._header)
        if not vouched and not self._told:
            self._told = True
            telemetry.forwarding_ignored()
        known = self._policies.client(address, vouched), str(address)
        if peer is not None:
            if len(self._peers) >= MOST_PEERS:
                self._peers.clear()
            self._peers[peer] = known
        return known

    def address(self, scope: Scope) -> str:
        """The client's address, as far as the proxies that are trusted tell it."""
        return self._known(scope)[1]

    def request(self, scope: Scope) -> None:
        """Count a request, before anything is done for it. Raises Problem: 429 where they come too fast, 400 for one
        with more parameters than any can have."""
        if scope["query_string"].count(b"&") >= MOST_PARAMETERS:
            raise Problem(400, "Bad request", f"a request has at most {MOST_PARAMETERS} parameters")
        if scope["path"] in UNCOUNTED or scope["path"].startswith(COUNTED_APART):
            return
        client = self.client(scope)
        if client is None or not client.policy.requests.limited:
            return
        now = self._clock.monotonic()
        if self._forget.is_due(now):
            self._requests.forget(now)
        wait = self._requests.spend(REQUESTS, client, client.policy.requests, 1, now)
        if wait > 0:
            raise _refused(LimitReached(REQUESTS, wait))

    async def enter(self, scope: Scope) -> Lease | None:
        """Count a stream that is asked for, before the request is looked into. Raises Problem(429) where a limit
        refuses it."""
        client = self.client(scope)
        if client is None:
            return None
        refusal = await self._limiter.enter(client)
        if refusal is not None:
            raise _refused(refusal)
        return Lease(self._limiter, client)

    async def read_history(self, scope: Scope, size: int) -> float:
        """Count bytes of history that a request reads; returns the seconds that the client is to wait for them."""
        client = self.client(scope)
        pace = None if client is None else _pace(self._limiter, client)
        return 0.0 if pace is None else await pace(size)

    async def begin_work(self, scope: Scope) -> Payment:
        """How work on history is paid for, such as a trial or a count: with what is read, and with the work of
        filters. Raises Problem(429) where the client owes any of them."""
        client = self.client(scope)
        if client is None:
            return Payment(self.address(scope))
        refusal = self._limiter.indebted(client)
        if refusal is None and client.policy.replay.limited:
            wait = await self._limiter.spend(REPLAY, client, client.policy.replay, 1)
            refusal = LimitReached(REPLAY, wait) if wait > 0 else None
        if refusal is not None:
            raise _refused(refusal)
        return Payment(client.bucket, _pace(self._limiter, client), _charge(self._limiter, client))

    async def take_events(self, scope: Scope, count: int) -> None:
        """Count events that come in. Raises Problem(429) where they come too fast."""
        client = self.client(scope)
        if client is None or not client.policy.intake.limited:
            return
        wait = await self._limiter.spend(INTAKE, client, client.policy.intake, count)
        if wait > 0:
            raise _refused(LimitReached(INTAKE, wait))


class Counted:
    """Plain ASGI: each request is counted first, before anything of it is decoded or made for it."""

    def __init__(self, app: ASGIApp, admission: Admission) -> None:
        self._app = app
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                self._admission.request(scope)
            except Problem as problem:
                await answer(problem)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _refused(refusal: LimitReached) -> Problem:
    telemetry.limit_refused(refusal.limit)
    seconds = max(1, math.ceil(refusal.seconds))
    detail = f"{_DETAILS[refusal.limit]} ({refusal.limit}); try again in {seconds} s"
    headers = {"retry-after": str(seconds)}
    if refusal.limit == AWAY:
        return Problem(503, "Unavailable", detail, headers=headers)
    return Problem(429, "Too many requests", detail, headers=headers, members={"limit": refusal.limit})
