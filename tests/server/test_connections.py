"""Who owes a request, and who is given up for it."""

from __future__ import annotations

from gateway.server import connections
from gateway.server.connections import ConnectionBounds, Connections


class Client:
    """A connection that writes down how it was given up."""

    def __init__(self, known: Connections) -> None:
        self.unread = 0
        self.given_up: list[bool] = []
        self._known = known

    def give_up(self, late: bool) -> None:
        self.given_up.append(late)
        self._known.arrived(self)


def test_a_request_that_is_late_is_given_up() -> None:
    known = Connections(ConnectionBounds(head_timeout=10.0), 100)
    first, second, done = Client(known), Client(known), Client(known)
    for time, client in enumerate((first, done, second)):
        known.expect(client, float(time))
    known.arrived(done)
    known.sweep(9.9)
    assert not first.given_up
    known.sweep(10.0)
    assert (first.given_up, second.given_up) == ([True], [])
    known.sweep(100.0)
    assert (second.given_up, done.given_up) == ([True], [])


def test_the_next_request_has_its_own_time() -> None:
    known = Connections(ConnectionBounds(head_timeout=10.0), 100)
    client = Client(known)
    known.expect(client, 0.0)
    known.arrived(client)
    known.expect(client, 8.0)
    known.sweep(17.9)
    assert not client.given_up
    known.sweep(18.0)
    assert client.given_up == [True]


def test_of_too_many_that_owe_one_the_oldest_is_given_up() -> None:
    known = Connections(ConnectionBounds(waiting_connections=3), 100)
    clients = [Client(known) for _ in range(5)]
    for client in clients:
        known.expect(client, 0.0)
    assert [client.given_up for client in clients] == [[False], [False], [], [], []]


def test_what_has_come_of_heads_is_bounded_in_all() -> None:
    known = Connections(ConnectionBounds(), 100)
    clients = [Client(known) for _ in range(4)]
    size = connections.HEAD_BYTES // 3
    for client in clients:
        known.expect(client, 0.0)
        known.read(client, size)
    assert [client.given_up for client in clients] == [[False], [], [], []]
    known.arrived(clients[1])
    known.read(clients[3], size)
    assert not clients[2].given_up


def test_room_for_connections() -> None:
    known = Connections(ConnectionBounds(), 2)
    known.count = 1
    assert known.has_room()
    known.count = 2
    assert not known.has_room()
    known.closed()
    assert known.has_room()


def test_a_connection_is_kept_for_a_while_after_an_answer() -> None:
    known = Connections(ConnectionBounds(head_timeout=10.0, keep_alive=5.0), 100)
    silent, asking, new = Client(known), Client(known), Client(known)
    known.expect(silent, 0.0, again=True)
    known.expect(asking, 0.0, again=True)
    known.expect(new, 0.0)
    known.read(asking, 1)
    known.sweep(4.9)
    assert not silent.given_up
    known.sweep(5.0)
    assert (silent.given_up, asking.given_up, new.given_up) == ([False], [], [])
    known.sweep(10.0)
    assert (silent.given_up, asking.given_up, new.given_up) == ([False], [True], [True])
