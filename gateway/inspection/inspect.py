"""Inspects all that a configuration reaches: `gateway check --connect`. Everything at once, and each with a deadline.

Nothing is created or changed: no topic, no consumer group, no record, no file.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from urllib.parse import unquote

from gateway.app.composition import converting, long_id, written_streams
from gateway.catalog.stream import Stream
from gateway.cooperative import together
from gateway.definitions import Definitions
from gateway.errors import LogError
from gateway.eventlog.inspection import Inspectable
from gateway.eventlog.open import open_log
from gateway.inspection.report import Section
from gateway.inspection.services import (
    bounded,
    inspect_archive,
    inspect_keys,
    inspect_limits,
    inspect_registry,
    unexpected,
)
from gateway.inspection.topics import Asked, inspect_topics
from gateway.settings.configuration import Configured
from gateway.text import counted

SECONDS = 60.0
"""For each part. What it asks has shorter bounds; this is for very many topics."""


async def inspect(configured: Configured, definitions: Definitions) -> list[Section]:
    """What was found of each part."""
    settings, catalog = configured.settings, configured.catalog

    def place(key: str) -> str:
        found = configured.sources.get(key)
        return "" if found is None else f"{found}: "

    parts: list[tuple[str, Callable[[], Awaitable[Section]]]] = [
        ("Schema registry", partial(inspect_registry, settings, place("schema_registry"))),
        ("Redis", partial(inspect_limits, settings, place("limits"))),
        ("Keys of tokens", partial(inspect_keys, settings, place("jwks"))),
        ("Archive", partial(inspect_archive, settings, catalog, place("archive"))),
    ]
    log, others = await asyncio.gather(
        _inspect_log(configured, definitions, place),
        together(bounded(call, title, SECONDS) for title, call in parts),
    )
    return [*log, *others]


async def _inspect_log(configured: Configured, definitions: Definitions, place: Callable[[str], str]) -> list[Section]:
    settings = configured.settings
    section = Section(f"Log {settings.log}")
    if not settings.log.startswith("kafka://"):
        _embedded(section, Path(unquote(settings.log.removeprefix("sqlite:///"))), place("log"))
        return [section]
    stored = open_log(settings.log, settings.kafka, 0, 0)
    log = converting(stored, settings, configured.catalog)
    try:
        assert isinstance(stored, Inspectable)
        async with asyncio.timeout(SECONDS):
            await log.open()
            if not await _reach(section, stored, place):
                return [section]
            asked = Asked(
                definitions,
                stored,
                frozenset(written_streams(settings, configured.catalog.streams)),
                partial(_place, configured),
                partial(_longest, configured),
            )
            return [section, *await inspect_topics(stored, log, asked)]
    except LogError as error:
        section.wrong(f"{place('log')}{error}")
    except TimeoutError:
        section.wrong(f"{place('log')}Kafka does not answer within {SECONDS:g} s")
    except Exception as error:
        section.wrong(f"{place('log')}{unexpected(error)}")
    finally:
        await log.close()
    return [section]


async def _reach(section: Section, log: Inspectable, place: Callable[[str], str]) -> bool:
    """Whether any broker answers."""
    reached = await log.reach()
    for one in reached:
        if one.failure:
            section.wrong(f"{place('log')}{one.name}: {one.failure}")
        else:
            section.good(f"{one.name} answers")
    return any(not one.failure for one in reached)


def _place(configured: Configured, stream: str, key: str) -> str:
    """Where a key of a stream stands, or else where the stream is."""
    places = configured.places
    found = places.get((stream, key)) or next((place for (name, _), place in places.items() if name == stream), None)
    return f"{found}: " if found is not None else f"{stream}: "


def _longest(configured: Configured, stream: Stream, counts: Mapping[str, int]) -> str | None:
    return long_id(configured, stream, counts)


def _embedded(section: Section, path: Path, place: str) -> None:
    """The file of the embedded log is not opened: it may be in use, and opening it writes."""
    there = next((parent for parent in (path, *path.absolute().parents) if parent.exists()), Path("/"))
    if path.is_file():
        if os.access(path, os.R_OK | os.W_OK):
            section.good(f"the file is there ({counted(path.stat().st_size, 'byte')})")
        else:
            section.wrong(f"{place}{path} cannot be read and written by this user")
    elif path.exists() or not there.is_dir():
        section.wrong(f"{place}{there} is {'no regular file' if path.exists() else 'no directory'}")
    elif os.access(there, os.W_OK | os.X_OK):
        section.good("the file is made at the first start")
    else:
        section.wrong(f"{place}{there} cannot be written by this user")
