"""Limits that hold over all processes and hosts, counted in Redis.

One request to Redis is under way at a time, and what comes meanwhile goes together in the next. When Redis is away the
process goes on by its own counts, and tells Redis all of them when it is back.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from gateway import telemetry
from gateway.certificates import why_refused
from gateway.clock import Clock
from gateway.limits.ledger import Ledger
from gateway.limits.port import (
    AWAY,
    CONNECTS,
    SLOT_SECONDS,
    STREAMS,
    STREAMS_PER_ADDRESS,
    Client,
    Refusal,
)
from gateway.limits.rates import Rate
from gateway.limits.redis_scripts import ENTER, REPORT, SPEND
from gateway.lookups import look_up_apart

LEASE_SECONDS = 5.0
"""What a process said of its streams is forgotten so long after it said anything."""
RENEW_SECONDS = 1.0
"""Between two reports where nothing changes, and two tries while Redis is away."""
GATHER_SECONDS = 0.05
"""A stream that has ended is told so late at the most, with those that end meanwhile."""
ANSWER_SECONDS = 0.5
"""Redis is away when an answer takes longer."""
TOGETHER = 256
"""Questions in one request."""
BUCKETS = 1000
"""Buckets in one report."""
_REFUSING = {1: STREAMS, 2: STREAMS_PER_ADDRESS, 3: CONNECTS}


class Away(Exception):
    """Redis does not answer."""


class _Question(NamedTuple):
    script: str
    keys: Sequence[str]
    arguments: Sequence[object]
    answer: asyncio.Future[Any]


class RedisLimiter:
    """A Limiter over Redis. `url` is `redis://…`, `rediss://…` or `unix://…`; `total`: see Ledger; `closed`: refuse
    while Redis is away; `prefix` begins the names of all keys."""

    def __init__(self, url: str, total: int, clock: Clock, prefix: str = "gateway", closed: bool = False) -> None:
        self._redis: Redis = Redis.from_url(
            url,
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            single_connection_client=False,
            retry=Retry(NoBackoff(), 0),
            max_connections=2,
        )
        self._clock = clock
        self._closed = closed
        self._ledger = Ledger(total)
        self._owner = uuid.uuid4().hex
        # One slot of a Redis cluster holds all of it.
        self._processes = f"{{{prefix}}}:processes"
        self._own = f"{self._processes}:{self._owner}"
        self._rates = f"{{{prefix}}}:rate:"
        self._hashes: dict[str, str] = {}
        self._questions: deque[_Question] = deque()
        self._asking: asyncio.Task[None] | None = None
        self.available = True
        """Whether Redis answered when it was asked last."""
        self._changed: set[str] = set()
        self._all_changed = True
        self._wake = asyncio.Event()

    async def enter(self, client: Client) -> Refusal | None:
        """See Limiter."""
        ledger = self._ledger
        if (refusal := ledger.full(client)) is not None:
            return refusal
        # Counted before Redis is asked: others that are asked for meanwhile are counted on top of it.
        ledger.hold(client)
        try:
            refusal = await self._ask_to_enter(client) if self.available else self._enter_alone(client)
        except Away:
            refusal = self._enter_alone(client)
        except BaseException:
            self.leave(client)
            raise
        if refusal is not None:
            self.leave(client)
        return refusal

    def indebted(self, client: Client) -> Refusal | None:
        """See Limiter."""
        return self._ledger.indebted(client, self._clock.monotonic())

    def charge(self, client: Client, steps: int) -> float:
        """See Limiter."""
        return self._ledger.charge(client, steps, self._clock.monotonic())

    def leave(self, client: Client) -> None:
        """See Limiter."""
        self._ledger.release(client)
        self._changed.add(client.bucket)
        self._wake.set()

    async def spend(self, limit: str, client: Client, rate: Rate, amount: float, owing: bool = False) -> float:
        """See Limiter."""
        if not rate.limited:
            return 0.0
        with suppress(Away):
            if self.available:
                key = f"{self._rates}{limit}:{client.bucket}"
                milliseconds: int = await self._ask(SPEND, [key], [*rate, amount, int(owing)])
                return milliseconds / 1000
        if self._closed and not owing:
            return RENEW_SECONDS
        return self._ledger.spend(limit, client, rate, amount, self._clock.monotonic(), owing)

    async def run(self) -> None:
        """See Limiter. Renews what this process holds, and finds out when Redis is back."""
        while True:
            try:
                await self._report()
            except Away:
                await asyncio.sleep(RENEW_SECONDS)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(RENEW_SECONDS):
                    await self._wake.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._ledger.forget(self._clock.monotonic())

    async def close(self) -> None:
        """See Limiter. Others may have the slots at once."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])
        with suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._redis.zrem(self._processes, self._owner)
                await self._redis.delete(self._own)
        with suppress(RedisError, OSError):
            await self._redis.aclose()

    def _enter_alone(self, client: Client) -> Refusal | None:
        """Without Redis: by what this process knows, which holds the stream already."""
        if self._closed:
            return Refusal(AWAY, RENEW_SECONDS)
        self._changed.add(client.bucket)
        return self._ledger.connect(client, self._clock.monotonic())

    async def _ask_to_enter(self, client: Client) -> Refusal | None:
        bucket, policy = client
        ledger = self._ledger
        keys = [self._processes, self._own, f"{self._rates}{CONNECTS}:{bucket}"]
        arguments = [
            *(self._owner, int(LEASE_SECONDS * 1000), bucket, ledger.held[bucket], ledger.streams),
            *(policy.streams, ledger.total, *policy.connects),
        ]
        known, refusing, milliseconds = await self._ask(ENTER, keys, arguments)
        if not known and not self._all_changed:
            # Redis was emptied, or this process stood still: what it said before is not there.
            self._all_changed = True
            self._wake.set()
        if not refusing:
            return None
        return Refusal(_REFUSING[refusing], milliseconds / 1000 or SLOT_SECONDS)

    async def _report(self) -> None:
        """Tell Redis what has changed, or all there is. Raises Away."""
        self._wake.clear()
        complete, buckets = self._all_changed, self._changed
        self._changed, self._all_changed = set(), False
        held = self._ledger.held
        names = list(held) if complete else list(buckets)
        try:
            for begin in range(0, max(1, len(names)), BUCKETS):
                part = names[begin : begin + BUCKETS]
                counts = [value for name in part for value in (name, held.get(name, 0))]
                first = int(complete and begin == 0)
                arguments = [self._owner, int(LEASE_SECONDS * 1000), first, self._ledger.streams, *counts]
                if not await self._ask(REPORT, [self._processes, self._own], arguments) and not complete:
                    self._all_changed = True
                    self._wake.set()
        except Away:
            self._all_changed = True
            raise

    async def _ask(self, script: str, keys: Sequence[str], arguments: Sequence[object]) -> Any:
        """Run a script, soon and in order. Raises Away."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._questions.append(_Question(script, keys, arguments, answer))
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_all())
        return await answer

    async def _ask_all(self) -> None:
        look_up_apart()
        asked: list[_Question] = []
        try:
            while self._questions:
                asked = [self._questions.popleft() for _ in range(min(TOGETHER, len(self._questions)))]
                async with asyncio.timeout(ANSWER_SECONDS):
                    try:
                        answers = await self._run_scripts(asked)
                    except NoScriptError:
                        # Somebody emptied Redis's memory of scripts: nothing was done but what may be done again.
                        self._hashes.clear()
                        answers = await self._run_scripts(asked)
                self._set_available(True)
                for question, answer in zip(asked, answers, strict=True):
                    if not question.answer.done():
                        question.answer.set_result(answer)
        except (RedisError, OSError, TimeoutError) as error:
            self._set_available(False, error)
            await self._hang_up()
        finally:
            self._asking = None
            for question in (*asked, *self._questions):
                if not question.answer.done():
                    question.answer.set_exception(Away())
            self._questions.clear()

    async def _run_scripts(self, asked: Sequence[_Question]) -> list[Any]:
        for question in asked:
            if question.script not in self._hashes:
                self._hashes[question.script] = await self._redis.script_load(question.script)
        pipeline = self._redis.pipeline(transaction=False)
        for question in asked:
            digest = self._hashes[question.script]
            pipeline.evalsha(digest, len(question.keys), *question.keys, *map(str, question.arguments))
        return await pipeline.execute()

    async def _hang_up(self) -> None:
        self._hashes.clear()  # a Redis that was started again knows no scripts
        with suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._redis.connection_pool.disconnect()

    def _set_available(self, available: bool, reason: BaseException | None = None) -> None:
        if available != self.available:
            self.available = available
            if available:
                telemetry.limits_shared()
            else:
                telemetry.limits_alone(why_refused(reason) or type(reason).__name__, self._closed)
