"""Idempotency-Keys: each belongs to one body, whichever gateway it comes to."""

from __future__ import annotations

import hashlib

from gateway.claims.port import ClaimsAway, Keys
from gateway.clock import Clock
from gateway.errors import LogForbids, LogUnavailable, Problem
from gateway.intake.outcome import Submission
from gateway.intake.window import Window

RETRY_SECONDS = 2
"""Seconds in the `retry-after` of an answer while the log is away."""


class IdempotencyKeys:
    """One for a process. It remembers a key for `seconds`, and at most `maximum` of them. `shared` is where other
    gateways learn of it, if there are any."""

    def __init__(self, clock: Clock, seconds: float, maximum: int, shared: Keys | None) -> None:
        self._clock = clock
        self._known = Window(seconds, maximum)
        self._shared = shared
        self._binding: dict[str, str] = {}
        """The keys that are about to be bound, each with what tells its body from others."""

    def digest(self, submission: Submission) -> str:
        """The digest that identifies the body, if the request has a key. Raises Problem(422) if the key is known to
        have come with another body."""
        key = submission.idempotency_key
        if key is None:
            return ""
        digest = hashlib.blake2b(submission.body, digest_size=16).hexdigest()
        self._check(key, digest)
        return digest

    async def bind(self, key: str, digest: str) -> None:
        """Bind the key to this body before any of it is stored. Raises Problem(503), and Problem(422) if the key has
        another body, even one that reached another gateway at the same moment."""
        self._check(key, digest)
        self._binding[key] = digest
        try:
            if self._shared is not None:
                await self._share(self._shared, key, digest)
            now = self._clock.monotonic()
            self._known.add(key, now)
            self._known.add((key, digest), now)
        finally:
            self._binding.pop(key, None)

    def _check(self, key: str, digest: str) -> None:
        now = self._clock.monotonic()
        other = self._known.has(key, now) and not self._known.has((key, digest), now)
        if other or self._binding.get(key, digest) != digest:
            raise _used()

    async def _share(self, shared: Keys, key: str, digest: str) -> None:
        name = hashlib.blake2b(f"Idempotency-Key: {key}".encode(), digest_size=16).digest()
        try:
            bound = await shared.bind(name, digest.encode())
        except (ClaimsAway, LogForbids):
            return  # The process goes on by what it knows itself; what the log forbids is told by the append.
        except LogUnavailable:
            raise log_unavailable() from None
        if bound != digest.encode():
            raise _used()


def log_unavailable() -> Problem:
    """The problem of a request if the log does not answer before any of its events is handed over."""
    detail = "the log does not answer; this request stored nothing"
    return Problem(503, "Log unavailable", detail, headers={"retry-after": str(RETRY_SECONDS)})


def _used() -> Problem:
    detail = "this key was used with another body; use a new key for a new request"
    return Problem(422, "Idempotency-Key already used", detail, "Idempotency-Key")
