"""Sends events to `POST /v1/events` of a gateway, so that each accepted event is stored once, whatever happens."""

from __future__ import annotations

import asyncio
import gzip
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

import httpx

from gateway import json_text
from gateway.client.answer import (
    CONNECT_SECONDS,
    authorization,
    bare,
    beginning,
    detail,
    is_settled,
    reason,
    refused_by_proxy,
    retry_after,
)
from gateway.client.backoff import Backoff
from gateway.client.delivery import Delivery, read_delivery
from gateway.client.errors import ClientError, EventInvalid, GaveUp, ProducerClosed
from gateway.clock import Clock, SystemClock
from gateway.errors import BadRecord, InvalidEnvironment
from gateway.model.event import parse_event
from gateway.outbound.requests import Outbound

ANSWER_SECONDS = 30.0
"""An answer has come by then; a gateway gives one within five."""
FIRST_WAIT = 0.5
"""Seconds before the second try, so that what the first has stored is known by then."""
ANSWER_BYTES = 4 * 1024 * 1024
"""Bytes that are read of an answer."""

Event = Mapping[str, Any] | bytes


@dataclass(frozen=True, slots=True)
class ProducerOptions:
    """How a producer sends. Seconds, bytes and numbers of events.

    A request has up to `batch_events` and `batch_bytes`, and goes with fewer after `linger`. Where `queue_bytes` are
    on their way, `send` waits. `patience`: after so long without a clear answer an event is given up; let it be shorter
    than the server's `idempotency_window`. `hasty`: the server answers before its log has. `compress`: with gzip. With
    `requests` above one, so many are on their way at once, and the order of the events is not kept.
    """

    batch_events: int = 500
    batch_bytes: int = 1_000_000
    linger: float = 0.005
    queue_bytes: int = 16_000_000
    patience: float = 300.0
    hasty: bool = False
    compress: bool = False
    requests: int = 1


@dataclass(slots=True, eq=False)
class _Waiting:
    """An event on its way."""

    text: bytes
    settled: asyncio.Future[None]


class Producer:
    """Sends events to the gateway at `url`, many in one request.

        async with Producer("http://127.0.0.1:8080") as producer:
            await producer.send({"$schema": "/wiki/change/1.0.0", "meta": {"stream": "wiki.change"}, …})

    What has no clear answer is sent again with the same Idempotency-Key, from which the gateway makes the ids of events
    that have none; so nothing is stored twice. Leaving the block sends what waits. Raises ClientError for an address
    that is none.
    """

    def __init__(
        self,
        url: str,
        options: ProducerOptions | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Clock | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.options = options or ProducerOptions()
        self.url = f"{url.rstrip('/')}/v1/events{'?hasty=true' if self.options.hasty else ''}"
        self.shown = bare(self.url)
        if not _is_address(self.url):
            raise ClientError(f"{self.shown!r} is not an address; write it like http://127.0.0.1:8080")
        self._headers = dict(headers or {})
        self._transport = transport
        self._clock = clock or SystemClock()
        self._sleep = sleep
        self._client: httpx.AsyncClient | None = None
        self._workers: list[asyncio.Task[None]] = []
        self._queue: deque[_Waiting] = deque()
        self._queued = 0
        """Bytes in the queue."""
        self._unsettled: set[_Waiting] = set()
        self._size = 0
        """Bytes of what is unsettled."""
        self._filled, self._ready, self._room = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._hurry = 0
        """How many wait for all to be settled: nothing lingers then."""
        self._closed = False

    @property
    def waiting(self) -> int:
        """Events of which it is not known yet what becomes of them."""
        return len(self._unsettled)

    async def __aenter__(self) -> Self:
        timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
        transport = self._transport or Outbound()
        self._client = httpx.AsyncClient(transport=transport, timeout=timeout, headers=self._headers)
        self._workers = [asyncio.create_task(self._work(self._client)) for _ in range(self.options.requests)]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, asyncio.CancelledError):
            await self.abandon()
        await self.close()

    async def send(self, event: Event) -> None:
        """Return once the event is stored. Raises EventInvalid, EventFailed, Refused, GaveUp, ProducerClosed."""
        await (await self.put(event))

    async def put(self, event: Event) -> asyncio.Future[None]:
        """Hand over an event as soon as there is room for it. The future is done when the event is stored, or says why
        it is not. Raises EventInvalid for a value that is not a JSON object, and ProducerClosed."""
        text = _text(event)
        while self._size and self._size + len(text) > self.options.queue_bytes and not self._closed:
            self._room.clear()
            await self._room.wait()
        if self._closed or self._client is None:
            raise ProducerClosed
        waiting = _Waiting(text, asyncio.get_running_loop().create_future())
        waiting.settled.add_done_callback(lambda _: self._forget(waiting))
        self._unsettled.add(waiting)
        self._size += len(text)
        self._queue.append(waiting)
        self._queued += len(text)
        self._wake()
        return waiting.settled

    async def flush(self) -> None:
        """Return when all that was given over before is stored, or is known not to be."""
        settled = [waiting.settled for waiting in self._unsettled]
        if not settled:
            return
        self._hurry += 1
        self._wake()
        try:
            await asyncio.wait(settled)
        finally:
            self._hurry -= 1

    async def close(self) -> None:
        """Take nothing more, and return when all is settled. Cancelled, it drops what is not sent yet."""
        self._closed = True
        self._wake()
        self._room.set()
        try:
            if self._workers:
                await asyncio.wait(self._workers)
        finally:
            await self.abandon()

    async def abandon(self) -> None:
        """End at once; what is not settled fails."""
        self._closed = True
        self._room.set()
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.cancel()
        for waiting in list(self._unsettled):
            if not waiting.settled.done():
                waiting.settled.set_exception(ProducerClosed())
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _forget(self, waiting: _Waiting) -> None:
        """It is settled, or nobody wants to know any more."""
        self._unsettled.discard(waiting)
        self._size -= len(waiting.text)
        self._room.set()

    def _wake(self) -> None:
        """Tell the workers what there is."""
        if self._queue or self._closed:
            self._filled.set()
        else:
            self._filled.clear()
        full = len(self._queue) >= self.options.batch_events or self._queued >= self.options.batch_bytes
        if full or self._hurry or self._closed:
            self._ready.set()
        else:
            self._ready.clear()

    async def _work(self, client: httpx.AsyncClient) -> None:
        while True:
            await self._filled.wait()
            if not self._ready.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(self.options.linger):
                        await self._ready.wait()
            if batch := self._next_batch():
                try:
                    await self._deliver(client, batch)
                except Exception as error:
                    for waiting in batch:
                        _settle(waiting, error)
            elif self._closed:
                return

    def _next_batch(self) -> list[_Waiting]:
        """The first in the queue, up to the bounds; at least one, where there is one that is still wanted."""
        batch: list[_Waiting] = []
        size = 0
        while self._queue and len(batch) < self.options.batch_events:
            length = len(self._queue[0].text)
            if batch and size + length > self.options.batch_bytes:
                break
            waiting = self._queue.popleft()
            self._queued -= length
            if not waiting.settled.done():
                batch.append(waiting)
                size += length
        self._wake()
        return batch

    async def _deliver(self, client: httpx.AsyncClient, batch: Sequence[_Waiting]) -> None:
        """Send until it is settled what became of each."""
        request = self._request(client, batch)
        backoff = Backoff()
        backoff.first = FIRST_WAIT
        began = self._clock.monotonic()
        while True:
            try:
                delivery = await self._attempt(client, request, len(batch))
            except ClientError as error:
                delivery = Delivery(dict.fromkeys(range(len(batch)), error))
            for index, fault in delivery.faults.items():
                _settle(batch[index], fault)
            if delivery.smaller:
                half = len(batch) // 2
                await self._deliver(client, batch[:half])
                await self._deliver(client, batch[half:])
                return
            wait = backoff.wait(delivery.wait)
            tried = self._clock.monotonic() - began
            if not delivery.again or tried + wait > self.options.patience:
                left = GaveUp(self.shown, tried, delivery.again) if delivery.again else None
                for waiting in batch:
                    _settle(waiting, left)
                return
            await self._sleep(wait)

    def _request(self, client: httpx.AsyncClient, batch: Sequence[_Waiting]) -> httpx.Request:
        """The same bytes and the same key at every try. The key stands for the ids of events that have none."""
        body = b"[" + b",".join([waiting.text for waiting in batch]) + b"]"
        headers = {"content-type": "application/json", "idempotency-key": str(uuid.uuid4())}
        if self.options.compress:
            body = gzip.compress(body, 1, mtime=0)
            headers["content-encoding"] = "gzip"
        return client.build_request("POST", self.url, content=body, headers=headers)

    async def _attempt(self, client: httpx.AsyncClient, request: httpx.Request, count: int) -> Delivery:
        """Send it once. Raises ClientError for what a further try would meet again."""
        try:
            response = await client.send(request, stream=True, auth=authorization(self._headers))
            try:
                body = await beginning(response, ANSWER_BYTES)
            finally:
                await response.aclose()
        except InvalidEnvironment as error:
            raise ClientError(f"{self.shown}: {error}") from error
        except httpx.LocalProtocolError as error:
            raise ClientError(f"{self.shown}: this cannot be sent: {error}") from error
        except httpx.RequestError as error:
            said = reason(error, ANSWER_SECONDS)
            if is_settled(error):
                raise ClientError(f"{self.shown}: {said}") from error
            return Delivery({}, said)
        if refused := refused_by_proxy(self.shown, response):
            raise refused
        given = response.headers.get("retry-after")
        wait = None if given is None else retry_after(given, self._clock.now())
        return read_delivery(self.shown, response.status_code, body, count, detail(body, response), wait)


def _text(event: Event) -> bytes:
    """The JSON of an event. Raises EventInvalid; TypeError for what JSON cannot hold."""
    text = event if isinstance(event, bytes) else json_text.dumps(dict(event))
    try:
        parse_event(text)
    except BadRecord as error:
        raise EventInvalid(str(error)) from error
    return text.strip()


def _is_address(url: str) -> bool:
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    return address.scheme in ("http", "https") and bool(address.host)


def _settle(waiting: _Waiting, fault: Exception | None) -> None:
    if waiting.settled.done():
        return
    if fault is None:
        waiting.settled.set_result(None)
    else:
        waiting.settled.set_exception(fault)
