"""Inspects what the gateway needs beside its log: schema registry, Redis, keys of tokens, the place of archives."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from gateway.access.fetch import Fetcher
from gateway.access.keys import read_keys
from gateway.archive.open import missing_libraries, open_archive, table_uri
from gateway.archive.options import ArchiveOptions
from gateway.catalog.catalog import Catalog
from gateway.errors import KeysUnavailable, LogError
from gateway.forms.options import read_registry
from gateway.forms.registry import NotRegistered, RegistryAway
from gateway.forms.request import RegistryRequests
from gateway.inspection.report import Section
from gateway.limits.open import MEMORY
from gateway.outbound.threads import apart
from gateway.settings.table import Settings
from gateway.text import counted, printable

NOBODY = "/subjects/gateway-check/versions/1"
"""A subject that no registry has: the answer shows that it is one."""
ARCHIVE_SECONDS = 20.0
"""For the tables of all archives: their libraries have bounds of their own for each request."""
STORE_CHARACTERS = 500
"""Of what an object store, or a library, says."""
_STORE = (
    ("NoSuchBucket", "there is no such bucket"),
    ("InvalidAccessKeyId", "the store does not know the access key"),
    ("SignatureDoesNotMatch", "the store refuses the secret key"),
    ("ExpiredToken", "the credentials have expired"),
    ("AccessDenied", "the credentials may not read there; the archive needs to list, read, write and delete"),
    ("403 Forbidden", "the credentials may not read there; the archive needs to list, read, write and delete"),
    ("incorrectly configured region", "the bucket is in another region: see archive_options"),
    ("invalid list response", "what answers there is no object store"),
    ("client error (Connect)", "the store cannot be reached: see archive_options"),
)
"""Words of object stores and of the library that asks them, and what they mean."""


async def inspect_registry(settings: Settings, place: str) -> Section:
    """Whether the registry answers, as one."""
    options = read_registry(settings.schema_registry)
    if options is None:
        return Section("")
    section = Section(f"Schema registry {options.url}")
    try:
        await RegistryRequests(options)(NOBODY)
    except NotRegistered:
        section.good("it answers")
    except RegistryAway as error:
        section.wrong(f"{place}{error}")
    else:
        section.good("it answers")
    return section


async def inspect_limits(settings: Settings, place: str) -> Section:
    """Whether Redis answers, and lets the gateway run its scripts."""
    if settings.limits == MEMORY:
        return Section("")
    from gateway.outbound.scripted_redis import RedisAway, ScriptedRedis

    section = Section(f"Redis {_without_password(settings.limits)}")
    why = ["it does not answer"]
    redis = ScriptedRedis(settings.limits, lambda available, reason: why.append(reason))
    try:
        await redis.ask("return 1", [f"{{{settings.limits_prefix}}}:check"], [])
        section.good("it answers, and runs scripts")
    except RedisAway:
        section.wrong(f"{place}Redis cannot be used: {why[-1]}")
    finally:
        await redis.close()
    return section


async def inspect_keys(settings: Settings, place: str) -> Section:
    """Whether the keys of tokens can be fetched, and used. Those of a file are read with the configuration."""
    url = settings.jwks
    if url is None or not url.startswith(("http://", "https://")):
        return Section("")
    section = Section(f"Keys of tokens {_without_password(url)}")
    try:
        keys = read_keys(await Fetcher()(url), settings.token_algorithms)
    except KeysUnavailable as error:
        section.wrong(f"{place}{error}")
    except ValueError as error:
        section.wrong(f"{place}the keys (jwks): {error}")
    else:
        section.good(f"{counted(len(keys.ids), 'key')} for {', '.join(settings.token_algorithms)}")
        for note in keys.notes:
            section.noted(note)
    return section


async def inspect_archive(settings: Settings, catalog: Catalog, place: str) -> Section:
    """Whether the tables of archives can be read; of a directory, whether it can be written."""
    names = [stream.name for stream in catalog.streams.values() if stream.archive]
    if settings.archive is None or not names or missing_libraries():
        return Section("")
    section = Section(f"Archive {settings.archive}")
    first = table_uri(settings.archive, names[0])
    if "://" not in first and (fault := _unwritable(Path(first).parent)) is not None:
        section.wrong(f"{place}archive: {fault}")
        return section
    options = settings.of(ArchiveOptions)

    def read(name: str) -> str:
        archive = open_archive(options, name)
        archive.refresh()
        files = len(archive.table.rows())
        return f"{name}: {counted(files, 'file')}" if archive.table.version >= 0 else f"{name}: no table yet"

    try:
        async with asyncio.timeout(ARCHIVE_SECONDS):
            for name in names:
                try:
                    section.good(await apart(partial(read, name)))
                except LogError as error:
                    section.wrong(f"{place}{name}: {told_by_store(str(error))}")
    except TimeoutError:
        section.wrong(f"{place}the archive does not answer within {ARCHIVE_SECONDS:g} s")
    return section


def told_by_store(text: str) -> str:
    """What an object store said, short enough to be read, and what it means for who configures it."""
    meaning = next((meaning for word, meaning in _STORE if word in text), None)
    said = printable(text)
    said = said if len(said) <= STORE_CHARACTERS else f"{said[:STORE_CHARACTERS]}…"
    return said if meaning is None else f"{meaning}. {said}"


def _unwritable(path: Path) -> str | None:
    there = next((parent for parent in (path, *path.resolve().parents) if parent.exists()), path)
    if not there.is_dir():
        return f"{there} is no directory"
    if not os.access(there, os.W_OK | os.X_OK):
        return f"{there} cannot be written by this user"
    return None


def _without_password(url: str) -> str:
    """An address without its user, and without its query, where some put a key."""
    parts = urlsplit(url)
    where = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{where}{parts.path}"


async def bounded(call: Callable[[], Awaitable[Section]], title: str, seconds: float) -> Section:
    """What an inspection finds within so many seconds; a mistake of our own, or of a library, is one line of it."""
    section = Section(title)
    try:
        async with asyncio.timeout(seconds):
            return await call()
    except TimeoutError:
        section.wrong(f"no answer within {seconds:g} s")
    except Exception as error:
        section.wrong(unexpected(error))
    return section


def unexpected(error: Exception) -> str:
    """An error that nobody has foreseen, on one line."""
    return printable(f"it could not be inspected ({type(error).__name__}: {error})")[:STORE_CHARACTERS]
