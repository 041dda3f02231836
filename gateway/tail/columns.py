"""Chooses the members of an event that a person wants to see on one line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any

MOST = 6
"""Members that are shown where none are asked for."""
MOST_FLAGS = 20
DEEPEST = 3
"""Names in a path that is suggested."""
LONGEST_VALUE = 80
"""Characters of a text that stands on a line beside others."""

_SENSE = (
    ("title", "page_title", "name", "subject", "headline", "label"),
    ("user", "user_text", "username", "user_name", "author", "performer", "actor"),
    ("type", "action", "kind", "event", "change_type", "status", "state", "level", "severity", "method"),
    ("wiki", "database", "site", "domain", "server_name", "host", "region", "country", "path"),
    ("comment", "message", "description", "text", "reason", "summary"),
    ("length", "size", "bytes", "count", "total", "amount", "price", "duration", "value", "score", "temperature"),
)
"""Names of members by their usual meaning: the subject of an event, the actor, the action, the place, the reason,
the amount."""
_RANK = {name: (rank, order) for rank, names in enumerate(_SENSE) for order, name in enumerate(names)}
_UNKNOWN = (len(_SENSE), 0)
_KIND = (2, len(_SENSE[2]))
"""One of a few values that the schema lists says of what kind the event is."""
_FOR_MACHINES = ("id", "uuid", "hash", "sha1", "token", "uri", "url", "parsedcomment", "script_path", "timestamp", "dt")
_FORMER = ("old", "before", "previous", "prior")
"""Former values say less than present ones."""
_FORMATS_FOR_MACHINES = frozenset({"uuid", "uri", "uri-reference", "date-time"})

Path = tuple[str, ...]


def suggest(event: Mapping[str, Any], schema: Mapping[str, Any] | None = None) -> list[Path]:
    """The paths of at most `MOST` members worth showing, the most telling first: one of each sense, where there are
    enough. The schema, where there is one, says what every event has and what is written for machines."""
    ranked: list[tuple[int, bool, int, int, Path]] = []
    for place, (path, value) in enumerate(_leaves(event)):
        described = _described(schema, path)
        if isinstance(value, bool) or value is None or _is_for_machines(path, value, described):
            continue
        rank, order = _rank(path, described)
        optional = schema is not None and path[0] not in schema.get("required", ())
        ranked.append((rank, optional, 2 * order + (path[-1] in _FORMER), place, path))
    ranked.sort()
    first = [
        at for at, entry in enumerate(ranked) if at == 0 or entry[0] != ranked[at - 1][0] or entry[0] == _UNKNOWN[0]
    ]
    chosen = set(first)
    rest = (at for at in range(len(ranked)) if at not in chosen)
    return [ranked[at][-1] for at in sorted(islice(chain(first, rest), MOST))]


def flags(event: Mapping[str, Any]) -> list[str]:
    """The members at the top that are true; no more than a line has room for."""
    return list(islice((name for name, value in event.items() if value is True), MOST_FLAGS))


def look_up(event: Mapping[str, Any], path: Path) -> Any:
    """The value at a path, None if there is none."""
    found: Any = event
    for name in path:
        if not isinstance(found, Mapping):
            return None
        found = found.get(name)
    return found


def _leaves(event: Mapping[str, Any], above: Path = ()) -> Iterator[tuple[Path, Any]]:
    for name, value in event.items():
        if not above and name in ("$schema", "meta"):
            continue
        path = (*above, name)
        if isinstance(value, Mapping):
            if len(path) < DEEPEST:
                yield from _leaves(value, path)
        elif not isinstance(value, list):
            yield path, value


def _rank(path: Path, described: Mapping[str, Any]) -> tuple[int, int]:
    """By the last name, or by the first where that says what the object is (`length.new`, `performer.user_text`)."""
    rank = min(_RANK.get(path[-1], _UNKNOWN), _RANK.get(path[0], _UNKNOWN))
    return _KIND if rank == _UNKNOWN and "enum" in described else rank


def _is_for_machines(path: Path, value: Any, described: Mapping[str, Any]) -> bool:
    name = path[-1].lower()
    if name in _FOR_MACHINES or name.endswith(tuple(f"_{word}" for word in _FOR_MACHINES)):
        return True
    return described.get("format") in _FORMATS_FOR_MACHINES or (isinstance(value, str) and len(value) > 400)


def _described(schema: Mapping[str, Any] | None, path: Path) -> Mapping[str, Any]:
    """The schema of the member."""
    found: Any = schema or {}
    for name in path:
        members = found.get("properties")
        found = members.get(name) if isinstance(members, Mapping) else None
        if not isinstance(found, Mapping):
            return {}
    described: Mapping[str, Any] = found
    return described
