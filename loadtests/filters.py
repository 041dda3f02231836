"""Many different filters, each with what it means in Python, so that a client's count can be held against it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from loadtests.events import WIKIS, wiki_events

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Filter:
    """An expression, and the same as a function. `wiki` is the one wiki that it can match, None where that is open."""

    expression: str
    matches: Callable[[Event], bool]
    wiki: str | None = None

    def path(self, path: str) -> str:
        """The path of a stream with this filter."""
        return f"{path}?filter={quote(self.expression)}"


Variant = tuple[str, Callable[[Event], bool]]

_VARIANTS: tuple[Variant, ...] = (
    ("!event.bot", lambda event: not event["bot"]),
    ("event.bot", lambda event: bool(event["bot"])),
    ('event.type == "edit"', lambda event: event["type"] == "edit"),
    ('event.type != "log"', lambda event: event["type"] != "log"),
    ("event.namespace == 0", lambda event: event["namespace"] == 0),
    ("event.namespace in [0, 4]", lambda event: event["namespace"] in {0, 4}),
    ("!event.bot && event.namespace == 0", lambda event: not event["bot"] and event["namespace"] == 0),
    ('event.title.startsWith("User")', lambda event: event["title"].startswith("User")),
    ('!event.title.contains(":")', lambda event: ":" not in event["title"]),
    ("has(event.length)", lambda event: "length" in event),
)


def indexed(count: int) -> list[Filter]:
    """Filters of people who follow a wiki each: an equality and something beside it."""
    return [
        _on_wiki(f"wiki{number % WIKIS:04}", _VARIANTS[number // WIKIS % len(_VARIANTS)]) for number in range(count)
    ]


def _on_wiki(wiki: str, variant: Variant) -> Filter:
    expression, matches = variant
    return Filter(f'event.wiki == "{wiki}" && {expression}', matches, wiki)


def unindexed(count: int) -> list[Filter]:
    """Filters without an equality that an index could hold; few match much."""
    return [_UNINDEXED[number % len(_UNINDEXED)](number) for number in range(count)]


_UNINDEXED: tuple[Callable[[int], Filter], ...] = (
    lambda number: Filter(f'event.title.contains("{number:03}")', lambda event: f"{number:03}" in event["title"]),
    lambda number: Filter(
        f"has(event.length) && event.length.new > {20_000 + number}",
        lambda event: "length" in event and event["length"]["new"] > 20_000 + number,
    ),
    lambda number: Filter(
        f'event.meta.id.endsWith("{number:03x}")',
        lambda event: event["meta"]["id"].endswith(f"{number:03x}"),
    ),
    lambda number: Filter(
        f'event.user.matches("^[A-E].*{number}$")',
        lambda event: event["user"][0] in "ABCDE" and event["user"].endswith(str(number)),
    ),
)


def nothing(count: int) -> list[Filter]:
    """One filter for all, that no event matches: what they cost beside the evaluation of different ones."""
    return [Filter('event.wiki == "none"', lambda event: False, "none")] * count


FILTERS = {"indexed": indexed, "unindexed": unindexed, "nothing": nothing}


def expected(filters: Iterable[Filter], events: int) -> list[int]:
    """How many of the first events each filter lets through."""
    make = wiki_events()
    all_events = [make(seq) for seq in range(events)]
    of_wiki: dict[str | None, list[Event]] = {None: all_events}
    for event in all_events:
        of_wiki.setdefault(event["wiki"], []).append(event)
    known: Counter[tuple[str, str | None]] = Counter()
    counts = []
    for each in filters:
        key = (each.expression, each.wiki)
        if key not in known:
            known[key] = sum(map(each.matches, of_wiki.get(each.wiki, [])))
        counts.append(known[key])
    return counts
