"""Runs one process of the gateway."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import lru_cache, partial

from gateway.access.grant import Grant
from gateway.app.composition import reach_back, stored_in
from gateway.app.machine import memory_limit
from gateway.app.operations import Operations
from gateway.app.ports import Ports
from gateway.app.sampler import Sampler
from gateway.definitions import Definitions
from gateway.eventlog.inspection import Inspectable
from gateway.observability import telemetry
from gateway.server.acceptor import most_connections
from gateway.server.connections import ConnectionBounds, Connections
from gateway.server.server import GatewayServer, listen
from gateway.settings.relations import told_memory
from gateway.state.session import ViewSession
from gateway.subscription.session import Session

logger = logging.getLogger("gateway")

ADMIN_CONNECTIONS = 128
"""Connections to the admin port."""
INTAKE_SECONDS = 12.0
"""Seconds at a stop for accepted events to be stored."""
TAKE_WAIT = 3.0
"""Seconds that new definitions wait for the log to describe their topics; they are in force afterwards in any case."""


class Gateway(Ports):
    """One process of the gateway, which runs."""

    async def take(self, definitions: Definitions) -> list[str]:
        """Put definitions in force, which must agree with those before in how each topic is resumed. No stream ends but
        those on the public port over what their client may read no longer, and those over an earlier version of a
        derived stream, which nobody continues. Returns what is to be known of it."""
        self.declared = definitions
        self.declared_anew.set()
        return await self._put_declared_in_force()

    async def _put_declared_in_force(self) -> list[str]:
        """Put in force what is declared, with the versions that names mean now. The log is asked for these, and what
        was declared anew meanwhile must not be undone."""
        while True:
            declared = self.declared
            found = await self.succession.in_force(declared)
            if declared is self.declared:
                return await self._put_in_force(found)

    async def _put_in_force(self, definitions: Definitions) -> list[str]:
        reach_back(self.log, definitions.catalog)
        self.hub.follow(definitions.catalog.by_timestamp)
        self.current.replace(definitions)
        self.keyring.use(definitions.trust)
        every = frozenset(definitions.catalog.topics)

        @lru_cache
        def hidden(grant: Grant) -> frozenset[str]:
            return every.difference(self.current.readable(self.gate.renewed(grant)).topics)

        ended = self.streams.stop(hidden) + self.public_views.streams.stop(hidden)
        former = {topic for stream in definitions.catalog.streams.values() for topic in stream.former_topics} - every
        former |= {topic for stream in definitions.catalog.streams.values() for topic in stream.awaited} - every
        for endpoint in (self.streams, self.all_streams):
            endpoint.stop(lambda _: former)
        notes = [f"streams ended because their client may not read them any more: {ended}"] if ended else []
        try:
            async with asyncio.timeout(TAKE_WAIT):
                while not self.hub.discovery.answered.issuperset(definitions.catalog.topics):
                    await asyncio.shield(self.hub.change())
        except TimeoutError:
            notes.append("the log has not answered yet; streams of new topics wait for it")
        return notes

    async def _succeed(self) -> None:
        """Move the names of derived streams to their new versions, as soon as these are as far."""
        while True:
            self.declared_anew.clear()
            declared, present = self.declared, self.current.definitions
            moved = asyncio.create_task(self.succession.wait(declared, present))
            changed = asyncio.create_task(self.declared_anew.wait())
            try:
                await asyncio.wait([moved, changed], return_when=asyncio.FIRST_COMPLETED)
                if moved.done() and not self.declared_anew.is_set():
                    moved.result()
                    await self._put_declared_in_force()
            finally:
                for task in (moved, changed):
                    task.cancel()

    async def run(
        self,
        stop: asyncio.Event,
        operations: Operations | None = None,
        shared: bool = False,
        with_admin: bool = True,
        on_open: Callable[[int], Awaitable[None]] | None = None,
    ) -> None:
        """Serve until `stop` is set, then drain. Without `operations` the process is all of the gateway, and there is
        nothing to reload. Raises OSError where a port cannot be had."""
        settings = self.settings
        operations = operations or self.operations(drain=stop.set)
        listener = listen(
            settings.host, settings.port, shared, settings.socket_send_buffer, stalled=settings.write_timeout
        )
        bounds = settings.of(ConnectionBounds)
        known = Connections(bounds, most_connections(settings.process_connections))
        public = self.server = GatewayServer(self.public(operations), settings.access_log, known)
        listeners = [(public, listener)]
        if with_admin:
            admin = listen(settings.admin_host, settings.admin_port, shared=False, stalled=settings.write_timeout)
            known = Connections(bounds, ADMIN_CONNECTIONS)
            listeners.append((GatewayServer(self.admin(operations), access_log=False, known=known), admin))
        memory = told_memory(settings, memory_limit(), self.current.definitions)
        for level, told in zip((logging.INFO, logging.WARNING), memory, strict=True):
            if told is not None:
                logger.log(level, "%s", told)
        await self.log.open()
        declared = self.declared
        first = await self.succession.in_force(declared)
        # A reload that came meanwhile has put its own definitions in force.
        if declared is self.declared and first is not declared:
            self.hub.follow(first.catalog.by_timestamp)
            self.current.replace(first)
        sampler = Sampler(self.hub, self.past, self.watch, lambda: self.current.catalog, self.broadcast, self.held)
        work: dict[str, Callable[[], Awaitable[None]]] = {
            "hub": self.hub.run,
            "heartbeats": self.broadcast.beat,
            "watch": self.watch.run,
            "keys": self.keyring.run,
            "limits": self.limiter.run,
            "sampler": sampler.run,
            "succession": self._succeed,
        }
        if isinstance(stored_in(self.log), Inspectable):
            self.absent.warns = with_admin
            work["absent topics"] = self.absent.run
        if self.describing is not None:
            work["schemas"] = self.describing.run
        if self.claims is not None:
            work |= {"claims": self.intake.run, "claims' place": self.claims.run}
        if age := settings.max_connection_age:
            step = min(1.0, age / 20)
            work["age"] = partial(self.streams.end_the_old, step)
            work["age (admin)"] = partial(self.all_streams.end_the_old, step)
            work["age (views)"] = partial(self.public_views.streams.end_the_old, step)
            work["age (views, admin)"] = partial(self.all_views.streams.end_the_old, step)
        background = [asyncio.create_task(self.background.keep(part, run)) for part, run in work.items()]
        with suppress(TimeoutError):
            async with asyncio.timeout(settings.startup_wait):
                await self.hub.filled.wait()
        serving = [asyncio.create_task(server.serve([socket])) for server, socket in listeners]
        stopped = asyncio.create_task(stop.wait())
        try:
            telemetry.serving()
            if on_open is not None:
                await on_open(listener.getsockname()[1])
            await asyncio.wait([stopped, *background, *serving], return_when=asyncio.FIRST_COMPLETED)
            await self._drain()
        finally:
            for server, _ in listeners:
                server.end()
            for task in (stopped, *background):
                task.cancel()
            results = await asyncio.gather(*serving, *background, stopped, return_exceptions=True)
            await self.surveyor.close()
            await self.past.close()
            await self.views.close()
            await self.limiter.close()
            if self.claims is not None:
                await self.claims.close()
            await self.log.close()
            await self.tracer.close()
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _drain(self) -> None:
        """Accept no new connections, and end the open streams one after another over the drain time. The admin port
        reports that until the end."""
        self.draining = True
        telemetry.draining()
        taken = asyncio.create_task(self.intake.close())
        endpoints = (self.streams, self.all_streams, self.public_views.streams, self.all_views.streams)
        for endpoint in endpoints:
            endpoint.draining = True
        self.updates.end()
        if self.server is not None:
            await self.server.end_softly()
        sessions: list[Session | ViewSession] = []
        for endpoint in endpoints:
            sessions += endpoint.sessions
        random.shuffle(sessions)
        loop = asyncio.get_running_loop()
        begun, pause = loop.time(), self.settings.drain_time / max(1, len(sessions))
        for index, session in enumerate(sessions):
            session.stop()
            if index + 1 < len(sessions):
                await asyncio.sleep(max(0.0, begun + (index + 1) * pause - loop.time()))
        for _ in range(50):
            if not any(endpoint.sessions for endpoint in endpoints):
                break
            await asyncio.sleep(0.02)
        await asyncio.wait([taken], timeout=INTAKE_SECONDS)
        taken.cancel()
        for endpoint in endpoints:
            await endpoint.close()
        # Until here it showed the operator how the streams end.
        self.table_updates.end()
