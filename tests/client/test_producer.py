"""Producing over HTTP, against a server that answers as a test says."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import orjson
import pytest

from gateway.client import (
    BlockingProducer,
    ClientError,
    EventFailed,
    EventInvalid,
    GaveUp,
    Producer,
    ProducerClosed,
    ProducerOptions,
    Refused,
)
from gateway.client.delivery import read_delivery
from tests.client.server import Server, answer
from tests.kit.clock import HandClock

ADDRESS = "http://gateway.test:8080"
STORED = (201, b'{"stored":1}')


def problem(status: int, *, invalid: Sequence[Any] = (), error: Sequence[Any] = (), **headers: str) -> httpx.Response:
    entries = {
        name: [{"index": index, "event": {}, "detail": detail} for index, detail in given]
        for name, given in (("invalid", invalid), ("error", error))
    }
    return answer(status, json.dumps({"title": "x", "detail": "as a whole", **entries}), **headers)


def producer(server: Server, clock: HandClock | None = None, **options: Any) -> Producer:
    """One that does not really wait, and sends what was given over together in one request."""
    clock = clock or HandClock(0)
    given = ProducerOptions(**{"linger": 0.0, **options})
    return Producer(ADDRESS, given, transport=server, clock=clock, sleep=clock.sleep)


def bodies(server: Server) -> list[Any]:
    return [orjson.loads(request.content) for request in server.requests]


def keys(server: Server) -> list[str]:
    return [request.headers["idempotency-key"] for request in server.requests]


async def outcome(producer: Producer, *events: Any) -> list[Any]:
    """What became of events that were given over together: None, or the error."""
    futures = [await producer.put(event) for event in events]
    return await asyncio.gather(*futures, return_exceptions=True)


async def test_events_go_together_in_one_request_as_they_are() -> None:
    server = Server(answer(*STORED))
    async with producer(server) as sending:
        assert await outcome(sending, {"n": 1}, b' {"n": 2.50, "x":"\xc3\xa4"}\n', {"n": 3}) == [None] * 3
    (request,) = server.requests
    assert request.method == "POST"
    assert str(request.url) == f"{ADDRESS}/v1/events"
    assert request.headers["content-type"] == "application/json"
    assert request.content == '[{"n":1},{"n": 2.50, "x":"ä"},{"n":3}]'.encode()


async def test_hasty_compressed_and_with_headers() -> None:
    server = Server(answer(202, b"{}"))
    options = ProducerOptions(hasty=True, compress=True)
    async with Producer(ADDRESS + "/", options, transport=server, headers={"authorization": "Bearer x"}) as sending:
        await sending.send({"n": 1})
    (request,) = server.requests
    assert str(request.url) == f"{ADDRESS}/v1/events?hasty=true"
    assert request.headers["content-encoding"] == "gzip"
    assert request.headers["authorization"] == "Bearer x"
    assert gzip.decompress(request.content) == b'[{"n":1}]'


async def test_a_batch_is_bounded_in_events_and_bytes() -> None:
    server = Server(*[answer(*STORED) for _ in range(5)])
    async with producer(server, batch_events=3, batch_bytes=40) as sending:
        assert await outcome(sending, *({"n": n} for n in range(4)), {"text": "x" * 50}, {"n": 5}) == [None] * 6
    assert [[event.get("n") for event in body] for body in bodies(server)] == [[0, 1, 2], [3], [None], [5]]


async def test_what_comes_while_a_request_is_on_its_way_goes_together() -> None:
    class Slow(Server):
        def __init__(self) -> None:
            super().__init__(answer(*STORED), answer(*STORED))
            self.asked, self.go = asyncio.Event(), asyncio.Event()

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            self.asked.set()
            await self.go.wait()
            return await super().handle_async_request(request)

    server = Slow()
    async with producer(server) as sending:
        first = await sending.put({"n": 0})
        await server.asked.wait()
        others = [await sending.put({"n": n}) for n in range(1, 5)]
        server.go.set()
        await asyncio.gather(first, *others)
    assert [len(body) for body in bodies(server)] == [1, 4]


RETRIED: list[Callable[[], httpx.Response | Exception]] = [
    lambda: answer(503, b"{}", retry_after="1"),
    lambda: answer(429, b"{}"),
    lambda: answer(503, b"{}", retry_after="Mon, 01 Jan 2024 00:00:00 +9999999999999"),
    lambda: answer(502, b"<html>"),
    lambda: httpx.ConnectError("refused"),
    lambda: httpx.RemoteProtocolError("closed"),
    lambda: httpx.ReadTimeout("slow"),
]


@pytest.mark.parametrize("failure", RETRIED)
async def test_what_may_pass_is_sent_again_as_it_was(failure: Callable[[], httpx.Response | Exception]) -> None:
    server = Server(failure(), failure(), answer(*STORED))
    async with producer(server) as sending:
        assert await outcome(sending, {"n": 1}, {"n": 2}) == [None, None]
    assert len({request.content for request in server.requests}) == 1
    assert len(set(keys(server))) == 1
    assert len(server.requests) == 3


async def test_waits_grow_and_heed_retry_after() -> None:
    clock = HandClock(0)
    lost = httpx.ConnectError("x")
    server = Server(lost, lost, answer(429, b"{}", retry_after="7"), answer(*STORED))
    async with producer(server, clock) as sending:
        await sending.send({"n": 1})
    assert 0.25 <= clock.slept[0] <= 0.5
    assert 0.5 <= clock.slept[1] <= 1.0
    assert clock.slept[2] == 7.0


async def test_another_batch_has_another_key() -> None:
    server = Server(answer(*STORED), answer(*STORED))
    async with producer(server) as sending:
        await sending.send({"n": 1})
        await sending.send({"n": 1})
    assert len(set(keys(server))) == 2


async def test_each_event_learns_its_own_fate() -> None:
    server = Server(problem(207, invalid=[(1, "/n: it is not a number")], error=[(2, "too large")]))
    async with producer(server) as sending:
        first, second, third, fourth = await outcome(sending, *({"n": n} for n in range(4)))
    assert (first, fourth) == (None, None)
    assert isinstance(second, EventInvalid)
    assert second.detail == "/n: it is not a number"
    assert isinstance(third, EventFailed)
    assert third.detail == "too large"


async def test_what_the_log_may_store_later_is_sent_again_with_the_same_key() -> None:
    partly = problem(207, invalid=[(0, "bad")], error=[(2, "no answer")], retry_after="2")
    server = Server(partly, problem(207, invalid=[(0, "bad")]))
    async with producer(server) as sending:
        told = await outcome(sending, *({"n": n} for n in range(3)))
    assert [type(one) for one in told] == [EventInvalid, type(None), type(None)]
    assert len(set(keys(server))) == 1
    assert len(server.requests) == 2


async def test_none_is_stored() -> None:
    server = Server(problem(400, invalid=[(0, "bad")], error=[(1, "too large")]), problem(400), answer(415, b"no"))
    async with producer(server) as sending:
        told = await outcome(sending, {"n": 0}, {"n": 1})
        assert [type(one) for one in told] == [EventInvalid, EventFailed]
        with pytest.raises(Refused, match="as a whole") as refused:
            await sending.send({"n": 0})
        assert refused.value.status == 400
        with pytest.raises(Refused, match="415"):
            await sending.send({"n": 0})


async def test_a_batch_that_is_too_large_is_halved() -> None:
    server = Server(answer(413, b"{}"), answer(413, b"{}"), answer(413, b"{}"), answer(*STORED), answer(*STORED))
    async with producer(server) as sending:
        told = await outcome(sending, *({"n": n} for n in range(3)))
    assert [type(one) for one in told] == [Refused, type(None), type(None)]
    assert [[event["n"] for event in body] for body in bodies(server)] == [[0, 1, 2], [0], [1, 2], [1], [2]]
    assert len(set(keys(server))) == 5


async def test_patience_ends() -> None:
    clock = HandClock(0)
    server = Server(*[httpx.ConnectError("refused") for _ in range(100)])
    async with producer(server, clock, patience=30.0) as sending:
        with pytest.raises(GaveUp, match="no connection: refused"):
            await sending.send({"n": 1})
    assert clock.monotonic() <= 30.0
    assert len(server.requests) > 5


@pytest.mark.parametrize("event", [b"", b"no", b"[]", b"1", b'{"n":1},{"n":2}', b'{"n":NaN}', b'{"n":1'])
async def test_what_is_no_object_is_refused_at_once(event: bytes) -> None:
    server = Server()
    async with producer(server) as sending:
        with pytest.raises(EventInvalid):
            await sending.send(event)
    assert server.requests == []


async def test_send_waits_while_too_much_is_on_its_way() -> None:
    class Held(Server):
        def __init__(self) -> None:
            super().__init__(*[answer(*STORED) for _ in range(3)])
            self.go = asyncio.Event()

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await self.go.wait()
            return await super().handle_async_request(request)

    server = Held()
    async with producer(server, queue_bytes=20) as sending:
        await sending.put({"n": 1})
        await sending.put({"n": 2})
        third = asyncio.create_task(sending.put({"n": 3}))
        done, _ = await asyncio.wait([third], timeout=0.05)
        assert not done
        server.go.set()
        await (await third)


async def test_flush_does_not_linger() -> None:
    server = Server(answer(*STORED))
    async with producer(server, linger=1000.0) as sending:
        future = await sending.put({"n": 1})
        await sending.flush()
        assert future.done()
        await sending.flush()


async def test_leaving_sends_what_waits() -> None:
    server = Server(httpx.ConnectError("x"), answer(*STORED))
    async with producer(server, linger=1000.0) as sending:
        future = await sending.put({"n": 1})
    assert future.result() is None
    with pytest.raises(ProducerClosed):
        await sending.send({"n": 2})


async def test_what_nobody_waits_for_any_more_is_not_sent() -> None:
    server = Server(answer(*STORED))
    async with producer(server, linger=1000.0) as sending:
        given = asyncio.create_task(sending.send({"n": 1}))
        await asyncio.sleep(0)
        given.cancel()
        await asyncio.wait([given])
        await sending.put({"n": 2})
    assert bodies(server) == [[{"n": 2}]]


async def test_a_cancelled_program_ends_at_once() -> None:
    waits = asyncio.Event()

    async def endless(seconds: float) -> None:
        waits.set()
        await asyncio.Event().wait()

    server = Server(httpx.ConnectError("x"))
    futures: list[asyncio.Future[None]] = []

    async def run() -> None:
        async with Producer(ADDRESS, transport=server, sleep=endless) as sending:
            futures.append(await sending.put({"n": 1}))
            await futures[0]

    program = asyncio.create_task(run())
    await waits.wait()
    done, _ = await asyncio.wait([program], timeout=0.05)
    assert not done
    program.cancel()
    with pytest.raises(asyncio.CancelledError):
        await program
    assert futures[0].done()


async def test_what_the_producer_did_not_expect_reaches_the_sender() -> None:
    async with producer(Server(ZeroDivisionError("odd"), answer(*STORED))) as sending:
        with pytest.raises(ZeroDivisionError):
            await sending.send({"n": 1})
        await sending.send({"n": 2})


@pytest.mark.parametrize("address", ["", "gateway.test", "ftp://gateway.test", "http://"])
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(ClientError, match="not an address"):
        Producer(address)


def test_without_an_event_loop() -> None:
    server = Server(problem(207, invalid=[(0, "bad")]), answer(*STORED), answer(*STORED))
    with BlockingProducer(ADDRESS, transport=server) as sending:
        bad = sending.put({"n": 1})
        assert isinstance(bad.exception(10), EventInvalid)
        sending.send(b'{"n":2}')
        last = sending.put({"n": 3})
        sending.flush()
        assert last.done()
    assert last.result() is None
    with pytest.raises(ClientError), BlockingProducer("nowhere"):
        pass


@pytest.mark.parametrize("body", [b"", b"[]", b'{"invalid":1}', b'{"invalid":[1,{"index":"0"},{"index":9}]}'])
def test_an_answer_of_another_form_settles_all(body: bytes) -> None:
    assert type(read_delivery("u", 400, body, 1, "said", None).faults[0]) is Refused
    partly = read_delivery("u", 207, body, 1, "said", None)
    assert type(partly.faults[0]) is Refused
    assert not partly.again
