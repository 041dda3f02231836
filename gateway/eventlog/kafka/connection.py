"""A connection to a Kafka broker, which is trusted neither with time nor with memory."""

from __future__ import annotations

import asyncio
import struct
import time
import weakref
from contextlib import suppress
from functools import partial
from io import BytesIO
from typing import Any

from aiokafka.conn import AIOKafkaConnection, OAuthAuthenticator, ScramAuthenticator
from aiokafka.errors import KafkaConnectionError, SaslAuthenticationFailed

from gateway.eventlog.kafka.mismatches import TLS_ALERT, SpeaksTls
from gateway.text import printable

SILENCE_SECONDS = 4.0
"""Seconds of silence after which a shared connection with an outstanding answer is dead."""

OWED_SECONDS = 10.0
"""Seconds after which an outstanding answer does not arrive any more, however much of it has: the others wait behind
it."""

PENDING = 1000
"""Requests that a shared connection owes an answer to, also those that nobody waits for any more."""

FRAME_BYTES = 64 * 1024 * 1024
"""A broker that announces a longer answer is cut off. The largest is that to a fetch: one batch of a topic's own bound,
or 4 MB of smaller ones."""

LARGE_BYTES = 64 * 1024
"""A longer answer is decoded on a thread: at 0.2 µs a byte it would hold up the loop."""

SCRAM_ITERATIONS = 1_000_000
"""The most rounds that a broker may ask for, some 0.3 s of a thread; Kafka's own take 4,096 to 16,384."""

REASON_CHARACTERS = 200
"""Of what a broker says of a token."""


class BrokerConnection(AIOKafkaConnection):  # type: ignore[misc]  # aiokafka is not typed
    """A connection that bounds the memory a broker can take, and keeps one request from delaying the others. A
    caller that stops waiting gives up its own request only, and the answer is dropped."""

    patience = SILENCE_SECONDS
    """Seconds of silence that it bears; longer where only requests are sent that the broker answers late."""
    _heard = 0.0
    _watch: asyncio.TimerHandle | None = None

    async def send(self, request: Any, expect_response: bool = True) -> Any:
        """The response to a request. Raises those of FAILURES; not bounded in time."""
        if self._writer is None:
            raise KafkaConnectionError(f"No connection to broker at {self._host}:{self._port}")
        if len(self._requests) >= PENDING:
            self.close()
            raise KafkaConnectionError(f"{PENDING} answers are owed")
        prepared = request.prepare(self._versions)
        correlation = self._next_correlation_id()
        header = prepared.build_request_header(correlation_id=correlation, client_id=self._client_id)
        message = header.encode() + prepared.encode()
        self._writer.write(struct.pack(">i", len(message)) + message)
        answer = asyncio.get_running_loop().create_future()
        self._requests.append((correlation, _Owed(prepared), answer))
        if self._watch is None:
            self._look_again(self.patience)
        return await self._decode(prepared.RESPONSE_TYPE, await answer)

    def close(self, reason: Any = None, exc: BaseException | None = None) -> Any:
        """At once: what a broker has not taken yet is not kept for it."""
        writer = self._writer
        found = super().close(reason, exc)
        if writer is not None:
            # Before Python 3.11.3 a transport of TLS that is lost cannot be asked.
            with suppress(AttributeError):
                writer.transport.abort()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        return found

    def is_late(self, seconds: float) -> bool:
        """Whether an answer is owed for longer than this."""
        return bool(self._requests) and time.monotonic() - _sent(self._requests[0]) > seconds

    async def _decode(self, form: Any, body: BytesIO) -> Any:
        try:
            if body.getbuffer().nbytes > LARGE_BYTES:
                return await asyncio.to_thread(form.decode, body)
            return form.decode(body)
        except Exception as mistake:
            self.close(exc=mistake)
            raise KafkaConnectionError(f"an answer is malformed: {mistake!r}") from mistake

    def _create_reader_task(self) -> asyncio.Task[None]:
        task = asyncio.create_task(self._listen(self._reader))
        task.add_done_callback(partial(self._on_read_task_error, weakref.ref(self)))
        return task

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        """Take in answers until the connection ends."""
        while True:
            (size,) = struct.unpack(">i", await self._take(reader, 4))
            if size >> 16 == TLS_ALERT:
                raise SpeaksTls
            if not 0 <= size <= FRAME_BYTES:
                raise ConnectionError(f"it announces {size:,} bytes")
            frame = await self._take(reader, size)
            if not self._requests:
                raise ConnectionError("it sent an unexpected answer")
            try:
                self._handle_frame(frame)
            except Exception as mistake:
                raise ConnectionError(f"an answer is malformed: {mistake!r}") from mistake
            if self._reader is None:  # it was out of step, and is closed
                return

    async def _take(self, reader: asyncio.StreamReader, count: int) -> bytes:
        """As `readexactly`, which does not tell when something came."""
        parts = []
        while count > 0:
            part = await reader.read(count)
            if not part:
                raise EOFError("the broker has closed the connection")
            self._heard = time.monotonic()
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def _look_again(self, seconds: float) -> None:
        self._watch = asyncio.get_running_loop().call_later(seconds, self._check)

    def _check(self) -> None:
        """Close the connection where nothing comes of what is owed; everything else on it waits behind that."""
        self._watch = None
        if not self._requests:
            return
        now = time.monotonic()
        sent = _sent(self._requests[0])
        left = min(max(sent, self._heard) + self.patience, sent + max(OWED_SECONDS, self.patience)) - now
        if left <= 0:
            self.close(exc=TimeoutError("the broker does not answer"))
        else:
            self._look_again(left)

    def authenticator_scram(self) -> Any:
        """aiokafka's, which works for as long as the broker says."""
        return _BoundedScram(
            loop=self._loop,
            sasl_plain_password=self._sasl_plain_password,
            sasl_plain_username=self._sasl_plain_username,
            sasl_mechanism=self._sasl_mechanism,
        )

    def authenticator_oauth(self) -> Any:
        """aiokafka's, which does not look at the answer."""
        return _ToldOAuth(sasl_oauth_token_provider=self._sasl_oauth_token_provider)


class _ToldOAuth(OAuthAuthenticator):  # type: ignore[misc]
    async def step(self, payload: bytes | None) -> tuple[bytes, bool] | None:
        """A broker that refuses a token says why, and waits for a word to end with (RFC 7628, section 3.2.3)."""
        if self._token_sent and payload:
            raise SaslAuthenticationFailed(printable(payload.decode("utf-8", "replace")[:REASON_CHARACTERS]))
        step: tuple[bytes, bool] | None = await super().step(payload)
        return step


class _BoundedScram(ScramAuthenticator):  # type: ignore[misc]
    def create_salted_password(self, salt: bytes, iterations: int) -> None:
        if not 0 < iterations <= SCRAM_ITERATIONS:
            raise ValueError(f"the broker asks for {iterations:,} rounds of SCRAM")
        super().create_salted_password(salt, iterations)


class _Owed:
    """Replaces aiokafka's request: leaves the answer to the caller to decode, if it still waits."""

    def __init__(self, request: Any) -> None:
        self.RESPONSE_TYPE = self
        self.parse_response_header = request.parse_response_header
        self.sent = time.monotonic()

    @staticmethod
    def decode(body: BytesIO) -> BytesIO:
        return BytesIO(body.read())


def _sent(request: tuple[Any, ...]) -> float:
    """When; a token of the oldest SASL is no request, and belongs to an attempt, which is bounded."""
    return request[1].sent if isinstance(request[1], _Owed) else time.monotonic()
