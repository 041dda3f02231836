"""What only the blocking producer has to hold: its thread, running loops, interruptions, forks."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Iterator

import httpx
import pytest

from gateway.client import BlockingProducer, ClientError, ProducerClosed
from tests.client.interrupting import interrupted_within
from tests.client.server import Server, answer
from tests.client.test_stream_blocking import in_a_child

ADDRESS = "http://gateway.test"
STORED = 201


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """Those that are there at the end were there at the beginning."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
    assert set(threading.enumerate()) <= before


class Silent(httpx.AsyncBaseTransport):
    """Never answers. `asked` is set when it could."""

    def __init__(self) -> None:
        self.asked = threading.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.set()
        await asyncio.Event().wait()
        raise AssertionError


async def test_it_sends_inside_a_running_loop() -> None:
    server = Server(answer(STORED), answer(STORED))
    with BlockingProducer(ADDRESS, transport=server) as producer:
        producer.send({"n": 1})
        producer.put({"n": 2})
    assert len(server.requests) == 2


def test_it_begins_by_itself_and_ends_once_closed() -> None:
    server = Server(answer(STORED))
    producer = BlockingProducer(ADDRESS, transport=server)
    producer.put({"n": 1})
    producer.close()
    assert len(server.requests) == 1
    producer.close()
    with pytest.raises(ProducerClosed):
        producer.send({"n": 2})


def test_one_that_was_never_used_leaves_nothing() -> None:
    BlockingProducer(ADDRESS).close()


def test_interrupted_it_gives_the_event_up_and_can_be_closed() -> None:
    silent = Silent()
    producer = BlockingProducer(ADDRESS, transport=silent)
    given = producer.put({"n": 1})
    silent.asked.wait(60)
    with pytest.raises(KeyboardInterrupt), interrupted_within("BlockingProducer.close", "Condition.wait"):
        producer.close()
    assert isinstance(given.exception(0), ProducerClosed)


@pytest.mark.long
def test_one_that_is_collected_ends_its_thread_and_tells_what_it_drops(caplog: pytest.LogCaptureFixture) -> None:
    silent = Silent()
    producer = BlockingProducer(ADDRESS, transport=silent)
    given = producer.put({"n": 1})
    silent.asked.wait(60)
    with caplog.at_level(logging.WARNING, "gateway.client"):
        del producer
        gc.collect()
    assert [record.getMessage() for record in caplog.records] == [
        f"{ADDRESS}/v1/events: not sent, since the producer was not closed: 1 event"
    ]
    assert isinstance(given.exception(60), ProducerClosed)


def test_it_does_not_wait_for_itself() -> None:
    told: list[BaseException] = []
    with BlockingProducer(ADDRESS, transport=Server(answer(STORED))) as producer:

        def again(_: object) -> None:
            try:
                producer.send({"n": 2})
            except ClientError as error:
                told.append(error)

        producer.put({"n": 1}).add_done_callback(again)
        producer.flush()
    assert "own thread" in str(told[0])


def test_a_child_process_does_not_send_by_its_parents_producer() -> None:
    server = Server(answer(STORED), answer(STORED))
    with BlockingProducer(ADDRESS, transport=server) as producer:
        producer.send({"n": 1})

        def child() -> None:
            with pytest.raises(ClientError, match="forked"):
                producer.send({"n": 2})
            producer.close()

        assert in_a_child(child) == 0
        producer.send({"n": 3})
