"""Accepts connections: as many as the process may have, and none is lost when it stops."""

from __future__ import annotations

import asyncio
import resource
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from gateway.cooperative import give_way
from gateway.observability import telemetry

ACCEPTED_AT_ONCE = 64
"""Connections accepted before others get their turn."""
MOST_WAITING = 8192
"""More than the backlog holds. At the end, up to this many waiting connections are accepted; later ones are not, so
that accepting ends."""
REST_SECONDS = 0.5
"""Seconds without accepting once the system has nothing left for another connection."""
SPARE_FILES = 256
"""Open files that are kept for the log, the schemas and the limits, of those that the process may have."""
LEAST_CONNECTIONS = 64
"""With room for fewer connections nothing sensible can be served."""
FEW_CONNECTIONS = 1000
"""Room for fewer is most likely not meant, and warned of."""
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER for a close that says at once that nothing will come."""


def raise_file_limit() -> int:
    """As many open files as the system allows; returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def most_connections(configured: int) -> int:
    """How many connections the process may have: as configured (0: no bound), but no more than it may have files."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    possible = max(1, files - SPARE_FILES)
    return min(configured, possible) if configured else possible


class NoRoom(Exception):
    """The process may have too few open files; the text says what to do."""


def allowed_connections(configured: int) -> tuple[int, int, str]:
    """How many connections and files the process may have, and what is to be done where those are few (empty: they are
    not). Raises NoRoom."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    possible = files - SPARE_FILES
    wanted = configured or FEW_CONNECTIONS
    advice = (
        f"a process may have {files} open files, of which {SPARE_FILES} are reserved for other uses than connections: "
        f"allow at least {wanted + SPARE_FILES} (`ulimit -n`, `LimitNOFILE=` of systemd, `ulimits: nofile` of a "
        "container)"
    )
    if possible < min(LEAST_CONNECTIONS, wanted):
        raise NoRoom(advice)
    return most_connections(configured), files, advice if possible < wanted else ""


class Acceptor:
    """Accepts connections from a listening socket while there is room for them. Without room, a connection is closed
    before a byte is read. A browser's EventSource then tries again, as it would not after an answer. The factory of
    protocols receives the socket as `connection`."""

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[..., asyncio.Protocol],
        has_room: Callable[[], bool],
    ) -> None:
        self._listener = listener
        self._protocol = protocol
        self._has_room = has_room
        self._loop = asyncio.get_running_loop()
        self._resting: asyncio.TimerHandle | None = None
        self._loop.add_reader(listener.fileno(), self._accept, ACCEPTED_AT_ONCE)

    def close(self) -> None:
        """Accept waiting connections, and stop listening. The system resets connections that wait in a closed
        listener, even if other processes listen on the same port."""
        if self._listener.fileno() < 0:
            return
        for _ in range(MOST_WAITING // ACCEPTED_AT_ONCE):
            if not self._accept(ACCEPTED_AT_ONCE):
                break
        if self._resting is not None:
            self._resting.cancel()
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()

    async def settle(self) -> None:
        """Return when all that was accepted has its protocol."""
        await give_way()  # in which asyncio's transports tell their protocols of them

    def _accept(self, most: int) -> bool:
        """Accept up to `most` connections; whether there may be more."""
        for _ in range(most):
            try:
                connection, peer = self._listener.accept()
            except ConnectionAbortedError:
                continue
            except (BlockingIOError, InterruptedError):
                return False
            except OSError as error:
                # EMFILE, ENFILE, ENOBUFS, ENOMEM: the socket would be told of as readable again and again.
                self._rest(error)
                return False
            if self._has_room():
                self._take(connection, peer)
            else:
                telemetry.connection_refused("the limit is reached")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                connection.close()
        return True

    def _take(self, connection: socket.socket, peer: Any) -> None:
        """As `connect_accepted_socket`, which takes a task and a future to say when it is done."""
        connection.setblocking(False)
        try:
            protocol = self._protocol(connection=connection)
            self._loop._make_socket_transport(connection, protocol, extra={"peername": peer})  # type: ignore[attr-defined]
        except OSError:
            connection.close()  # A connection that is gone already is nobody's fault.

    def _rest(self, error: OSError) -> None:
        telemetry.connection_refused(error.strerror or str(error))
        if self._resting is None:
            self._loop.remove_reader(self._listener.fileno())
            self._resting = self._loop.call_later(REST_SECONDS, self._go_on)

    def _go_on(self) -> None:
        self._resting = None
        self._loop.add_reader(self._listener.fileno(), self._accept, ACCEPTED_AT_ONCE)
