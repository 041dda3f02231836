"""The load client against servers that do what they should not."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from loadtests.client import Clients
from loadtests.crowd import Audience, Crowd
from loadtests.machine import MeasurementError, free_port
from tests.loadtests.compiler import needs_compiler
from tests.loadtests.test_reader import HEAD, chunked, frame

pytestmark = needs_compiler

WAIT = 60.0


@contextmanager
def server(*answers: bytes, close: bool = False, requests: list[bytes] | None = None) -> Iterator[int]:
    """Gives the connections these answers, one after the other, and then closes them or holds them open."""
    held = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            for answer in answers:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                request = connection.recv(65536)
                if requests is not None:
                    requests.append(request)
                connection.sendall(answer)
                held.append(connection)
                if close:
                    connection.close()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in held:
                connection.close()


def all_events(clients: Clients, events: int) -> Callable[[], bool]:
    return lambda: clients.events >= events


def answer(*sequence: int) -> bytes:
    return chunked(b"id: [1]\n\n" + b"".join(map(frame, sequence)), 1000)


def read_on(port: int) -> None:
    """One client that reads for ever."""
    with Clients(port, "/", 1) as clients:
        clients.connect(1, WAIT)
        clients.run(lambda: False, time.monotonic() + WAIT)


def test_all_clients_are_counted_and_some_are_sampled() -> None:
    with server(*[answer(0, 1, 2)] * 6) as port, Clients(port, ["/one", "/two"], 2) as clients:
        clients.connect(6, WAIT)
        clients.run(all_events(clients, 18), time.monotonic() + WAIT)
        assert [client.state.events for client in clients] == [3] * 6
        assert sorted(len(client.samples[1]) for client in clients) == [0, 0, 0, 0, 3, 3]


def test_paths_go_round() -> None:
    requests: list[bytes] = []
    with server(*[answer()] * 3, requests=requests) as port, Clients(port, ["/one", "/two"], 0) as clients:
        clients.connect(3, WAIT)
    assert sorted(request.split()[1] for request in requests) == [b"/one", b"/one", b"/two"]


@pytest.mark.parametrize("text", [b"HTTP/1.1 503 Busy\r\n\r\n", HEAD + b"0\r\n\r\n", HEAD + b"?" * 1000])
def test_what_is_no_stream_is_an_error(text: bytes) -> None:
    with server(text) as port, pytest.raises(MeasurementError):
        read_on(port)


def test_a_closed_connection_is_an_error() -> None:
    with server(answer(0), close=True) as port, pytest.raises(MeasurementError, match="closed"):
        read_on(port)


def test_nobody_who_listens_is_an_error() -> None:
    with pytest.raises(MeasurementError, match="cannot connect"):
        read_on(free_port())


def test_a_deadline_is_an_error() -> None:
    with server(answer(0)) as port, Clients(port, "/", 1) as clients:
        clients.connect(1, WAIT)
        with pytest.raises(MeasurementError, match="not finished"):
            clients.run(lambda: False, time.monotonic())


def test_dropped_clients_come_back_with_their_last_id() -> None:
    requests: list[bytes] = []
    whole = answer(0, 1)
    cut, rest = whole[:-300], chunked(frame(1) + frame(2), 1000)
    with server(cut, rest, requests=requests) as port, Clients(port, "/", 0, "resume") as clients:
        clients.connect(1, WAIT)
        clients.run(all_events(clients, 1), time.monotonic() + WAIT)
        clients.drop()
        clients.resume(WAIT)
        clients.run(all_events(clients, 3), time.monotonic() + WAIT)
        state = next(iter(clients)).state
        assert (state.events, state.gaps, state.repeated) == (3, 0, 0)
    assert b'Last-Event-ID: [{"topic":"load","partition":0,"offset":0}]\r\n' in requests[1]


@pytest.mark.long
def test_slow_readers_read_little_and_are_not_counted() -> None:
    with server(*[answer(*range(20))] * 2) as port, Clients(port, "/", 0) as clients:
        clients.connect(2, WAIT, slow=1)
        fast, slow = clients
        assert slow.state.received <= 2 * 2048
        clients.run(lambda: slow.state.events == 20, time.monotonic() + WAIT)
        assert (fast.state.events, clients.events) == (20, 20)
        assert (slow.state.gaps, slow.state.repeated) == (0, 0)


@pytest.mark.long
def test_a_crowd_adds_up_what_its_processes_heard() -> None:
    with server(*[answer(0, 1, 2)] * 4) as port, Crowd(Audience(port, ["/"], 4, sampled=2), processes=2) as crowd:
        crowd.connect(WAIT)
        crowd.watch()
        heard = crowd.read_events(3, WAIT)
    assert (heard.events, heard.gaps, heard.repeated) == ([3] * 4, [0] * 4, [0] * 4)
    assert len(heard.delays) == 2
    assert heard.counted == [True] * 4


@pytest.mark.long
def test_a_crowd_says_what_its_clients_met() -> None:
    refusal = pytest.raises(MeasurementError, match="503")
    with server(b"HTTP/1.1 503 Busy\r\n\r\n") as port, refusal, Crowd(Audience(port, ["/"], 1)) as crowd:
        crowd.connect(WAIT)
