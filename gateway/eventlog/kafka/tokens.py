"""Tokens for OAUTHBEARER: of a file, a command, a token endpoint, or AWS's signer.

One is kept until shortly before it expires, and fetched once for all connections that open meanwhile.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from aiokafka.abc import AbstractTokenProvider

from gateway.eventlog.kafka.calls import Together
from gateway.eventlog.kafka.names import NO_SIGNER
from gateway.eventlog.kafka.oidc import Credentials, NoToken, ask_for_token
from gateway.secret_files import SECRET_BYTES, read_secret

FETCH_SECONDS = 1.5
"""An attempt to connect takes two seconds at the most, and the token is a part of it. One that comes later is kept for
the next attempt."""
SLOW_SECONDS = 15.0
"""A token is waited for so long, between attempts."""
MARGIN = 0.8
"""The part of its life for which a token is used."""
UNKNOWN_LIFE = 60.0
"""Seconds for which a token is used that does not tell how long it is valid."""

Fetch = Callable[[], Awaitable[tuple[str, float | None]]]
"""Brings a token and the seconds for which it is valid. Raises NoToken."""


class Tokens(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka is not typed
    """As aiokafka asks for them."""

    def __init__(self, fetch: Fetch, extensions: Mapping[str, str] | None = None) -> None:
        self._fetch = fetch
        self._extensions = dict(extensions or {})
        self._token = ""
        self._until = 0.0
        self._fetching: Together[str, None] = Together()

    async def token(self) -> str:
        """One that is valid now. Raises NoToken."""
        if time.monotonic() >= self._until:
            try:
                async with asyncio.timeout(FETCH_SECONDS):
                    await self._fetching.ask("token", self._renew)
            except TimeoutError:
                raise NoToken(f"no token within {FETCH_SECONDS:g} s") from None
        return self._token

    def extensions(self) -> dict[str, str]:
        """Those of SASL (KIP-342)."""
        return self._extensions

    async def _renew(self) -> None:
        async with asyncio.timeout(SLOW_SECONDS):
            token, life = await self._fetch()
        if not token.isascii() or not token.isprintable():
            raise NoToken("what was given for a token is none")
        told = _life_of(token) if life is None else life
        self._token, self._until = token, time.monotonic() + MARGIN * (UNKNOWN_LIFE if told is None else told)


def token_provider(given: Mapping[str, Any]) -> Tokens:
    """The provider that the options describe, which have been checked."""
    extensions = given.get("sasl_oauth_extensions")
    if "sasl_aws_region" in given:
        return Tokens(_signed(given["sasl_aws_region"]))
    if "sasl_oauth_token_file" in given:
        return Tokens(_of_file(given["sasl_oauth_token_file"]), extensions)
    if "sasl_oauth_token_command" in given:
        return Tokens(_of_command(given["sasl_oauth_token_command"]), extensions)
    credentials = Credentials(
        given["sasl_oauth_token_url"],
        given["sasl_oauth_client_id"],
        given["sasl_oauth_client_secret"],
        given.get("sasl_oauth_scope"),
    )
    return Tokens(lambda: ask_for_token(credentials, SLOW_SECONDS), extensions)


def _of_file(place: str) -> Fetch:
    async def fetch() -> tuple[str, float | None]:
        try:
            # Whoever renews the file does that when he likes: it is read each time.
            return (await asyncio.to_thread(read_secret, place)).strip(), 0.0
        except ValueError as error:
            raise NoToken(f"sasl_oauth_token_file: {error}") from None

    return fetch


def _of_command(words: Sequence[str]) -> Fetch:
    async def fetch() -> tuple[str, float | None]:
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise NoToken(f"sasl_oauth_token_command: {words[0]}: {error.strerror or error}") from None
        try:
            assert process.stdout is not None
            output = b""
            while len(output) < SECRET_BYTES and (part := await process.stdout.read(SECRET_BYTES - len(output))):
                output += part
            status = await process.wait()
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if status:
            raise NoToken(f"sasl_oauth_token_command: {words[0]} ended with status {status}")
        text = output.decode("ascii", "replace").strip()
        if not text:
            raise NoToken(f"sasl_oauth_token_command: {words[0]} wrote no token")
        return text, None

    return fetch


def _signed(region: str) -> Fetch:
    async def fetch() -> tuple[str, float | None]:
        try:
            from aws_msk_iam_sasl_signer import MSKAuthTokenProvider
        except ImportError:
            raise NoToken(NO_SIGNER) from None
        # In its debug messages stands what is signed, and the signature: the token.
        logging.getLogger("botocore").setLevel(logging.INFO)
        try:
            token, expires = await asyncio.to_thread(MSKAuthTokenProvider.generate_auth_token, region)
        except Exception as error:  # whatever AWS's library raises where it finds no credentials
            raise NoToken(f"AWS gives no token: {type(error).__name__}: {str(error)[:200]}") from error
        return str(token), expires / 1000 - time.time()

    return fetch


def _life_of(token: str) -> float | None:
    """The seconds until the `exp` of a signed token (RFC 7519)."""
    with suppress(ValueError, IndexError, TypeError, AttributeError, RecursionError, OverflowError):
        payload = token.split(".")[1]
        expires = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))).get("exp")
        if isinstance(expires, int | float) and not isinstance(expires, bool):
            return max(0.0, expires - time.time())
    return None
