"""Random declarations and events, by a seed; among the events all that is at the edge of something."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any
from zlib import crc32

from gateway.catalog.derivation import Dedup, Derivation, Expression, Lookup, Members, Window
from gateway.catalog.stream import Stream
from gateway.derive.identity import record_key
from gateway.model.record import NewRecord
from gateway.times import iso_time
from tests.derive.expressions import SCHEMA, random_event, random_truth, random_value

BEGIN = 1_767_225_600_000
END = BEGIN + 10**9
LATE = 10_000
PAGE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "meta": {"type": "object", "properties": {"id": {"type": "string"}, "dt": {"type": "string"}}},
        "at": {"type": "integer"},
        "wiki": {"type": "string"},
        "page_id": {"type": "integer", "minimum": 0, "maximum": 1_000},
        "title": {"type": "string"},
        "bot": {"type": "boolean"},
        "window_start": {"type": "string"},
    },
}
"""Of events that say their time by a number, and have a member of rows of windows."""
STATE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "rank": {"type": "integer", "minimum": 0, "maximum": 9},
        "open": {"type": "boolean"},
        "share": {"type": "number"},
        "owner": {"type": "object", "properties": {"name": {"type": "string"}}},
    },
}


def expression(text: str) -> Expression:
    """As one of a declaration."""
    return Expression(text, 1)


def members(**texts: str) -> Members:
    """Some of them, by their names."""
    return tuple((name, expression(text)) for name, text in texts.items())


def fixed() -> dict[str, Derivation]:
    """One of each kind, with what is known to be hard."""
    change = Derivation(("change",), late=LATE)
    both = replace(change, sources=("change", "page"))
    minute, last = Window("every", 60_000, 60_000), Window("last", 60_000)
    user, page = members(user="event.user"), members(wiki="event.wiki", page="event.page_id")
    of_page = (expression("event.wiki"), expression("event.page_id"))
    figures = members(
        edits="count()",
        bots="count(event.bot)",
        grown="sum(event.length.new - event.length.old)",
        vast="sum(event.vast)",
        mean="avg(event.page_id)",
        first="min(event.title)",
        top="max(event.score)",
        end="max(event.page_id)",
    )
    again = members(n="count()", newest="max(event.window_start)", window_time="min(event.page_id)")
    looked = members(
        title="event.title",
        page_title="page.title",
        rank="page.rank + 1",
        ranked="has(page.rank)",
        open="page.open",
        share="page.share",
        owner="other.owner.name",
        owned="has(other.owner.name)",
    )
    place = members(title="event.title", of="topic", at="partition * 1000 + offset")
    title = members(title="event.title")
    others = (expression('"a"'), expression("event.page_id"))
    alarm = expression("row.edits > 1 && row.bots < 2")
    frequent = expression('row.edits > 1 && row.wiki != "a"')
    return {
        "select": replace(both, where=expression('event.wiki != "a"'), select=place),
        "every": replace(change, by=page, window=minute, select=figures, having=frequent),
        "again": replace(
            change, sources=("page",), by=members(begin="event.window_start"), window=minute, select=again
        ),
        "hop": replace(
            change, where=expression('event.type == "edit"'), window=replace(minute, size=300_000), select=figures
        ),
        "gap": replace(change, by=user, window=Window("gap", 20_000), select=figures),
        "last": replace(change, by=members(bot="event.bot"), window=last, select=figures),
        "alarm": replace(change, by=user, window=replace(last, size=120_000), select=figures, having=alarm),
        "dedup": replace(both, dedup=Dedup(of_page, 30_000), select=title),
        "latest": replace(both, latest=page, delete=expression("event.bot"), select=title),
        "lookup": replace(
            change, lookups=(Lookup("page", "state", of_page), Lookup("other", "state", others)), select=looked
        ),
    }


def random_derivation(random: Random) -> Derivation:
    """A declaration of any operator but a lookup."""
    by = random.choice(
        (
            members(wiki="event.wiki"),
            members(user="event.user", bot="event.bot"),
            members(kind="event.type + event.wiki"),
        )
    )
    where = expression(random_truth(random, 2)) if random.random() < 0.5 else None
    late = random.choice((1, 999, 1_000, LATE, 60_000))
    base = Derivation(("change",), where=where, late=late)
    figures = members(
        n="count()",
        some=f"count({random_truth(random, 1)})",
        least=f"min({random_value(random, ('string', 'integer'))})",
        most=f"max({random_value(random, ('string', 'integer'))})",
        total=f"sum({random_value(random, ('integer',))})",
    )
    window = random.choice(
        (
            Window("every", span := random.choice((1_000, 7_000, 60_000)), span),
            Window("every", 4 * span, span),
            Window("gap", random.choice((2, 1_000, 15_000))),
            Window("last", random.choice((1, 5_000, 60_000))),
        )
    )
    having = (
        expression(f"row.n {random.choice(('>', '<=', '!='))} {random.randint(1, 3)}")
        if random.random() < 0.5
        else None
    )
    ways: tuple[Callable[[], Derivation], ...] = (
        lambda: replace(base, select=random_members(random, 20)),
        lambda: replace(base, by=by if random.random() < 0.8 else (), window=window, select=figures, having=having),
        lambda: replace(base, by=by, window=window, select=figures, having=having),
        lambda: replace(
            base, dedup=Dedup((by[0][1],), random.choice((1, 1_000, 20_000))), select=random_members(random, 3)
        ),
        lambda: replace(base, latest=by, delete=expression(random_truth(random, 1)), select=random_members(random, 3)),
    )
    return random.choice(ways)()


def random_members(random: Random, count: int) -> Members:
    """Members of any expressions."""
    return tuple((f"m{number}", expression(random_value(random))) for number in range(count))


def _wander(random: Random, count: int, partitions: int) -> list[tuple[int, int]]:
    """Partitions and times, as they come: mostly in order, and at the edges of what is late."""
    clocks, found = [BEGIN] * partitions, []
    for _ in range(count):
        partition = random.randrange(partitions)
        clocks[partition] += random.choice((0, 0, 1, 500, 1_000, 5_000, 20_000))
        back = random.choice((0, 0, 0, 0, 1, 999, 1_000, LATE - 1, LATE, LATE + 1, 60_000, 70_000, 120_000))
        found.append((partition, clocks[partition] - back))
    return found


def _written(random: Random, time: int) -> str:
    """A time in one of the forms that RFC 3339 has for it."""
    shown = iso_time(time)
    east = iso_time(time + 5_400_000)[:-1] + "+01:30"
    return random.choice(
        (
            shown,
            shown,
            shown[:-1] + "+00:00",
            east,
            shown[:-1] + "456Z",
            shown[:-5] + "Z" if time % 1000 == 0 else shown,
        )
    )


def changes(random: Random, count: int, partitions: int) -> list[NewRecord]:
    """Events of `SCHEMA`: some are canaries, without a time, or no object of JSON."""
    found = []
    for number, (partition, time) in enumerate(_wander(random, count, partitions)):
        event = random_event(random)
        event["meta"] = {"id": str(number), "dt": _written(random, time)}
        chance = random.random()
        if chance < 0.03:
            event["meta"]["domain"] = "canary"
        elif chance < 0.05:
            event["meta"]["dt"] = random.choice(("never", "2026-13-01T00:00:00Z", ""))
        value = json.dumps(event).encode()
        if chance > 0.98:
            value = random.choice((b"{broken", b"5", b"null", b""))
        found.append(NewRecord(value, f"k{number}".encode(), timestamp=time, partition=partition))
    return found + [canary(SCHEMA, partition) for partition in range(partitions)]


def pages(random: Random, count: int) -> list[NewRecord]:
    """Events of `PAGE_SCHEMA`, in two partitions: their time is a number, of milliseconds or of seconds."""
    found = []
    for number, (partition, time) in enumerate(_wander(random, count, 2)):
        event = {name: value for name, value in random_event(random).items() if name in PAGE_SCHEMA["properties"]}
        event["meta"] = {"id": f"p{number}", "dt": "2000-01-01T00:00:00Z"}
        event["at"] = time // 1000 if random.random() < 0.3 else time
        event["window_start"] = iso_time(time)
        found.append(NewRecord(json.dumps(event).encode(), f"p{number}".encode(), timestamp=time, partition=partition))
    return [*found, *(canary(PAGE_SCHEMA, partition) for partition in range(2))]


def states(random: Random, count: int) -> list[NewRecord]:
    """Changes of a compacted stream, and deletions."""
    found = []
    for number, (_, time) in enumerate(_wander(random, count, 1)):
        row = {"title": f"t{number}", "rank": number % 10, "open": number % 2 == 0, "share": number / 8,
               "owner": {"name": f"o{number}"} if number % 3 else {}}  # fmt: skip
        row = {name: value for name, value in row.items() if random.random() < 0.8}
        value = json.dumps({"meta": {"id": f"s{number}", "dt": iso_time(time)}, **row}).encode()
        key = record_key((random.choice(("enwiki", "dewiki", "a")), random.randrange(4)))
        found.append(NewRecord(None if random.random() < 0.2 else value, key, timestamp=time, partition=crc32(key) % 2))
    return [*found, *(canary(STATE_SCHEMA, partition) for partition in range(2))]


def canary(schema: dict[str, Any], partition: int = 0) -> NewRecord:
    """Moves the time of its partition beyond all of it, and is no part of a result."""
    event: dict[str, Any] = {"meta": {"id": "end", "dt": iso_time(END), "domain": "canary"}}
    if "at" in schema["properties"]:
        event["at"] = END
    return NewRecord(json.dumps(event).encode(), b"end", timestamp=END, partition=partition)


def streams(prefix: str) -> dict[str, tuple[Stream, dict[str, Any]]]:
    """The streams that are read, with their schemas."""
    return {
        "change": (Stream("change", (f"{prefix}.change",), partitions=2), SCHEMA),
        "page": (Stream("page", (f"{prefix}.page",), partitions=2, timestamp_field="at"), PAGE_SCHEMA),
        "state": (Stream("state", (f"{prefix}.state",), partitions=2), STATE_SCHEMA),
    }
