"""The HTTP server: uvicorn, from which an endless response may take its connection over."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

import uvicorn
from starlette.types import ASGIApp

from gateway.server.acceptor import Acceptor
from gateway.server.connections import Connections
from gateway.server.protocol import QuietProtocol, StreamProtocol

logger = logging.getLogger("gateway")

CLOSE_SECONDS = 1.0
"""Seconds that clients have at the end of the process to read the bytes sent to them."""

TASK_SECONDS = 5.0
"""Seconds that requests have beyond that to end, before they are cancelled."""

LOOK_SECONDS = 0.01
"""How often it is looked whether connections and requests have ended."""

TICK_SECONDS = 1.0
"""How old the Date of a response may be, and how late it is seen that a request is late."""

BACKLOG = 4096
"""Connections that wait to be accepted; the system may have a lower bound (`net.core.somaxconn`)."""


class GatewayServer(uvicorn.Server):
    """uvicorn's server; its caller handles signals."""

    def __init__(self, app: ASGIApp, access_log: bool, known: Connections) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=StreamProtocol if access_log else QuietProtocol,
                loop="asyncio",
                lifespan="off",
                ws="none",
                # Without it uvicorn would silence that logger for all servers of the process.
                access_log=True,
                log_config=None,
                server_header=False,
                proxy_headers=False,
                h11_max_incomplete_event_size=None,
            )
        )
        self._known = known
        self._quiet = not access_log
        self._acceptors: list[Acceptor] = []
        self.servers = []
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Let `serve` return once all connections have ended."""
        self.should_exit = True
        self._ending.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections. Not by asyncio's server, which takes as many as come, and drops those that wait when it
        is closed."""
        await self.lifespan.startup()
        kind = QuietProtocol if self._quiet else StreamProtocol
        protocol = partial(
            kind,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
            known=self._known,
        )
        self._acceptors = [Acceptor(listener, protocol, self._known.has_room) for listener in sockets or []]
        self.started = True

    async def main_loop(self) -> None:
        """Renew the date, and look for late requests, until the end. uvicorn's own check runs ten times a second.
        That costs as much as some of the events of a quiet stream."""
        while not await self.on_tick(0):
            self._known.sweep(asyncio.get_running_loop().time())
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._ending.wait()

    async def end_softly(self) -> None:
        """Accept no further connections, close those that are idle after a response, and close each other one after its
        response.

        Otherwise a client whose response ends would ask again on the same connection, and get a stream of a server that
        stops.
        """
        for acceptor in self._acceptors:
            acceptor.close()
            await acceptor.settle()
        for connection in list(self.server_state.connections):
            connection.shutdown()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End all connections; those of clients that do not read are cut. Not by uvicorn's, which begins with a pause
        of 0.1 s."""
        cut = asyncio.get_running_loop().call_later(CLOSE_SECONDS, self._abort)
        await self.end_softly()
        for listener in sockets or []:
            listener.close()
        for connection in self._connections():
            if connection.idle:
                connection.transport.close()
        try:
            async with asyncio.timeout(TASK_SECONDS):
                # uvicorn has nothing that says so.
                while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            logger.error("requests have not ended, and are cancelled: %d", len(self.server_state.tasks))
            for task in list(self.server_state.tasks):
                task.cancel()
        cut.cancel()

    def _connections(self) -> list[StreamProtocol]:
        return [one for one in self.server_state.connections if isinstance(one, StreamProtocol)]

    def _abort(self) -> None:
        for connection in self._connections():
            connection.transport.abort()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


def listen(host: str, port: int, shared: bool, unsent: int = 0, stalled: float = 0.0) -> socket.socket:
    """A listening socket, of which connections inherit what is set. Raises OSError.

    `shared` lets several processes listen on the port (SO_REUSEPORT); `unsent` is how many bytes the kernel takes of a
    connection beyond those on their way; after so many `stalled` seconds in which the other side has taken nothing of
    what is there for it, the kernel breaks the connection off. Both 0: the system's own.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where the protocol is named.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if unsent:
            # Not SO_SNDBUF, in which what is on its way counts too: it cuts the writes to clients that keep up, and
            # bounds the throughput to those far away.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, unsent)
        if stalled and hasattr(socket, "TCP_USER_TIMEOUT"):
            # The kernel has a timer for what it could not deliver anyway (RFC 9293 section 3.9.1.2, RFC 5482); one of
            # our own would have to look at every client again and again, and not see what the kernel has got rid of.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(stalled * 1000))
        listener.bind((host, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        why = f"cannot listen on {host} port {port}: {error.strerror or error}"
        if error.errno == errno.EADDRINUSE:
            why += "; another program uses it: choose another (`--port`, `--admin-port`), or stop that program"
        raise OSError(error.errno, why) from error
    return listener
