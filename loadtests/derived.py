"""The derived streams that are measured, what they read, and the schema of their rows."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import orjson

from gateway.catalog.load import load
from gateway.definitions import Definitions
from gateway.demo.wiki import WikiSample
from gateway.model.record import Record, TopicPartition
from gateway.schemas.repository import SchemaRepository
from gateway.times import iso_time

SOURCE, STATE = "wiki.change", "wiki.page-state"
WIKIS = ("enwiki", "dewiki", "frwiki", "wikidatawiki", "commonswiki", "eswiki", "ruwiki")
FIRST_TIME, STEP, DISORDER = 1_767_225_600_000, 60, 5_000
"""Milliseconds: about 17 events a second of event time, up to so much behind."""
BATCH = 2_000
TARGETS = {"edits (i)": 60_000, "minutes (ii)": 35_000, "busy users (iii)": 35_000, "lookup (iv)": 35_000}
"""Events a second of a core, with the log; without one it has to be more."""

TASKS = {
    "edits (i)": "edits",
    "minutes (ii)": "minutes",
    "busy users (iii)": "busy",
    "lookup (iv)": "lookup",
    "hops": "hops",
    "sessions": "visits",
    "dedup": "once",
}
LONG = {"days (ii)": "days", "last day (iii)": "day"}
"""Whose windows are longer than all events take: a start reads all of them again."""

CONFIGURATION = """\
streams:
  wiki.change: {message_key_fields: [wiki]}
  wiki.page-state: {message_key_fields: [wiki, title]}
  edits:
    schema_title: row
    derive:
      from: [wiki.change]
      where: event.wiki == "enwiki" && event.type == "edit" && !event.bot
      select:
        title: event.title
        user: event.user
        revision: event.revision.new
        delta: event.length.new - event.length.old
  minutes:
    schema_title: row
    derive:
      from: [wiki.change]
      where: event.type == "edit"
      by: {wiki: event.wiki}
      window: {every: 1m}
      select: {edits: count(), bots: count(event.bot), grown: sum(event.length.new - event.length.old)}
  hops:
    schema_title: row
    derive:
      from: [wiki.change]
      by: {wiki: event.wiki}
      window: {size: 5m, every: 1m}
      select: {edits: count(), grown: sum(event.length.new - event.length.old)}
  visits:
    schema_title: row
    derive:
      from: [wiki.change]
      by: {user: event.user}
      window: {gap: 5m}
      select: {edits: count()}
  busy:
    schema_title: row
    derive:
      from: [wiki.change]
      by: {user: event.user}
      window: {last: 10m}
      select: {edits: count()}
      having: row.edits > 20
  once:
    derive: {from: [wiki.change], dedup: {by: event.title, within: 1h}}
  lookup:
    schema_title: row
    derive:
      from: [wiki.change]
      lookup: {page: {in: wiki.page-state, key: [event.wiki, event.title]}}
      select: {title: event.title, user: event.user, page_title: page.title, page_revision: page.revision}
  days:
    schema_title: row
    derive:
      from: [wiki.change]
      where: event.type == "edit"
      by: {wiki: event.wiki}
      window: {every: 1d}
      select: {edits: count(), bots: count(event.bot), grown: sum(event.length.new - event.length.old)}
  day:
    schema_title: row
    derive:
      from: [wiki.change]
      by: {user: event.user}
      window: {last: 1d}
      select: {edits: count()}
      having: row.edits > 20
  each:
    schema_title: row
    derive: {from: [wiki.change], select: {n: event.n}}
"""

SCHEMA = """\
title: row
$id: /row/1.0.0
$schema: https://json-schema.org/draft/2020-12/schema
type: object
required: [$schema, meta]
properties:
  $schema: {type: string}
  meta:
    type: object
    required: [id, dt, stream]
    properties: {id: {type: string}, dt: {type: string, format: date-time}, stream: {type: string}}
  title: {type: string}
  user: {type: [string, integer, boolean]}
  wiki: {type: [string, integer, boolean]}
  window_start: {type: string, format: date-time}
  window_end: {type: string, format: date-time}
  page_title: {type: string}
  n: {type: integer}
  revision: {type: integer}
  delta: {type: integer}
  edits: {type: integer, minimum: 0}
  bots: {type: integer, minimum: 0}
  grown: {type: integer}
  page_revision: {type: integer}
"""

Batches = list[tuple[TopicPartition, list[Record]]]


def definitions(directory: Path) -> Definitions:
    """The streams and the schema, of files that are written there."""
    path = directory / "gateway.yaml"
    path.write_text(CONFIGURATION)
    return Definitions(load(path).catalog, SchemaRepository([write_schema(directory)]))


def write_schema(directory: Path) -> Path:
    """The repository with the schema `row`, which is written there."""
    path = directory / "schemas" / "row" / "1.0.0.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(SCHEMA)
    return directory / "schemas"


def events(count: int, partitions: int) -> Batches:
    """Batches of events as a log would give them, the partitions in turns."""
    chance, sample = random.Random(2026), WikiSample(2026, FIRST_TIME)
    parts: list[list[Record]] = [[] for _ in range(partitions)]
    for number in range(count):
        event, _ = sample.next(FIRST_TIME + number * STEP)
        event["wiki"] = chance.choice(WIKIS)
        event["meta"]["dt"] = iso_time(FIRST_TIME + number * STEP - chance.randrange(DISORDER))
        part = parts[WIKIS.index(event["wiki"]) % partitions]
        place = WIKIS.index(event["wiki"]) % partitions
        part.append(Record(SOURCE, place, len(part), 0, event["wiki"].encode(), orjson.dumps(event)))
    batches: list[tuple[int, TopicPartition, list[Record]]] = []
    for place, part in enumerate(parts):
        for turn, start in enumerate(range(0, len(part), BATCH)):
            batches.append((turn, TopicPartition(SOURCE, place), part[start : start + BATCH]))
    return [(place, records) for _, place, records in sorted(batches, key=lambda one: one[:2])]


def states(batches: Sequence[tuple[TopicPartition, list[Record]]]) -> list[Record]:
    """A row for each page that is changed, and one at the end that moves the clock."""
    seen: dict[bytes, bytes] = {}
    for _, records in batches:
        for record in records:
            event = orjson.loads(record.value or b"")
            key = orjson.dumps([event["wiki"], event["title"]])
            row = {"meta": {"dt": iso_time(FIRST_TIME - 60_000)}, "title": event["title"], "revision": len(seen)}
            seen.setdefault(key, orjson.dumps(row))
    clock = orjson.dumps({"meta": {"dt": "2027-01-01T00:00:00.000Z", "domain": "canary"}})
    found = [Record(STATE, 0, number, 0, key, value) for number, (key, value) in enumerate(seen.items())]
    return [*found, Record(STATE, 0, len(found), 0, None, clock)]
