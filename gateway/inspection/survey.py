"""Surveys the topics of a Kafka for drafts: lists them, and looks at their newest records."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.catalog.catalog import glob_matches
from gateway.clock import SystemClock
from gateway.cooperative import together
from gateway.errors import LogError, LogUnavailable
from gateway.eventlog.inspection import Inspectable, Listed
from gateway.eventlog.port import EventLog
from gateway.forms.options import RegistryOptions
from gateway.forms.registry import NotRegistered, Registry, RegistryAway
from gateway.forms.request import RegistryRequests
from gateway.inspection.draft import Drafted
from gateway.inspection.recognize import FRAMED, common_form, frame_id, registered_form
from gateway.inspection.samples import newest
from gateway.text import counted

SAMPLES = 50
"""Newest records of a topic that a draft is made from."""
MOST_TOPICS = 500
"""Of more, some have to be named: each becomes a stream."""
AT_ONCE = 6


class NoTopics(LogError):
    """There is nothing to draft; the text says why."""


async def survey(log: EventLog, globs: Sequence[str], registry: RegistryOptions | None) -> tuple[list[Drafted], int]:
    """The topics that fit any of the patterns, by name, and how many do not. Internal ones are left out unless a
    pattern is their name. Raises LogUnavailable and NoTopics."""
    assert isinstance(log, Inspectable)
    await log.open()
    reached = await log.reach()
    if all(one.failure for one in reached):
        raise LogUnavailable("; ".join(f"{one.name}: {one.failure}" for one in reached))
    listed = {name: told for name, told in (await log.listed()).items() if isinstance(told, Listed)}
    there = {name: told for name, told in listed.items() if not told.internal or name in globs}
    chosen = {
        name: told
        for name, told in sorted(there.items())
        if not globs or any(glob_matches(glob, name) for glob in globs)
    }
    if not chosen:
        raise NoTopics(_nothing(globs, len(there)))
    if len(chosen) > MOST_TOPICS:
        raise NoTopics(
            f"{counted(len(chosen), 'topic')} are more than the {MOST_TOPICS} that are drafted at once; name some with "
            "--topics 'orders.*'"
        )
    permits = asyncio.Semaphore(AT_ONCE)
    schemas = None if registry is None else Registry(RegistryRequests(registry), SystemClock())

    async def looked(name: str, partitions: int) -> Drafted:
        async with permits:
            return await _draft(log, name, partitions, schemas)

    try:
        drafts = await together(looked(name, told.partitions) for name, told in chosen.items())
    finally:
        if schemas is not None:
            await schemas.close()
    return drafts, len(there) - len(chosen)


def _nothing(globs: Sequence[str], count: int) -> str:
    if not count:
        return "there are no topics, or none that the gateway may describe"
    return f"none of the {counted(count, 'topic')} fits {' or '.join(globs)}"


async def _draft(log: EventLog, name: str, partitions: int, schemas: Registry | None) -> Drafted:
    sample = await newest(log, name, partitions, SAMPLES)
    records = tuple(sample.records)
    form, others = common_form(records)
    if not records:
        if sample.trouble is not None:
            return Drafted(name, partitions, None, why=f"It could not be read: {sample.trouble}")
        return Drafted(name, partitions, "json", why="No records yet: its form is not known.")
    if form is None:
        what = "Its newest records hold no value." if all(record.value is None for record in records) else ""
        return Drafted(
            name, partitions, None, records, what or "Its records are no JSON objects, and of no known form."
        )
    why = f"Of its newest {counted(len(records), 'record')} {others} are of another form." if others else ""
    if form != FRAMED:
        return Drafted(name, partitions, form, records, why)
    found, trouble = await _registered(next(number for record in records if (number := frame_id(record))), schemas)
    return Drafted(name, partitions, found or FRAMED, records, trouble or why)


async def _registered(number: int, schemas: Registry | None) -> tuple[str | None, str]:
    """The form of what is written with a schema, or why it is not known."""
    if schemas is None:
        return None, "Its records have a schema registry's frame: run `gateway init` again with --registry URL."
    try:
        source = await schemas.source(number)
    except (NotRegistered, RegistryAway) as error:
        return None, f"The registry does not give schema {number}: {error or 'it does not have it'}."
    form = registered_form(source.kind)
    return form, "" if form else f"Its schema is of a kind that is not known ({source.kind})."
