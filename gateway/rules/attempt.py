"""An attempt and its consequence: the event is done, is tried again later, or is dead. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from gateway.times import read_http_date

LONGEST_PAUSE = 60_000
"""Milliseconds for which one answer can stop all requests of a rule (`Retry-After`): whoever answers does not decide
for how long the events of everybody wait."""

SERVER_ERRORS = frozenset({429, *range(500, 600)})
"""Statuses that a later try may not have (RFC 9110 section 15.6, RFC 6585 section 4)."""
DEFAULT_DELAYS = (30_000, 300_000, 3_600_000)
"""Milliseconds from each try to the next: 30 s, 5 min, 1 h."""

_LONGEST_NUMBER = 10
"""Digits of a `Retry-After` that are read."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Which answers are tried again, after which delays (ms), and for how long (ms) from the first try on; None is for
    as long as there are delays."""

    retried: frozenset[int] = SERVER_ERRORS
    ignored: frozenset[int] = frozenset()
    delays: tuple[int, ...] = DEFAULT_DELAYS
    give_up_after: int | None = None


class Answer(NamedTuple):
    """What came of a request. `status` is None where nothing was answered; `failure` says why. `retry_after` is that
    header, `body` the beginning of what was sent."""

    status: int | None
    failure: str = ""
    retry_after: str | None = None
    body: bytes = b""

    @property
    def told(self) -> str:
        """For a person."""
        return self.failure if self.status is None else f"it answers {self.status}"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request that is ready to be sent; `target` is path and query, in ASCII. `timeout` in milliseconds."""

    method: str
    scheme: str
    host: str
    port: int
    authority: str
    target: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes | None
    timeout: int


class Sender(Protocol):
    """Makes requests."""

    async def send(self, request: Prepared) -> Answer:
        """What came of it; never raises but for a cancellation."""
        ...


class Verdict(NamedTuple):
    """`delay` is the index of the delay after which to try again, `reason` why the event is dead. No request of the
    rule is to be made for `pause` milliseconds."""

    kind: Literal["done", "ignored", "retry", "dead"]
    delay: int = 0
    reason: str = ""
    pause: int = 0


def judge(answer: Answer, tries: int, first: int, now: int, policy: Policy) -> Verdict:
    """What follows from the answer to try number `tries` (from 1), where the first was at `first` (ms)."""
    status = answer.status
    if status is not None:
        if 200 <= status < 300:
            return Verdict("done")
        if status in policy.ignored:
            return Verdict("ignored")
        if status not in policy.retried:
            return Verdict("dead", reason=answer.told)
    asked = wished_delay(answer.retry_after, now)
    pause = min(asked, LONGEST_PAUSE)
    index = tries - 1
    if index >= len(policy.delays):
        return Verdict("dead", reason=f"{answer.told}, at try {tries} of {tries}", pause=pause)
    while index < len(policy.delays) - 1 and policy.delays[index] < asked:
        index += 1
    if policy.give_up_after is not None and now + policy.delays[index] - first > policy.give_up_after:
        waited = max(0, now - first) / 1000
        reason = f"{answer.told}, at try {tries}; given up {waited:.0f} s after the first"
        return Verdict("dead", reason=reason, pause=pause)
    return Verdict("retry", delay=index, pause=pause)


def wished_delay(retry_after: str | None, now: int) -> int:
    """Milliseconds that a `Retry-After` (RFC 9110 section 10.2.3) asks for; 0 where it asks for nothing that can be
    read."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return int(text) * 1000 if len(text) <= _LONGEST_NUMBER else 0
    if not text or len(text) > 40:
        return 0
    when = read_http_date(text)
    return 0 if when is None else max(0, when - now)
