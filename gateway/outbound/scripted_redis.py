"""Redis as the gateway uses it: scripts, each of which decides something at once for all processes.

One request to Redis is under way at a time. Callers that arrive meanwhile share the next one. Redis is away when an
answer takes longer than ANSWER_SECONDS. Its callers then learn that, and nothing is repeated automatically.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    ClusterDownError,
    InvalidResponse,
    MovedError,
    NoPermissionError,
    NoScriptError,
    ReadOnlyError,
    RedisError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.errors import GatewayError
from gateway.outbound.failures import why_failed
from gateway.outbound.lookups import look_up_apart
from gateway.text import printable

ANSWER_SECONDS = 0.5
"""Redis is away when an answer takes longer."""
TOGETHER = 256
"""Questions in one request."""
TOGETHER_BYTES = 1 << 20
"""The same, by their arguments; one that has more is alone."""
REASON_CHARACTERS = 300
"""Of what Redis or its library says."""

_RIGHT = 'a right is missing ({}); docs/OPERATING.md, "Rights in Redis", lists what is needed'
_SLOTS = "this node of a cluster does not hold the keys ({}); limits must name the one that does"
_REASONS: tuple[tuple[type[Exception], str, str], ...] = (
    (NoPermissionError, "", _RIGHT),
    # Of what a script does: Redis up to 7.0, and later ones.
    (RedisError, "user executing the script can't", _RIGHT),
    (RedisError, "ACL failure in script", _RIGHT),
    (AuthenticationError, "must be called with the client already authenticated", "it requires a password"),
    (AuthenticationError, "", "its user or password is refused ({})"),
    (RedisError, "DB index is out of range", "it has no database with this number"),
    (RedisError, "SELECT is not allowed in cluster mode", "a cluster has only database 0"),
    (MovedError, "", _SLOTS),
    (ClusterDownError, "", _SLOTS),
    (ReadOnlyError, "", "it is a replica, which takes no writes"),
    (InvalidResponse, "", "what answers there is no Redis ({})"),
    (RedisError, "Connection closed by server", "it closes the connection; if it wants TLS, write rediss://"),
    (RedisTimeoutError, "", f"no answer within {ANSWER_SECONDS:g} s"),
    (TimeoutError, "", f"no answer within {ANSWER_SECONDS:g} s"),
)
"""Where the error is of this class and has these words: what is wrong; braces hold Redis's own words."""
_CERTIFICATE_FILES = "a file that ssl_ca_certs, ssl_certfile or ssl_keyfile names is not there, or cannot be read"
_IN_SCRIPT = re.compile(r",? script: [0-9a-f]{40}.*", re.DOTALL)
"""Where in a script it was refused: it differs from one to the next, and helps nobody."""


def why_away(error: BaseException, secured: bool = False) -> str:
    """The fault of Redis, on one line. `secured`: the connection used TLS."""
    if secured and isinstance(error.__cause__ or error.__context__, (FileNotFoundError, PermissionError)):
        return _CERTIFICATE_FILES
    if (failed := why_failed(error)) is not None:
        return failed
    words = printable(_IN_SCRIPT.sub("", str(error)))[:REASON_CHARACTERS].rstrip(".")
    for kind, fragment, reason in _REASONS:
        if isinstance(error, kind) and fragment in words:
            return reason.format(words)
    return words or type(error).__name__


class RedisAway(GatewayError):
    """Redis does not answer."""


class _Question(NamedTuple):
    script: str
    keys: Sequence[str]
    arguments: Sequence[str | bytes]
    answer: asyncio.Future[Any]


class ScriptedRedis:
    """`url` is `redis://…`, `rediss://…` or `unix://…`. `changed` is called when Redis comes and goes, and when the
    reason of its absence changes, with whether it answers, and why not."""

    def __init__(self, url: str, changed: Callable[[bool, str], None]) -> None:
        self.raw: Redis = Redis.from_url(
            url,
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            single_connection_client=False,
            retry=Retry(NoBackoff(), 0),
            max_connections=2,
        )
        self._changed = changed
        self._secured = url.startswith("rediss://")
        self._reason = ""
        self._hashes: dict[str, str] = {}
        self._questions: deque[_Question] = deque()
        self._asking: asyncio.Task[None] | None = None
        self.available = True
        """Whether Redis answered when it was asked last."""

    async def ask(self, script: str, keys: Sequence[str], arguments: Sequence[object]) -> Any:
        """Run a script, soon and in order. Raises RedisAway."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        written = [each if isinstance(each, bytes) else str(each) for each in arguments]
        self._questions.append(_Question(script, keys, written, answer))
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_all())
        return await answer

    async def end_asking(self) -> None:
        """All waiting callers receive RedisAway."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])

    async def close(self) -> None:
        """Close the connections; never raises."""
        await self.end_asking()
        with suppress(RedisError, OSError):
            await self.raw.aclose()

    async def _ask_all(self) -> None:
        look_up_apart()
        asked: list[_Question] = []
        try:
            while self._questions:
                asked = self._next()
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
        # Not of RedisError alone: whatever the library fails with, Redis is not to be had, and is asked again.
        except Exception as error:
            self._set_available(False, error)
            await self._hang_up()
        finally:
            self._asking = None
            for question in (*asked, *self._questions):
                if not question.answer.done():
                    question.answer.set_exception(RedisAway("Redis does not answer"))
            self._questions.clear()

    def _next(self) -> list[_Question]:
        """The first questions that wait; at least one."""
        asked = [self._questions.popleft()]
        size = sum(map(len, asked[0].arguments))
        while self._questions and len(asked) < TOGETHER:
            size += sum(map(len, self._questions[0].arguments))
            if size > TOGETHER_BYTES:
                break
            asked.append(self._questions.popleft())
        return asked

    async def _run_scripts(self, asked: Sequence[_Question]) -> list[Any]:
        for question in asked:
            if question.script not in self._hashes:
                self._hashes[question.script] = await self.raw.script_load(question.script)
        pipeline = self.raw.pipeline(transaction=False)
        for question in asked:
            digest = self._hashes[question.script]
            pipeline.evalsha(digest, len(question.keys), *question.keys, *question.arguments)
        # The library would put the command into what it raises, and with it addresses of clients.
        answers = await pipeline.execute(raise_on_error=False)
        for answer in answers:
            if isinstance(answer, RedisError):
                raise answer
        return answers

    async def _hang_up(self) -> None:
        self._hashes.clear()  # a Redis that was started again knows no scripts
        with suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                await self.raw.connection_pool.disconnect()

    def _set_available(self, available: bool, error: BaseException | None = None) -> None:
        reason = "" if error is None else why_away(error, self._secured)
        if (available, reason) != (self.available, self._reason):
            self.available, self._reason = available, reason
            self._changed(available, reason)
