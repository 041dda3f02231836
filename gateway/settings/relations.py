"""The settings that have to fit together."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.archive.threads import HELD_BYTES as ARCHIVE_READER_BYTES
from gateway.definitions import Definitions
from gateway.derive.operator import DeriveBounds
from gateway.settings.table import Settings

ORDERED = (
    ("heartbeat", "max_connection_age", "a stream must last until it has sent its position"),
    ("keep_alive", "head_timeout", "a connection that is kept for a request waits for its head"),
    ("request_line_max", "request_head_max", "the first line is a part of the head"),
    ("last_event_id_max", "request_head_max", "the id comes in the head"),
    ("filter_max_length", "request_line_max", "the filter comes in the first line"),
)
"""Pairs of settings of which the first has to be less than the second, where that is not 0; and why."""


BASE_BYTES = 100 << 20
"""Bytes that a process uses without any client or event."""
CONNECTION_BYTES = 8400
READER_BYTES = 5 << 20
"""Bytes that one reader of history may hold: records that wait to be merged, its history segment, and records
fetched ahead."""
PARSED_FACTOR = 25
"""Bytes that an event takes for each byte of its JSON once it is parsed, at the worst."""
PARSED_KEPT = 24 << 20
"""Bytes of parsed events of the past: those that are kept, and those of the history segment that is being made."""
ID_BYTES = 240
"""Bytes held for an event that may be sent again: its stored id and, in the embedded log, its claim."""
PROCESSING_BYTES = 80 << 20
"""Bytes that the process for derived streams and rules uses before it reads anything."""
HELD_BYTES = 1_200
"""Bytes for each group, event or row that a derived stream holds, beside its values."""
HELD_FACTOR = 4
"""Bytes for each byte that counts for `derive_held_bytes`: as it is stored, and those of its members that are read."""
READ_BYTES = 40 << 20
"""Bytes of a topic, decoded, that is read for all streams that are derived of it."""
RULE_BYTES = 200 << 20
"""Bytes of a rule: events in hand, those of its own topics, and the keys of those that wait for another try."""
BUILDING_BYTES = 200 << 20
"""Bytes of a view that is built: pages of its file, records in hand, one transaction, and a merged value that is
parsed."""
VIEW_BYTES = 30 << 20
"""Bytes of a view in each process that serves it: pages of its file for each thread, and frames that followers share.
What they hold themselves counts for `session_bytes`."""
ARCHIVE_BYTES = 100 << 20
"""Bytes of the libraries that read archives, and their buffers."""
ARCHIVING_BYTES = 60 << 20
"""Bytes of a stream that is archived: a row group as it was read, parsed and in columns, and what is not yet stored."""
CACHES = ("ring_bytes", "block_cache_bytes", "replay_cache_bytes", "session_bytes", "intake_queue_bytes")


def memory_bound(settings: Settings) -> int:
    """The bytes that a process uses at most, roughly. They are the sum of caches, data in transit, readers of
    history, ids of events that may be sent again, parsed events, and archives. Parsed are a body of events, one event
    that is read, and one that a filter judges, each as large as the intake accepts. Each connection adds
    CONNECTION_BYTES."""
    caches: int = sum(getattr(settings, key) for key in CACHES)
    parsed = PARSED_FACTOR * (settings.intake_max_bytes + 2 * settings.intake_event_max_bytes) + PARSED_KEPT
    ids = settings.idempotency_events * ID_BYTES if settings.idempotency_window else 0
    archive = ARCHIVE_BYTES + settings.replay_readers * ARCHIVE_READER_BYTES if settings.archive is not None else 0
    return archive + BASE_BYTES + caches + settings.replay_readers * READER_BYTES + parsed + ids


def processing_bound(settings: Settings, definitions: Definitions) -> int:
    """The bytes that the process for derived streams, rules, views and archives uses at most, roughly; 0 if there is
    none beside the servers."""
    streams = definitions.catalog.streams
    derived = [stream.derive for stream in streams.values() if stream.derive is not None]
    rules = {name for names in definitions.rules.values() for name in names}
    views = len(definitions.views)
    archived = sum(stream.archive for stream in streams.values())
    if settings.processing != "beside" or not (derived or rules or views or archived):
        return 0
    bounds = settings.of(DeriveBounds)
    held = bounds.derive_held * HELD_BYTES + bounds.derive_held_bytes * HELD_FACTOR
    topics = {topic for derivation in derived for name in derivation.inputs for topic in streams[name].topics}
    streaming = len(derived) * held + len(topics) * READ_BYTES + len(rules) * RULE_BYTES
    archiving = ARCHIVE_BYTES + archived * ARCHIVING_BYTES if archived else 0
    return PROCESSING_BYTES + streaming + archiving + views * BUILDING_BYTES


def told_memory(
    settings: Settings, limit: int | None, definitions: Definitions | None = None
) -> tuple[str, str | None]:
    """The report on memory at startup and in `gateway check`, and a hint if the machine (bytes) has less."""
    one = memory_bound(settings) + (0 if definitions is None else len(definitions.views) * VIEW_BYTES)
    processing = 0 if definitions is None else processing_bound(settings, definitions)
    every = one * settings.workers + processing
    lower = [*CACHES, "workers"]
    told = f"a process uses at most about {one >> 20} MB of memory, and 8.4 KB a connection"
    if settings.workers > 1:
        told += f"; {settings.workers} workers use at most {one * settings.workers >> 20} MB"
    if processing:
        told += f"; derived streams, rules, views and archives use at most about {processing >> 20} MB"
        told += " in a process of their own"
        lower += ["derive_held", "derive_held_bytes"]
    if limit is None or every <= limit:
        return told, None
    return told, (
        f"the settings allow about {every >> 20} MB of memory, and this machine or its control group has "
        f"{limit >> 20} MB: lower {', '.join(lower[:-1])} or {lower[-1]}, or give it more"
    )


def misfits(settings: Settings, places: Mapping[str, str]) -> list[str]:
    """Settings that do not fit together, told at the one that was given."""
    mistakes = []

    def place(*keys: str) -> str:
        return next((places[key] for key in keys if key in places), "default")

    if settings.flush_bytes > settings.ring_bytes:
        mistakes.append(
            f"{place('flush_bytes', 'ring_bytes')}: flush_bytes ({settings.flush_bytes}) is more than ring_bytes "
            f"({settings.ring_bytes}); one flush has to fit into the ring"
        )
    if settings.intake_queue_bytes < settings.intake_max_bytes:
        mistakes.append(
            f"{place('intake_queue_bytes', 'intake_max_bytes')}: intake_queue_bytes ({settings.intake_queue_bytes}) is "
            f"less than intake_max_bytes ({settings.intake_max_bytes}); one body has to fit"
        )
    if settings.jwks is not None and (settings.token_audience is None or settings.token_issuer is None):
        mistakes.append(
            f"{place('jwks')}: jwks needs token_audience and token_issuer: without them, tokens that are meant for "
            "others would be accepted"
        )
    if settings.token_read_claim == settings.token_write_claim:
        mistakes.append(
            f"{place('token_write_claim', 'token_read_claim')}: token_read_claim and token_write_claim are both "
            f"{settings.token_read_claim}; every reader could write"
        )
    if settings.intake_token == "required" and settings.jwks is None and not settings.static_tokens:
        mistakes.append(
            f"{place('intake_token')}: intake_token is required, and no token would be accepted; set static_tokens "
            "or jwks"
        )
    if settings.flush_interval >= settings.heartbeat:
        mistakes.append(
            f"{place('flush_interval', 'heartbeat')}: flush_interval ({settings.flush_interval:g} s) is not less than "
            f"heartbeat ({settings.heartbeat:g} s); make it a small part of it"
        )
    for less, more, why in ORDERED:
        low, high = getattr(settings, less), getattr(settings, more)
        if low >= high > 0:
            mistakes.append(f"{place(less, more)}: {less} ({low:g}) is not less than {more} ({high:g}); {why}")
    if settings.intake_event_max_bytes > settings.intake_max_bytes:
        mistakes.append(
            f"{place('intake_event_max_bytes', 'intake_max_bytes')}: intake_event_max_bytes "
            f"({settings.intake_event_max_bytes}) is more than intake_max_bytes ({settings.intake_max_bytes}); a "
            "body must hold an event"
        )
    if settings.port == settings.admin_port != 0 and settings.host == settings.admin_host:
        mistakes.append(
            f"{place('admin_port', 'port')}: port and admin_port are both {settings.port}; metrics need a port of "
            "their own"
        )
    return mistakes
