"""The applications of the two ports."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from multiprocessing import current_process

from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp

from gateway.app.operations import (
    Operations,
    Reload,
    drain_nothing,
    no_lags,
    no_workers,
    nothing_to_reload,
    own_exposition,
)
from gateway.app.parts import Parts
from gateway.app.state import Facts as StateFacts
from gateway.app.state import GatewayState
from gateway.catalog.catalog import Catalog
from gateway.description.facts import Facts, Limits
from gateway.errors import Problem
from gateway.forms.log import ConvertingLog
from gateway.limits.networks import Networks
from gateway.routes.access import TokensApart, Viewers
from gateway.routes.admin import AdminGuard, ReloadRoute
from gateway.routes.admission import Admission, Counted
from gateway.routes.catalog import CatalogRoutes
from gateway.routes.cors import ALWAYS, Preflights
from gateway.routes.counts import CountRoute
from gateway.routes.documents import DocumentRoutes
from gateway.routes.events import EVENTS_PATH, EventsEndpoint
from gateway.routes.explorer import ExplorerRoutes
from gateway.routes.health import Readiness, healthz
from gateway.routes.house import read_house
from gateway.routes.overview import DrainRoute, Overview
from gateway.routes.parameters import RequestBounds
from gateway.routes.peer import HEADERS
from gateway.routes.problems import on_error, on_http_error, on_problem
from gateway.routes.public_address import PublicAddresses
from gateway.routes.rates import RateRoutes
from gateway.routes.request_ids import RequestIds
from gateway.routes.schemas import SchemaRoutes
from gateway.routes.shortcut import Shortcut
from gateway.routes.streams import STREAM_PREFIX, StreamEndpoint
from gateway.routes.trial import TRIAL_PATH, TrialRoute
from gateway.routes.views import ViewEndpoint
from gateway.schemas.repository import SchemaRepository
from gateway.state.connections import first_followers
from gateway.subscription.connections import ConnectionRow, Table, sorted_rows
from gateway.subscription.session import Session

STREAM_PATH = STREAM_PREFIX + "{streams:path}"
VIEW_PATHS = ("/v2/views", "/v2/views/{rest:path}")


def _application(routes: list[Route]) -> ASGIApp:
    """Those that are ASGI applications themselves stand before the application's middleware, whose coroutines cost 2 KB
    for as long as a stream is open."""
    plain = StreamEndpoint | EventsEndpoint | ViewEndpoint
    first: list[BaseRoute] = [route for route in routes if isinstance(route.endpoint, plain)]
    app = Starlette(
        routes=[route for route in routes if route not in first],
        exception_handlers={Problem: on_problem, HTTPException: on_http_error, Exception: on_error},
    )
    app.router.redirect_slashes = False
    return Router(first, redirect_slashes=False, default=app)


class Ports(Parts):
    """What a process serves of its parts: to strangers on the public port, to operators on the admin port."""

    def operations(self, reload: Reload = nothing_to_reload, drain: Callable[[], None] = drain_nothing) -> Operations:
        """Those of a process that is all of the gateway."""
        return Operations(reload, drain, self.own_connections, own_exposition, no_workers, no_lags)

    def _sessions(self) -> list[Session]:
        return [*self.streams.sessions, *self.all_streams.sessions]

    async def own_connections(self, order: str, limit: int) -> tuple[list[ConnectionRow], int]:
        """The first open streams of this process, in this order, and how many there are."""
        sessions, worker = self._sessions(), current_process().name
        followers = [*self.public_views.streams.sessions, *self.all_views.streams.sessions]
        rows = await Table(self.current.catalog, self.hub.ring, worker).first(sessions, order, limit)
        rows += await first_followers(followers, self.hub.ring, worker, order, limit)
        return sorted_rows(rows, order, limit), len(sessions) + len(followers)

    def public_routes(self, operations: Operations) -> list[Route]:
        """The routes of the public port: all that the public can ask for."""
        routes = [Route(STREAM_PATH, self.streams), *(Route(path, self.public_views) for path in VIEW_PATHS)]
        if self.settings.intake == "public":
            endpoint = EventsEndpoint(self.intake, self.public_viewers, self.admission, self.tracer)
            routes.append(Route(EVENTS_PATH, endpoint))

        def catalog() -> Catalog:
            return self.current.public_catalog

        trials = self.settings.derive_trials == "public"
        explorer = ExplorerRoutes(trials, read_house(self.settings.explorer))
        documents = DocumentRoutes(lambda: self.current.definitions, self.facts)
        routes += [
            Route("/", explorer.page),
            Route("/explorer/rates", RateRoutes(catalog, self.hub, self.updates).rates),
            Route("/explorer/{version}/{name}", explorer.file),
            Route("/openapi.json", documents.openapi),
            Route("/asyncapi.json", documents.asyncapi),
            Route("/docs", documents.docs),
        ]
        if trials:
            routes.append(self._trial(self.public_viewers, self.admission))
        return routes + self._routes(self.public_viewers, operations)

    def _trial(self, viewers: Viewers, admission: Admission | None) -> Route:
        trial = TrialRoute(self.trials, viewers, lambda: self.current.schemas, admission)
        return Route(TRIAL_PATH, trial.trial, methods=["POST"])

    def public(self, operations: Operations | None = None) -> ASGIApp:
        """The application on the public port."""
        routes = self.public_routes(operations or self.operations())
        application = _application(routes)
        if self.settings.public_url or self.settings.trusted_proxies:
            application = self._addressed(application)
        application = Preflights(Counted(TokensApart(application), self.admission))
        events = next((route.endpoint for route in routes if isinstance(route.endpoint, EventsEndpoint)), None)
        return RequestIds(Shortcut(application, self.streams, events), ALWAYS)

    def _addressed(self, application: ASGIApp) -> ASGIApp:
        """With the address by which clients know the gateway."""
        settings = self.settings
        header = HEADERS[settings.forwarded_header]
        return PublicAddresses(application, settings.public_url or "", Networks(settings.trusted_proxies), header)

    def facts(self) -> Facts:
        """The facts in the documents of the public port."""
        settings, trust = self.settings, self.current.trust
        limits = settings.of(Limits)
        return Facts(
            version("event-gateway"),
            self.current.public_catalog,
            self.current.definitions.public_schemas,
            limits,
            intake=settings.intake == "public",
            intake_token=trust.terms.needed_to_write,
            tokens=trust.takes_tokens,
            cookie=trust.terms.cookie,
            views=tuple(
                view for view in self.current.definitions.views if view.stream in self.current.public_catalog.streams
            ),
            trials=settings.derive_trials == "public",
        )

    def admin_routes(self, operations: Operations) -> list[Route]:
        """The routes of the admin port."""

        async def metrics(_: Request) -> Response:
            return Response(await operations.exposition(), media_type=CONTENT_TYPE_LATEST)

        routes = [Route(STREAM_PATH, self.all_streams), *(Route(path, self.all_views) for path in VIEW_PATHS)]
        if self.settings.intake != "off":
            routes.append(Route(EVENTS_PATH, EventsEndpoint(self.intake, self.all_viewers, tracer=self.tracer)))
        reload = ReloadRoute(operations.reload)
        overview = Overview(operations.connections, self.table_updates, self._state(operations).document)
        house = read_house(self.settings.explorer)
        explorer = ExplorerRoutes(house=house, inside=True)
        routes += [
            Route("/", overview.page),
            Route("/-/overview", overview.overview),
            Route("/explorer", explorer.page),
            Route("/explorer/rates", RateRoutes(lambda: self.current.catalog, self.hub, self.updates).rates),
            Route("/explorer/{version}/{name}", explorer.file),
            Route("/metrics", metrics),
            Route("/-/reload", reload.reload, methods=["POST"]),
            Route("/-/connections", overview.connections),
            Route("/-/drain", DrainRoute(operations.drain).drain, methods=["POST"]),
        ]
        if self.settings.derive_trials != "off":
            routes.append(self._trial(self.all_viewers, None))
        return routes + self._routes(self.all_viewers, operations, inside=True)

    def _state(self, operations: Operations) -> GatewayState:
        """What the operators' page shows."""
        log = self.hub.log
        registry = log.registry if isinstance(log, ConvertingLog) and self.settings.schema_registry else None
        facts = StateFacts(
            self.settings.workers,
            not self.settings.limits.startswith("memory:"),
            None if registry is None else lambda: registry.failure,
        )
        return GatewayState(
            facts,
            self.hub,
            self.surveyor,
            lambda: (self.current.catalog, self.current.public_catalog),
            operations.workers,
            operations.exposition,
            self.clock,
        )

    def admin(self, operations: Operations | None = None) -> ASGIApp:
        """The application on the admin port."""
        app = _application(self.admin_routes(operations or self.operations()))
        return RequestIds(AdminGuard(app, (self.settings.admin_host, *self.settings.admin_names)))

    def _routes(self, viewers: Viewers, operations: Operations, inside: bool = False) -> list[Route]:
        """The routes of both ports, over the streams of each; `inside`: on the admin port."""
        rules = (lambda: self.current.definitions.rules) if inside else None

        def schemas() -> SchemaRepository:
            return self.current.schemas if inside else self.current.definitions.public_schemas

        streams = CatalogRoutes(viewers, self.surveyor, operations.lags, schemas, rules, lambda: self.absent.told)
        shown = SchemaRoutes(schemas)
        admission = None if inside else self.admission
        bounds = self.settings.of(RequestBounds)
        counts = CountRoute(self.counting, viewers, bounds, self.clock, schemas, admission)
        readiness = Readiness(
            self.hub,
            self.watch,
            lambda: self.draining,
            operations.workers,
            inside,
            lambda: self.current.public_catalog.topics,
            self.background.ailing,
            self.intake.failing,
            lambda: self.absent.told,
        )
        return [
            Route("/v2/streams", streams.index),
            Route("/v2/streams/{name}", streams.one),
            Route("/v2/streams/{names}/counts", counts.counts),
            Route("/v2/schemas", shown.index),
            Route("/v2/schemas/{path:path}", shown.one),
            Route("/healthz", healthz),
            Route("/readyz", readiness.readyz),
        ]
