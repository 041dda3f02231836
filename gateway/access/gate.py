"""The gate: decides which tokens are accepted, and what they grant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from gateway.access import static
from gateway.access.credential import PARAMETER, Credential, find, invalid_token, missing_token
from gateway.access.grant import NOBODY, Grant
from gateway.access.keyring import RETRY_SECONDS, Keyring
from gateway.access.signed import InvalidToken, UnknownKey, verify
from gateway.access.trust import Trust
from gateway.clock import Clock
from gateway.errors import Problem
from gateway.observability import telemetry

_JWT_DOTS = 2


class Gate:
    """One for a process; it holds what is in force against what a request shows."""

    def __init__(self, trust: Callable[[], Trust], keyring: Keyring, clock: Clock) -> None:
        self._trust = trust
        self._keyring = keyring
        self._clock = clock

    async def reader(
        self, headers: Iterable[tuple[bytes, bytes]], in_query: Sequence[str] = (), brief: bool = False
    ) -> Grant:
        """The streams that a request may read. `brief`: a short-lived token in the query (`in_query`) or a cookie
        counts too. Raises Problem: 400, 401, or 503 if the keys are not loaded yet."""
        if not self._trust().takes_tokens:
            if brief and in_query:
                raise Problem(400, "Bad request", f"`{PARAMETER}`: no tokens are accepted here", PARAMETER)
            return NOBODY
        return await self._judged(headers, in_query if brief else (), self._trust().terms.cookie if brief else None)

    async def writer(self, headers: Iterable[tuple[bytes, bytes]]) -> Grant:
        """The streams that a request may write. Raises Problem as `reader` does."""
        grant = NOBODY
        if self._trust().takes_tokens:
            grant = await self._judged(headers, (), None)
        if not self._trust().terms.needed_to_write:
            return grant
        if not grant.by_token:
            telemetry.token_refused("missing")
            raise missing_token()
        return replace(grant, writes_public=False)

    def renewed(self, grant: Grant) -> Grant:
        """The part of a grant that the present static tokens leave; a signed token is valid until it expires."""
        if grant.digest is None:
            return grant
        tokens = (token for token in self._trust().static_tokens if token.digest == grant.digest)
        return next((token.grant for token in tokens), NOBODY)

    async def _judged(
        self, headers: Iterable[tuple[bytes, bytes]], in_query: Sequence[str], cookie: str | None
    ) -> Grant:
        try:
            shown = find(headers, in_query, cookie, self._trust().terms.longest)
            return NOBODY if shown is None else await self._accepted(shown)
        except InvalidToken as error:
            telemetry.token_refused("invalid")
            raise invalid_token(str(error)) from None
        except Problem:
            telemetry.token_refused("malformed")
            raise

    async def _accepted(self, shown: Credential) -> Grant:
        trust, brief = self._trust(), shown.place != "header"
        held = static.find(trust.static_tokens, shown.token)
        if held is not None:
            if brief:
                raise InvalidToken("a static token is accepted in `Authorization` only")
            return held.grant
        if not trust.takes_signed or shown.token.count(".") != _JWT_DOTS:
            raise InvalidToken("it is unknown")
        try:
            return self._verified(shown.token, brief)
        except UnknownKey:
            # The keys may have been changed a moment ago.
            await self._keyring.look()
        if not self._keyring.keys:
            detail = "the keys that verify tokens are not loaded yet; try again in a moment"
            raise Problem(503, "Keys unavailable", detail, headers={"retry-after": f"{RETRY_SECONDS:.0f}"})
        return self._verified(shown.token, brief)

    def _verified(self, token: str, brief: bool) -> Grant:
        return verify(token, self._keyring.keys, self._trust().terms.rules, self._clock.now(), brief)
