"""Agrees with other gateways who appends an event that may reach several of them.

Events that arrive for a topic while claims are asked for wait, and share the next question. So events keep their order.
An event that another gateway is about to store waits separately from the rest.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from gateway.claims.port import LEASE_SECONDS, RENEW_SECONDS, TOGETHER, AskedClaim, Claims, ClaimsAway, ClaimState
from gateway.clock import Clock
from gateway.cooperative import give_way, together
from gateway.errors import LogError
from gateway.observability import telemetry

HELD_SECONDS = 4.5
"""Seconds to wait for an event that another gateway holds: the answer is due soon after."""
POLL_SECONDS = (0.02, 0.3)
"""Between two questions what has become of it: at first, and at the longest."""
SURE_SECONDS = LEASE_SECONDS - RENEW_SECONDS
"""Seconds after it learned of its claim within which a gateway may begin to append. It may have been stopped
meanwhile, and another one may have taken over the claim."""
DOUBTS = 20_000
"""Claims of events whose fate is not known that are held on to; of more, the oldest lapse."""

Key = tuple[str, str]
"""A stream and a `meta.id`."""


class Verdict(StrEnum):
    """What to do with an event."""

    OWN = "own"
    """Append it, and tell what became of it."""
    FREE = "unclaimed"
    """Append it without a claim: other gateways cannot be reached."""
    STORED = "stored"
    """It is in the log."""
    HELD = "held"
    """Another gateway has not said what became of it: it can be sent again."""
    UNKNOWN = "unknown"
    """The log was to be asked, and does not answer."""


@dataclass(eq=False, slots=True)
class Wanted:
    """Events of one request for one topic: by their indices, the name and the claim of each. `decide` first receives
    all except those that are waited for, and receives these later."""

    topic: str
    events: Mapping[int, tuple[Key, bytes]]
    decide: Callable[[Mapping[int, Verdict]], None]


class Claiming:
    """One for a process. `known` says whether an event is known to be stored. `look` reads a topic to its end;
    afterwards all its events are known. `settle` is that of the log. Both raise what EventLog raises."""

    def __init__(
        self,
        claims: Claims,
        known: Callable[[Key], bool],
        look: Callable[[str], Awaitable[None]],
        settle: Callable[[str], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._claims = claims
        self._clock = clock
        self._known = known
        self._look = look
        self._settle = settle
        self._lanes: dict[str, deque[Wanted]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._until: dict[bytes, float] = {}
        """The own claims of what is not settled, and until when each is surely held."""
        self._doubts: dict[bytes, tuple[str, Key]] = {}
        """The own claims of events whose fate is not known, and where to look for it."""
        self._stored: list[bytes] = []
        self._freed: list[bytes] = []
        self._telling: asyncio.Task[None] | None = None

    def put(self, wanted: Wanted) -> None:
        """Find out what is to be done with these."""
        lane = self._lanes.get(wanted.topic)
        if lane is not None:
            lane.append(wanted)
            return
        self._lanes[wanted.topic] = deque([wanted])
        self._begin(self._run(wanted.topic))

    def may_append(self, ids: Sequence[bytes]) -> bool:
        """Whether all of these are surely held now."""
        now = self._clock.monotonic()
        return all(self._until.get(each, 0.0) > now for each in ids)

    def settle(self, stored: Sequence[bytes], freed: Sequence[bytes]) -> None:
        """Tell what became of own claims, soon."""
        for each in (*stored, *freed):
            self._until.pop(each, None)
            self._doubts.pop(each, None)
        self._stored += stored
        self._freed += freed
        if self._telling is None and (self._stored or self._freed):
            self._telling = asyncio.create_task(self._tell())

    def doubt(self, claim: bytes, topic: str, key: Key) -> None:
        """The log has not said what became of it: hold on to the claim until it does."""
        self._doubts[claim] = topic, key
        while len(self._doubts) > DOUBTS:
            oldest = next(iter(self._doubts))
            del self._doubts[oldest]
            self._until.pop(oldest, None)

    async def run(self) -> None:
        """Hold on to what is not settled, and find out what became of it, for as long as the process serves."""
        await together((self._renew(), self._resolve()))

    async def drain(self) -> None:
        """Return when nothing waits for a decision any more, and every claim is settled."""
        while waiting := [*self._tasks, *([] if self._telling is None else [self._telling])]:
            await asyncio.wait(waiting)
            await give_way()

    def _begin(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # What is wanted.

    async def _run(self, topic: str) -> None:
        lane = self._lanes[topic]
        try:
            while lane:
                together = [lane.popleft()]
                count = len(together[0].events)
                while lane and count + len(lane[0].events) <= TOGETHER:
                    together.append(lane.popleft())
                    count += len(together[-1].events)
                await self._ask(topic, together)
                await give_way()
        finally:
            del self._lanes[topic]

    async def _ask(self, topic: str, together: Sequence[Wanted]) -> None:
        """Decide on what can be decided now; the rest is waited for."""
        asked = {claim: key for wanted in together for key, claim in wanted.events.values()}
        try:
            verdicts, open_ = await self._take(topic, asked, {})
        except Exception as error:
            # A mistake of our own; none of the requests may wait for ever.
            telemetry.intake_broken(error)
            verdicts, open_ = dict.fromkeys(asked, Verdict.UNKNOWN), {}
        for wanted in together:
            wanted.decide(
                {index: verdicts[claim] for index, (_, claim) in wanted.events.items() if claim not in open_}
            )  # fmt: skip
            if left := {index: event for index, event in wanted.events.items() if event[1] in open_}:
                self._begin(self._wait(Wanted(topic, left, wanted.decide), open_))

    async def _wait(self, wanted: Wanted, lapsed: Mapping[bytes, bytes]) -> None:
        """Wait for what another gateway makes of its claims, and ask the log where that says nothing more."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + HELD_SECONDS
        left = {claim: (index, key) for index, (key, claim) in wanted.events.items()}
        pause = POLL_SECONDS[0]
        holders = dict(lapsed)
        while left and loop.time() < deadline:
            if not any(holders.get(claim) for claim in left):
                await asyncio.sleep(pause)
                pause = min(2 * pause, POLL_SECONDS[1])
            try:
                found, holders = await self._take(
                    wanted.topic, {claim: key for claim, (_, key) in left.items()}, holders
                )
            except Exception as error:
                telemetry.intake_broken(error)
                break
            wanted.decide({left.pop(claim)[0]: verdict for claim, verdict in found.items() if claim not in holders})
            await give_way()
        if left:
            telemetry.claims(Verdict.HELD, len(left))
            wanted.decide({index: Verdict.HELD for index, _ in left.values()})

    async def _take(
        self, topic: str, asked: Mapping[bytes, Key], holders: Mapping[bytes, bytes]
    ) -> tuple[dict[bytes, Verdict], dict[bytes, bytes]]:
        """Claim these. Returns what is decided; and of what others hold, whose it was where that has lapsed. `holders`
        are the lapsed ones of before: the log is asked for them first."""
        lapsed = {claim: holder for claim, holder in holders.items() if holder and claim in asked}
        if lapsed and not await self._looked(topic):
            return dict.fromkeys(asked, Verdict.UNKNOWN), {}
        verdicts = {claim: Verdict.STORED for claim, key in asked.items() if self._known(key)}
        self.settle([claim for claim in lapsed if claim in verdicts], [])
        wanted = [AskedClaim(claim, lapsed.get(claim, b"")) for claim in asked if claim not in verdicts]
        # What is wanted again is not free, be it told or not that it was.
        self._freed = [claim for claim in self._freed if claim not in asked]
        others: dict[bytes, bytes] = {}
        begun = self._clock.monotonic()
        try:
            standings = await self._claims.take(wanted) if wanted else []
        except ClaimsAway:
            free = [one.id for one in wanted]
            verdicts |= await self._confirmed(topic, asked, free, Verdict.FREE, False)
        else:
            own = []
            for one, standing in zip(wanted, standings, strict=True):
                if standing.kind is ClaimState.STORED:
                    verdicts[one.id] = Verdict.STORED
                elif standing.kind is ClaimState.OWN:
                    own.append(one.id)
                    self._until[one.id] = begun + SURE_SECONDS
                    self._doubts.pop(one.id, None)
                else:
                    others[one.id] = standing.holder
            verdicts |= await self._confirmed(topic, asked, own, Verdict.OWN, self._claims.sure)
        for verdict, count in Counter(verdicts.values()).items():
            telemetry.claims(verdict, count)
        return verdicts, others

    async def _confirmed(
        self, topic: str, asked: Mapping[bytes, Key], taken: Sequence[bytes], verdict: Verdict, sure: bool
    ) -> dict[bytes, Verdict]:
        """The verdict on what nobody else has claimed; where it may be stored all the same, the log is asked first."""
        own = verdict is Verdict.OWN
        if taken and not sure and not await self._looked(topic):
            self.settle([], taken if own else [])
            return dict.fromkeys(taken, Verdict.UNKNOWN)
        stored = [claim for claim in taken if self._known(asked[claim])]
        self.settle(stored if own else [], [])
        return dict.fromkeys(taken, verdict) | dict.fromkeys(stored, Verdict.STORED)

    async def _looked(self, topic: str) -> bool:
        """Read the topic to its end; False where the log does not let it be known what it has."""
        try:
            await self._look(topic)
        except LogError:
            return False
        return True

    # What is held.

    async def _tell(self) -> None:
        try:
            while self._stored or self._freed:
                stored, self._stored = self._stored[:TOGETHER], self._stored[TOGETHER:]
                freed, self._freed = self._freed[:TOGETHER], self._freed[TOGETHER:]
                try:
                    await self._claims.settle(stored, freed)
                except ClaimsAway:
                    # They lapse, and whoever wants them asks the log.
                    self._stored, self._freed = [], []
                await give_way()
        finally:
            self._telling = None

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS / 3)
            now = self._clock.monotonic()
            old = [claim for claim, until in self._until.items() if until - now < SURE_SECONDS - RENEW_SECONDS / 2]
            for start in range(0, len(old), TOGETHER):
                part = old[start : start + TOGETHER]
                begun = self._clock.monotonic()
                try:
                    held = await self._claims.renew(part)
                except ClaimsAway:
                    break
                for claim, own in zip(part, held, strict=True):
                    if claim in self._until:
                        self._until[claim] = begun + SURE_SECONDS if own else 0.0

    async def _resolve(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            for topic in {topic for topic, _ in self._doubts.values()}:
                doubts = {claim: each for claim, each in self._doubts.items() if each[0] == topic}
                try:
                    await self._settle(topic)
                    await self._look(topic)
                except LogError:
                    continue
                # What was sent again meanwhile is on its way once more, and no doubt.
                left = {claim: key for claim, (_, key) in doubts.items() if self._doubts.get(claim) is doubts[claim]}
                stored = [claim for claim, key in left.items() if self._known(key)]
                self.settle(stored, [claim for claim in left if claim not in set(stored)])
