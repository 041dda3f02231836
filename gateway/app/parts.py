"""The parts of a process, made from its settings."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from gateway.access.fetch import Fetcher
from gateway.access.gate import Gate
from gateway.access.grant import EVERYTHING
from gateway.access.keyring import Keyring
from gateway.app.absent import AbsentTopics
from gateway.app.background import Background
from gateway.app.composition import describing, open_admission, open_claims, open_limits, written_streams
from gateway.app.succession import Succession
from gateway.catalog.stream import Stream
from gateway.clock import Clock, SystemClock
from gateway.counts.counting import Counting
from gateway.counts.options import CountOptions
from gateway.definitions import Current, Definitions
from gateway.derive.trials import Trials
from gateway.eventlog.port import EventLog
from gateway.feed.cache import BlockCache
from gateway.feed.held import Held
from gateway.feed.live import Broadcast
from gateway.hub.hub import Hub
from gateway.hub.options import HubOptions
from gateway.hub.past import Past
from gateway.hub.watch import LagWatch
from gateway.intake.intake import Intake
from gateway.intake.options import IntakeOptions
from gateway.observability.open import open_tracer
from gateway.routes.access import Bearers, Everyone
from gateway.routes.overview import visitor
from gateway.routes.parameters import RequestBounds
from gateway.routes.settled import SettleOptions
from gateway.routes.streams import StreamEndpoint
from gateway.routes.survey import Surveyor
from gateway.routes.updates import Updates
from gateway.routes.view_streams import ViewStreams
from gateway.routes.views import ViewEndpoint
from gateway.schemas.repository import SchemaRepository
from gateway.server.server import GatewayServer
from gateway.settings.table import Settings
from gateway.state.options import ViewOptions, directory_of
from gateway.state.serving import Views
from gateway.state.session import ViewServices
from gateway.subscription.services import Services

PAGE_UPDATES = 256
PAGE_UPDATES_PER_ADDRESS = 8
"""Updates of the explorer that a process has open: a page without one asks every two seconds instead."""
TABLE_UPDATES = 8
"""The same of the table of connections, for operators."""


class Parts:
    """What one process is made of, and who calls whom in it."""

    def __init__(self, settings: Settings, definitions: Definitions, log: EventLog, clock: Clock | None = None) -> None:
        self.settings = settings
        self.current = Current(definitions)
        self.clock = clock or SystemClock()
        self.log = log
        self.hub = Hub(log, definitions.catalog.by_timestamp, self.clock, settings.of(HubOptions))
        self.describing = describing(log, self.streams_in_force, self.current.describe)
        self.declared = definitions
        """What was put in force last, before any name of a derived stream was held back."""
        self.declared_anew = asyncio.Event()
        self.succession = Succession(log, self.clock)
        self.watch = LagWatch(log, self.hub.reading)
        cache = BlockCache(settings.block_cache_bytes)
        self.broadcast = Broadcast(self.hub, cache, self.clock, settings.heartbeat)
        self.past = Past(log, settings.replay_readers, settings.replay_cache_bytes)
        self.hub.deliver, self.hub.renew = self.broadcast.deliver, self.broadcast.renew
        self.hub.listeners = self.broadcast.listeners
        self.counting = Counting(log, self.past, self.clock, settings.of(CountOptions))
        self.hub.losses.memories += [lambda lost: cache.clear(), self.past.forget, self.counting.forget]
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
        bounds = settings.of(RequestBounds)
        self.keyring = Keyring(Fetcher(), self.clock, settings.jwks_refresh)
        self.keyring.use(definitions.trust)
        self.gate = Gate(lambda: self.current.trust, self.keyring, self.clock)
        self.public_viewers = Bearers(self.gate, self.current)
        self.all_viewers = Everyone(lambda: self.current.catalog, EVERYTHING)
        self.limiter = open_limits(settings, self.clock)
        self.admission = open_admission(settings, self.limiter)
        self.updates = Updates(PAGE_UPDATES, PAGE_UPDATES_PER_ADDRESS, self.admission.address)
        self.table_updates = Updates(TABLE_UPDATES, TABLE_UPDATES, lambda scope: visitor(scope).address)
        settling = settings.of(SettleOptions)
        self.streams = StreamEndpoint(services, self.public_viewers, bounds, self.admission, settling, self._schemas)
        self.all_streams = StreamEndpoint(services, self.all_viewers, bounds, schemas=self._schemas)
        self.views = Views(directory_of(settings.of(ViewOptions), settings.log), lambda: self.current.definitions.views)
        view_services = ViewServices(
            self.hub,
            self.views,
            self.clock,
            settings.heartbeat,
            settings.retry,
            settings.max_connection_age,
            held=self.held,
        )
        followed = ViewStreams(view_services, bounds, self.admission)
        self.public_views = ViewEndpoint(view_services, self.public_viewers, settling, followed, self.admission)
        self.all_views = ViewEndpoint(view_services, self.all_viewers, settling, ViewStreams(view_services, bounds))
        self.claims, keys = open_claims(settings, log, self.clock)
        self.intake = Intake(self.hub, self.current, self.clock, settings.of(IntakeOptions), self.claims, keys)
        self.hub.observe = self.intake.observe
        self.tracer = open_tracer(settings.tracing, settings.tracing_ratio)
        self.server: GatewayServer | None = None
        """That of the public port, while it runs."""
        self.draining = False
        self.background = Background()
        self.surveyor = Surveyor(self.hub)
        self.absent = AbsentTopics(
            self.hub,
            log,
            lambda: self.current.catalog.streams,
            lambda: written_streams(settings, self.current.catalog.streams),
        )
        self.trials = Trials(log, self.clock)

    def streams_in_force(self) -> Iterable[Stream]:
        """All streams, as they are now."""
        return self.current.catalog.streams.values()

    def _schemas(self) -> SchemaRepository:
        return self.current.schemas
