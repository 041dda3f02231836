"""Makes the parts that the settings name."""

from __future__ import annotations

import hashlib
from pathlib import Path

from gateway.access.signed import Rules
from gateway.access.static import read_static_tokens
from gateway.access.trust import Terms, load_trust
from gateway.claims.book import Book
from gateway.claims.memory import MemoryClaims
from gateway.claims.port import Claims, Keys
from gateway.claims.sqlite import SqliteClaims
from gateway.clock import Clock, SystemClock
from gateway.definitions import Definitions
from gateway.derive.check import check_derivations
from gateway.errors import ConfigurationError
from gateway.eventlog.open import open_log as open_eventlog
from gateway.eventlog.open import servers
from gateway.eventlog.port import EventLog
from gateway.eventlog.sqlite.log import SqliteLog
from gateway.intake.canary import missing_canaries
from gateway.limits.networks import Amounts, Networks, Policies, read_special
from gateway.limits.open import MEMORY
from gateway.limits.open import open_limits as open_limiter
from gateway.limits.port import Limiter
from gateway.model.position import Ids, PositionEncoder
from gateway.model.record import TopicPartition
from gateway.routes.admission import Admission
from gateway.routes.peer import HEADERS
from gateway.rules.check import check_rules, open_dead
from gateway.schemas.repository import SchemaRepository, check_streams
from gateway.server.connections import ConnectionBounds
from gateway.settings.configuration import Configured
from gateway.settings.table import BY_KEY, Settings


def open_log(settings: Settings) -> EventLog:
    """The log that the settings name."""
    return open_eventlog(settings.log, settings.kafka, settings.idempotency_window, settings.idempotency_events)


def open_claims(settings: Settings, log: EventLog, clock: Clock) -> tuple[Claims | None, Keys | None]:
    """The claims that gateways share, with the bodies of Idempotency-Keys: in Redis if they have one, else in a file
    of the workers. The embedded log has claims of its own. A process that shares its log with nobody needs none."""
    if isinstance(log, SqliteLog):
        return None, log
    window, maximum = settings.idempotency_window, settings.idempotency_events
    if not window or not maximum:
        return None, None
    # Of one log alone: what is stored in one is not stored in another.
    brokers = ",".join(sorted(servers(settings.log)))
    name = hashlib.blake2b(brokers.encode(), digest_size=4).hexdigest()
    claims: Claims
    if settings.limits != MEMORY:
        from gateway.claims.redis import RedisClaims

        claims = RedisClaims(settings.limits, window, maximum, clock, f"{settings.limits_prefix}:{name}")
    elif settings.workers > 1:
        path = Path("var") / f"claims-{name}.db"
        claims = SqliteClaims(path, window, maximum, sure=not settings.other_gateways)
    elif settings.other_gateways:
        claims = MemoryClaims(Book(window, maximum), clock, sure=False)
    else:
        return None, None
    return claims, claims


def open_limits(settings: Settings, clock: Clock) -> Limiter:
    """Where the limits are counted."""
    closed = settings.limits_away == "closed"
    return open_limiter(settings.limits, settings.limits_prefix, closed, settings.limit_streams, clock)


def open_admission(settings: Settings, limiter: Limiter) -> Admission:
    """The gate that the settings describe."""
    amounts = Amounts(
        settings.limit_streams_per_address,
        settings.limit_filters,
        settings.limit_connects,
        settings.limit_intake,
        settings.limit_replay,
        settings.limit_requests,
    )
    special = read_special(settings.limit_networks, amounts)
    policies = Policies(Networks(settings.exempt_networks), special, amounts.policy())
    return Admission(limiter, policies, Networks(settings.trusted_proxies), HEADERS[settings.forwarded_header])


def open_schemas(settings: Settings) -> SchemaRepository:
    """The schemas of the repositories; none where nobody has named one and the default is not there. Raises
    ConfigurationError."""
    return SchemaRepository(_repositories(settings))


def _repositories(settings: Settings) -> tuple[str, ...]:
    directories = settings.schema_repositories
    if directories == BY_KEY["schema_repositories"].default:
        return tuple(directory for directory in directories if Path(directory).is_dir())
    return directories


def define(configured: Configured) -> tuple[Definitions, list[str]]:
    """The streams and schemas of a configuration, checked together, and what may not be meant. Raises
    ConfigurationError."""
    try:
        schemas = open_schemas(configured.settings)
    except OSError as error:
        raise ConfigurationError([f"{error.filename}: the file cannot be read ({error.strerror})"]) from error
    settings = configured.settings
    trust, notes = load_trust(read_static_tokens(settings.static_tokens), settings.jwks, token_terms(settings))
    missing = check_streams(configured.catalog, schemas, configured.places)
    derived = check_derivations(configured.catalog, schemas, configured.places, settings.error_stream)
    warnings = [
        *configured.warnings,
        *notes,
        *schemas.warnings,
        *missing_canaries(configured.catalog, schemas, SystemClock().now()),
        *_long_ids(configured),
        *_open_errors(configured),
        *derived.warnings,
    ]
    if derived.mistakes:
        raise ConfigurationError([*missing, *derived.mistakes])
    if missing and _repositories(settings):
        raise ConfigurationError(missing)
    definitions = Definitions(configured.catalog, schemas, settings.error_stream, trust, settings.report_stream)
    if mistakes := check_rules(configured.rules, definitions, SystemClock().now(), str(settings.config)):
        raise ConfigurationError(mistakes)
    warnings += open_dead(configured.rules, definitions, str(settings.config))
    # Without any repository streams can be read all the same.
    return definitions, warnings + missing


def _open_errors(configured: Configured) -> list[str]:
    """Private streams whose invalid events would be public, with all that is in them."""
    streams, warnings = configured.catalog.streams, []
    for stream in streams.values():
        name = stream.error_stream or configured.settings.error_stream
        if not stream.public and stream.schema_title is not None and name is not None and streams[name].public:
            place = configured.places.get((stream.name, "error_stream"), stream.name)
            warnings.append(
                f"{place}: the stream {stream.name} is private, and its invalid events go to {name}, which is public; "
                f"set `public: false` on it, or choose another error_stream"
            )
    return warnings


def _long_ids(configured: Configured) -> list[str]:
    """Streams that nobody could subscribe to, since an id that holds all their partitions might not be read."""
    settings, warnings = configured.settings, []
    for stream in configured.catalog.streams.values():
        partitions = [TopicPartition(topic, number) for topic in stream.topics for number in range(stream.partitions)]
        longest = PositionEncoder(dict.fromkeys(partitions, False), ids=Ids("compact")).longest
        if longest > settings.last_event_id_max:
            place = configured.places.get((stream.name, "partitions"), stream.name)
            warnings.append(
                f"{place}: an id of {stream.name} may take {longest} bytes for {len(partitions)} partitions, more than "
                f"last_event_id_max ({settings.last_event_id_max}); subscriptions to it will be refused"
            )
    return warnings


def token_terms(settings: Settings) -> Terms:
    """The rules that verify tokens."""
    rules = Rules(
        # Without keys no token is held against them.
        settings.token_audience or "",
        settings.token_issuer or "",
        settings.token_algorithms,
        settings.token_clock_skew,
        settings.token_read_claim,
        settings.token_write_claim,
        settings.token_brief_lifetime,
    )
    return Terms(rules, settings.token_max_bytes, settings.token_cookie, settings.intake_token == "required")


def connection_bounds(settings: Settings) -> ConnectionBounds:
    """The bounds of a connection before its first request."""
    return ConnectionBounds(
        settings.waiting_connections,
        settings.head_timeout,
        settings.keep_alive,
        settings.request_line_max,
        settings.request_head_max,
        settings.request_headers_max,
    )
