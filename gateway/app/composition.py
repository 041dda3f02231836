"""Makes the parts that the settings name."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from gateway.access.signed import Rules
from gateway.access.static import read_static_tokens
from gateway.access.trust import Terms, load_trust
from gateway.archive.log import ArchivedLog
from gateway.archive.open import EXTRA, missing_libraries, open_archive
from gateway.archive.options import ArchiveOptions
from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
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
from gateway.forms.check import check_forms
from gateway.forms.convert import forms_of
from gateway.forms.describing import Describing
from gateway.forms.log import ConvertingLog
from gateway.forms.options import read_registry
from gateway.forms.registry import Registry, without_registry
from gateway.forms.request import RegistryRequests
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
from gateway.schemas.repository import Described, SchemaRepository, check_streams
from gateway.settings.configuration import Configured
from gateway.settings.table import BY_KEY, Settings
from gateway.state.check import check_views

DESCRIBED_WAIT = 15.0
"""Seconds for which a command waits for the schemas of a registry."""


def open_log(settings: Settings, catalog: Catalog | None = None) -> EventLog:
    """The log that the settings name. With a catalogue the values of its streams are JSON, and it reaches back into
    their archives. An embedded log deletes nothing of them that is not archived yet."""
    log = open_eventlog(settings.log, settings.kafka, settings.idempotency_window, settings.idempotency_events)
    if catalog is None:
        return log
    read = converting(log, settings, catalog)
    if settings.archive is None:
        return read
    archived = ArchivedLog(read, partial(open_archive, settings.of(ArchiveOptions)))
    archived.follow(catalog)
    if isinstance(log, SqliteLog):
        log.kept = archived.archived
    return archived


def converts(settings: Settings, catalog: Catalog) -> bool:
    """Whether a process that begins with these reads other forms than JSON."""
    return bool(settings.schema_registry) or bool(forms_of(catalog.streams.values()))


def converting(log: EventLog, settings: Settings, catalog: Catalog) -> EventLog:
    """The log, with the values of streams of other forms as JSON; the log itself where there can be none."""
    if not converts(settings, catalog):
        return log
    options = read_registry(settings.schema_registry)
    get = without_registry if options is None else RegistryRequests(options)
    return ConvertingLog(log, catalog.streams.values(), Registry(get, SystemClock()))


def describing(
    log: EventLog, streams: Callable[[], Iterable[Stream]], put: Callable[[Mapping[str, Described]], None]
) -> Describing | None:
    """What tells `put` the schemas that a registry has for these streams, by their names; None without a registry."""
    log = log_itself(log)
    return Describing(log.registry, streams, put) if isinstance(log, ConvertingLog) else None


async def with_registered(schemas: SchemaRepository, log: EventLog, catalog: Catalog) -> SchemaRepository:
    """The schemas for a command that ends by itself, with those of a registry if it answers soon."""
    found: dict[str, Described] = {}
    look = describing(log, catalog.streams.values, found.update)
    if look is not None:
        with suppress(TimeoutError):
            async with asyncio.timeout(DESCRIBED_WAIT):
                await look.look()
    return schemas.with_registered(found)


def reach_back(log: EventLog, catalog: Catalog) -> None:
    """Let a log that is open read the forms of these streams, and reach back into their archives."""
    if isinstance(log, ArchivedLog):
        log.follow(catalog)
        log = log.log
    if isinstance(log, ConvertingLog):
        log.use(catalog.streams.values())


def log_itself(log: EventLog) -> EventLog:
    """The log without its archives."""
    return log.log if isinstance(log, ArchivedLog) else log


def stored_in(log: EventLog) -> EventLog:
    """The adapter beneath."""
    log = log_itself(log)
    return log.inner if isinstance(log, ConvertingLog) else log


def open_claims(settings: Settings, log: EventLog, clock: Clock) -> tuple[Claims | None, Keys | None]:
    """The claims that gateways share, with the bodies of Idempotency-Keys: in Redis if they have one, else in a file
    of the workers. The embedded log has claims of its own. A process that shares its log with nobody needs none."""
    if isinstance(log := stored_in(log), SqliteLog):
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
    ConfigurationError. No message repeats what the configuration hides."""
    hide = configured.secrets.hide
    try:
        definitions, warnings = _define(configured)
    except ConfigurationError as error:
        raise ConfigurationError(hide(error.mistakes)) from None
    return definitions, hide(warnings)


def _define(configured: Configured) -> tuple[Definitions, list[str]]:
    try:
        schemas = open_schemas(configured.settings)
    except OSError as error:
        raise ConfigurationError([f"{error.filename}: the file cannot be read ({error.strerror})"]) from error
    settings = configured.settings
    trust, notes = load_trust(read_static_tokens(settings.static_tokens), settings.jwks, token_terms(settings))
    forms = check_forms(configured.catalog, configured.places, bool(settings.schema_registry))
    missing = check_streams(configured.catalog, schemas, configured.places)
    if mistakes := [*_archive_mistakes(configured), *forms]:
        raise ConfigurationError([*mistakes, *(missing if _repositories(settings) else [])])
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
    definitions = Definitions(
        configured.catalog,
        schemas,
        settings.error_stream,
        trust,
        settings.report_stream,
        views=configured.views,
        rules=_readers(configured),
    )
    mistakes = check_rules(configured.rules, definitions, SystemClock().now(), str(settings.config))
    if mistakes := mistakes + check_views(configured.views, definitions, settings.config):
        raise ConfigurationError(mistakes)
    warnings += open_dead(configured.rules, definitions, str(settings.config))
    # Without any repository streams can be read all the same.
    return definitions, warnings + missing


def _archive_mistakes(configured: Configured) -> list[str]:
    """Streams that are to be archived, and cannot be."""
    streams = [stream for stream in configured.catalog.streams.values() if stream.archive]
    places = [configured.places.get((stream.name, "archive" if stream.keep is None else "keep")) for stream in streams]
    named = [f"{place + ': ' if place else ''}{one.name}" for one, place in zip(streams, places, strict=True)]
    if named and configured.settings.archive is None:
        return [f"{name} is to be archived, and no place is set; set archive, such as var/archive" for name in named]
    if named and (missing := missing_libraries()):
        command = f"pip install 'event-gateway[{EXTRA}]'"
        return [f"{named[0]} is to be archived, and {' and '.join(missing)} are not installed: {command}"]
    return []


def _readers(configured: Configured) -> dict[str, tuple[str, ...]]:
    """The rules that read a stream, by its name."""
    readers: dict[str, tuple[str, ...]] = {}
    for rule in configured.rules:
        for name in rule.sources:
            readers[name] = (*readers.get(name, ()), rule.name)
    return readers


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
    streams = configured.catalog.streams.values()
    told = (long_id(configured, stream, dict.fromkeys(stream.topics, stream.partitions)) for stream in streams)
    return [warning for warning in told if warning is not None]


def written_streams(settings: Settings, streams: Mapping[str, Stream]) -> set[str]:
    """The streams that the gateway itself stores events in."""
    names = {name for name, stream in streams.items() if stream.derive is not None}
    if settings.intake != "off":
        taken = {name for name, stream in streams.items() if stream.schema_title is not None and stream.derive is None}
        dead = (streams[name].error_stream or settings.error_stream for name in taken)
        names |= taken | {name for name in (*dead, settings.report_stream) if name is not None}
    return names


def long_id(configured: Configured, stream: Stream, counts: Mapping[str, int]) -> str | None:
    """What is wrong with the ids of a stream whose topics have so many partitions; None if nothing is."""
    most = configured.settings.last_event_id_max
    partitions = [TopicPartition(topic, number) for topic, count in counts.items() for number in range(count)]
    longest = PositionEncoder(dict.fromkeys(partitions, False), ids=Ids("compact")).longest
    if longest <= most:
        return None
    place = configured.places.get((stream.name, "partitions"), stream.name)
    return (
        f"{place}: an id of {stream.name} may take {longest} bytes for {len(partitions)} partitions, more than "
        f"last_event_id_max ({most}); subscriptions to it will be refused"
    )


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
