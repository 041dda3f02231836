"""The composition root: puts the parts of a process together and runs them."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import lru_cache, partial
from importlib.metadata import version
from multiprocessing import current_process

from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp

from gateway.access.fetch import Fetcher
from gateway.access.gate import Gate
from gateway.access.grant import EVERYTHING, Grant
from gateway.access.keyring import Keyring
from gateway.app.background import Background
from gateway.app.composition import connection_bounds, open_admission, open_claims, open_limits
from gateway.app.machine import memory_limit
from gateway.app.operations import (
    Operations,
    Reload,
    drain_nothing,
    no_workers,
    nothing_to_reload,
    own_exposition,
)
from gateway.app.sampler import Pulse
from gateway.catalog.catalog import Catalog
from gateway.clock import Clock, SystemClock
from gateway.definitions import Current, Definitions
from gateway.description.facts import Facts, Limits
from gateway.errors import Problem
from gateway.eventlog.port import EventLog
from gateway.feed.cache import BlockCache
from gateway.feed.held import Held
from gateway.feed.live import Broadcast
from gateway.filters.compile import FilterBounds
from gateway.hub.hub import Hub, HubOptions
from gateway.hub.past import Past
from gateway.hub.watch import LagWatch
from gateway.intake.intake import Intake, IntakeOptions
from gateway.limits.networks import Networks
from gateway.observability import telemetry
from gateway.observability.open import open_tracer
from gateway.routes.access import Bearers, Everyone, TokensApart, Viewers
from gateway.routes.admin import AdminGuard, ReloadRoute
from gateway.routes.admission import Counted
from gateway.routes.catalog import CatalogRoutes
from gateway.routes.cors import ALWAYS, Preflights
from gateway.routes.documents import DocumentRoutes
from gateway.routes.events import EVENTS_PATH, EventsEndpoint
from gateway.routes.explorer import ExplorerRoutes
from gateway.routes.health import Readiness, healthz
from gateway.routes.overview import DrainRoute, Overview, front_page
from gateway.routes.parameters import Bounds
from gateway.routes.peer import HEADERS
from gateway.routes.problems import on_error, on_http_error, on_problem
from gateway.routes.public_address import PublicAddresses
from gateway.routes.rates import RateRoutes
from gateway.routes.request_ids import RequestIds
from gateway.routes.schemas import SchemaRoutes
from gateway.routes.streams import StreamEndpoint
from gateway.routes.survey import Surveyor
from gateway.server.acceptor import most_connections
from gateway.server.connections import Connections
from gateway.server.server import GatewayServer, listen
from gateway.settings.relations import told_memory
from gateway.settings.table import Settings
from gateway.subscription.connections import ConnectionRow, connections, sorted_rows
from gateway.subscription.services import Services
from gateway.subscription.session import Session

logger = logging.getLogger("gateway")

STREAM_PATH = "/v2/stream/{streams:path}"
ADMIN_CONNECTIONS = 128
"""Connections to the admin port."""
INTAKE_SECONDS = 12.0
"""Seconds at a stop for accepted events to be stored."""
TAKE_WAIT = 3.0
"""Seconds that new definitions wait for the log to describe their topics; they are in force afterwards in any case."""


def _application(routes: list[Route]) -> ASGIApp:
    """Those that are ASGI applications themselves stand before the application's middleware, whose coroutines cost 2 KB
    for as long as a stream is open."""
    first: list[BaseRoute] = [route for route in routes if isinstance(route.endpoint, StreamEndpoint | EventsEndpoint)]
    app = Starlette(
        routes=[route for route in routes if route not in first],
        exception_handlers={Problem: on_problem, HTTPException: on_http_error, Exception: on_error},
    )
    app.router.redirect_slashes = False
    return Router(first, redirect_slashes=False, default=app)


class Gateway:
    """Everything that one process runs."""

    def __init__(self, settings: Settings, definitions: Definitions, log: EventLog, clock: Clock | None = None) -> None:
        self.settings = settings
        self.current = Current(definitions)
        self.log = log
        self.clock = clock or SystemClock()
        options = HubOptions(
            settings.ring_bytes,
            settings.ring_fill,
            settings.flush_interval,
            settings.flush_bytes,
            settings.metadata_interval,
        )
        self.hub = Hub(log, definitions.catalog.by_timestamp, self.clock, options)
        self.watch = LagWatch(log, self.hub.reading)
        cache = BlockCache(settings.block_cache_bytes)
        self.broadcast = Broadcast(self.hub, cache, self.clock, settings.heartbeat)
        self.past = Past(log, settings.replay_readers, settings.replay_cache_bytes)
        self.hub.deliver, self.hub.renew = self.broadcast.deliver, self.broadcast.renew
        self.hub.losses.memories += [lambda lost: cache.clear(), self.past.forget]
        services = Services(
            self.hub,
            self.broadcast,
            self.past,
            self.clock,
            settings.heartbeat,
            settings.retry,
            settings.max_connection_age,
            held=Held(settings.session_bytes),
            longest_id=settings.last_event_id_max,
        )
        self.held = services.held
        filters = FilterBounds(settings.filter_max_length, settings.filter_max_depth, settings.filter_max_steps)
        bounds = Bounds(filters, settings.maximum_streams, settings.last_event_id_max, settings.compact_ids)
        self.keyring = Keyring(Fetcher(), self.clock, settings.jwks_refresh)
        self.keyring.use(definitions.trust)
        self.gate = Gate(lambda: self.current.trust, self.keyring, self.clock)
        self.public_viewers = Bearers(self.gate, self.current)
        self.all_viewers = Everyone(lambda: self.current.catalog, EVERYTHING)
        self.limiter = open_limits(settings, self.clock)
        self.admission = open_admission(settings, self.limiter)
        self.streams = StreamEndpoint(services, self.public_viewers, bounds, self.admission)
        self.all_streams = StreamEndpoint(services, self.all_viewers, bounds)
        intake_options = IntakeOptions(
            settings.intake_max_bytes,
            settings.intake_max_events,
            settings.intake_event_max_bytes,
            settings.intake_queue_bytes,
            settings.idempotency_window,
            settings.idempotency_events,
            round(1000 * settings.timestamp_ahead_max),
        )
        self.claims, keys = open_claims(settings, log, self.clock)
        self.intake = Intake(self.hub, self.current, self.clock, intake_options, self.claims, keys)
        self.hub.observe = self.intake.observe
        self.tracer = open_tracer(settings.tracing, settings.tracing_ratio)
        self.server: GatewayServer | None = None
        """That of the public port, while it runs."""
        self.draining = False
        self.background = Background()
        self.surveyor = Surveyor(self.hub)

    def operations(self, reload: Reload = nothing_to_reload, drain: Callable[[], None] = drain_nothing) -> Operations:
        """Those of a process that is all of the gateway."""
        return Operations(reload, drain, self.own_connections, own_exposition, no_workers)

    def _sessions(self) -> list[Session]:
        return [*self.streams.sessions, *self.all_streams.sessions]

    async def own_connections(self, order: str, limit: int) -> tuple[list[ConnectionRow], int]:
        """The first open streams of this process, in this order, and how many there are."""
        rows = connections(self._sessions(), self.current.catalog, self.hub.ring, current_process().name)
        return sorted_rows(rows, order, limit), len(rows)

    def public_routes(self, operations: Operations) -> list[Route]:
        """The routes of the public port: all that the public can ask for."""
        routes = [Route(STREAM_PATH, self.streams)]
        if self.settings.intake == "public":
            endpoint = EventsEndpoint(self.intake, self.public_viewers, self.admission, self.tracer)
            routes.append(Route(EVENTS_PATH, endpoint))

        def catalog() -> Catalog:
            return self.current.public_catalog

        explorer, documents = ExplorerRoutes(), DocumentRoutes(lambda: self.current.definitions, self.facts)
        routes += [
            Route("/", explorer.page),
            Route("/explorer/rates", RateRoutes(catalog, self.hub).rates),
            Route("/explorer/{version}/{name}", explorer.file),
            Route("/openapi.json", documents.openapi),
            Route("/asyncapi.json", documents.asyncapi),
            Route("/docs", documents.docs),
        ]
        return routes + self._routes(self.public_viewers, operations)

    def public(self, operations: Operations | None = None) -> ASGIApp:
        """The application on the public port."""
        application = _application(self.public_routes(operations or self.operations()))
        if self.settings.public_url or self.settings.trusted_proxies:
            application = self._addressed(application)
        return RequestIds(Preflights(Counted(TokensApart(application), self.admission)), ALWAYS)

    def _addressed(self, application: ASGIApp) -> ASGIApp:
        """With the address by which clients know the gateway."""
        settings = self.settings
        header = HEADERS[settings.forwarded_header]
        return PublicAddresses(application, settings.public_url or "", Networks(settings.trusted_proxies), header)

    def facts(self) -> Facts:
        """The facts in the documents of the public port."""
        settings, trust = self.settings, self.current.trust
        limits = Limits(**{field.name: getattr(settings, field.name) for field in dataclasses.fields(Limits)})
        return Facts(
            version("event-gateway"),
            self.current.public_catalog,
            self.current.schemas,
            limits,
            intake=settings.intake == "public",
            intake_token=trust.terms.needed_to_write,
            tokens=trust.takes_tokens,
            cookie=trust.terms.cookie,
        )

    def admin_routes(self, operations: Operations) -> list[Route]:
        """The routes of the admin port."""

        async def metrics(_: Request) -> Response:
            return Response(await operations.exposition(), media_type=CONTENT_TYPE_LATEST)

        routes = [Route(STREAM_PATH, self.all_streams)]
        if self.settings.intake != "off":
            routes.append(Route(EVENTS_PATH, EventsEndpoint(self.intake, self.all_viewers, tracer=self.tracer)))
        reload = ReloadRoute(operations.reload)
        routes += [
            Route("/", front_page),
            Route("/metrics", metrics),
            Route("/-/reload", reload.reload, methods=["POST"]),
            Route("/-/connections", Overview(operations.connections).connections),
            Route("/-/drain", DrainRoute(operations.drain).drain, methods=["POST"]),
        ]
        return routes + self._routes(self.all_viewers, operations, inside=True)

    def admin(self, operations: Operations | None = None) -> ASGIApp:
        """The application on the admin port."""
        app = _application(self.admin_routes(operations or self.operations()))
        return RequestIds(AdminGuard(app, (self.settings.admin_host, *self.settings.admin_names)))

    def _routes(self, viewers: Viewers, operations: Operations, inside: bool = False) -> list[Route]:
        """The routes of both ports, over the streams of each; `inside`: on the admin port."""
        streams = CatalogRoutes(viewers, self.surveyor)
        schemas = SchemaRoutes(lambda: self.current.schemas)
        readiness = Readiness(
            self.hub,
            self.watch,
            lambda: self.draining,
            operations.workers,
            inside,
            lambda: self.current.public_catalog.topics,
            self.background.ailing,
            self.intake.failing,
        )
        return [
            Route("/v2/streams", streams.index),
            Route("/v2/streams/{name}", streams.one),
            Route("/v2/schemas", schemas.index),
            Route("/v2/schemas/{path:path}", schemas.one),
            Route("/healthz", healthz),
            Route("/readyz", readiness.readyz),
        ]

    async def take(self, definitions: Definitions) -> list[str]:
        """Put definitions in force, which must agree with those before in how each topic is resumed. No stream ends but
        those on the public port over what their client may read no longer. Returns what is to be known of it."""
        self.hub.follow(definitions.catalog.by_timestamp)
        self.current.replace(definitions)
        self.keyring.use(definitions.trust)
        every = frozenset(definitions.catalog.topics)

        @lru_cache
        def hidden(grant: Grant) -> frozenset[str]:
            return every.difference(self.current.readable(self.gate.renewed(grant)).topics)

        ended = self.streams.stop(hidden)
        notes = [f"streams ended because their client may not read them any more: {ended}"] if ended else []
        try:
            async with asyncio.timeout(TAKE_WAIT):
                while not self.hub.discovery.answered.issuperset(definitions.catalog.topics):
                    await asyncio.shield(self.hub.change())
        except TimeoutError:
            notes.append("the log has not answered yet; streams of new topics wait for it")
        return notes

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
        bounds = connection_bounds(settings)
        known = Connections(bounds, most_connections(settings.process_connections))
        public = self.server = GatewayServer(self.public(operations), settings.access_log, known)
        listeners = [(public, listener)]
        if with_admin:
            admin = listen(settings.admin_host, settings.admin_port, shared=False, stalled=settings.write_timeout)
            known = Connections(bounds, ADMIN_CONNECTIONS)
            listeners.append((GatewayServer(self.admin(operations), access_log=False, known=known), admin))
        for level, told in zip((logging.INFO, logging.WARNING), told_memory(settings, memory_limit()), strict=True):
            if told is not None:
                logger.log(level, "%s", told)
        await self.log.open()
        pulse = Pulse(self.hub, self.past, self.watch, lambda: self.current.catalog, self.broadcast, self.held)
        work: dict[str, Callable[[], Awaitable[None]]] = {
            "hub": self.hub.run,
            "heartbeats": self.broadcast.beat,
            "watch": self.watch.run,
            "keys": self.keyring.run,
            "limits": self.limiter.run,
            "pulse": pulse.run,
        }
        if self.claims is not None:
            work |= {"claims": self.intake.run, "claims' place": self.claims.run}
        if age := settings.max_connection_age:
            step = min(1.0, age / 20)
            work["age"] = partial(self.streams.end_the_old, step)
            work["age (admin)"] = partial(self.all_streams.end_the_old, step)
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
        endpoints = (self.streams, self.all_streams)
        for endpoint in endpoints:
            endpoint.draining = True
        if self.server is not None:
            await self.server.end_softly()
        sessions = [session for endpoint in endpoints for session in endpoint.sessions]
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
