"""The parts of a process, made from its settings."""

from __future__ import annotations

from gateway.access.fetch import Fetcher
from gateway.access.gate import Gate
from gateway.access.grant import EVERYTHING
from gateway.access.keyring import Keyring
from gateway.app.background import Background
from gateway.app.composition import open_admission, open_claims, open_limits
from gateway.clock import Clock, SystemClock
from gateway.definitions import Current, Definitions
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
from gateway.routes.parameters import RequestBounds
from gateway.routes.streams import StreamEndpoint
from gateway.routes.survey import Surveyor
from gateway.server.server import GatewayServer
from gateway.settings.table import Settings
from gateway.subscription.services import Services


class Parts:
    """What one process is made of, and who calls whom in it."""

    def __init__(self, settings: Settings, definitions: Definitions, log: EventLog, clock: Clock | None = None) -> None:
        self.settings = settings
        self.current = Current(definitions)
        self.log = log
        self.clock = clock or SystemClock()
        self.hub = Hub(log, definitions.catalog.by_timestamp, self.clock, settings.of(HubOptions))
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
        bounds = settings.of(RequestBounds)
        self.keyring = Keyring(Fetcher(), self.clock, settings.jwks_refresh)
        self.keyring.use(definitions.trust)
        self.gate = Gate(lambda: self.current.trust, self.keyring, self.clock)
        self.public_viewers = Bearers(self.gate, self.current)
        self.all_viewers = Everyone(lambda: self.current.catalog, EVERYTHING)
        self.limiter = open_limits(settings, self.clock)
        self.admission = open_admission(settings, self.limiter)
        self.streams = StreamEndpoint(services, self.public_viewers, bounds, self.admission)
        self.all_streams = StreamEndpoint(services, self.all_viewers, bounds)
        self.claims, keys = open_claims(settings, log, self.clock)
        self.intake = Intake(self.hub, self.current, self.clock, settings.of(IntakeOptions), self.claims, keys)
        self.hub.observe = self.intake.observe
        self.tracer = open_tracer(settings.tracing, settings.tracing_ratio)
        self.server: GatewayServer | None = None
        """That of the public port, while it runs."""
        self.draining = False
        self.background = Background()
        self.surveyor = Surveyor(self.hub)
