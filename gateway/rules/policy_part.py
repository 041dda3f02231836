"""Reads what follows where a try of a rule fails: `retry`, `ignore` and `give_up_after`."""

from __future__ import annotations

import re

from gateway.catalog.document import Located
from gateway.catalog.part import Part
from gateway.catalog.quantity import shown_duration
from gateway.rules.attempt import DEFAULT_DELAYS, SERVER_ERRORS, Policy

MAXIMUM_DELAYS = 10
"""Of one rule; each has a topic of its own."""
LONGEST_DELAY = 7 * 86_400_000
"""Milliseconds between two tries."""
LONGEST_LIFE = 365 * 86_400_000
"""Milliseconds from the first try to the last."""

_CLASS = re.compile(r"([1-5])xx", re.IGNORECASE | re.ASCII)
_STATUS_FORM = "a list of statuses, such as [5xx, 429]"


def read_policy(part: Part) -> Policy:
    """What is tried again and what is not, after which delays, and for how long."""
    retry = part.get("retry")
    members: dict[str, Located] = {}
    if retry is not None and not isinstance(retry.value, dict):
        part.wrong(retry.line, f"retry is {retry.kind}; it takes {{on: [5xx, 429], after: [30s, 5m, 1h]}}")
    elif retry is not None and isinstance(retry.value, dict):
        members = retry.value
        part.check_keys(members, ("after", "on"), "retry")
    give_up = part.get("give_up_after")
    return Policy(
        _statuses(part, members.get("on"), "on", SERVER_ERRORS, words=("timeout",)),
        _statuses(part, part.get("ignore"), "ignore", frozenset()),
        _delays(part, members.get("after")),
        None if give_up is None else part.span(give_up, "give_up_after", LONGEST_LIFE, LONGEST_LIFE),
    )


def _statuses(
    part: Part, item: Located | None, what: str, default: frozenset[int], words: tuple[str, ...] = ()
) -> frozenset[int]:
    if item is None:
        return default
    if not isinstance(item.value, list):
        part.wrong(item.line, f"{what} is {item.kind}; it takes {_STATUS_FORM}")
        return default
    found: set[int] = set()
    for entry in item.value:
        status = entry.value
        if isinstance(status, int) and not isinstance(status, bool) and 100 <= status <= 599:
            found.add(status)
        elif isinstance(status, str) and (group := _CLASS.fullmatch(status)):
            found.update(range(int(group[1]) * 100, int(group[1]) * 100 + 100))
        elif status not in words:
            # A connection that times out is always tried again; to say so does no harm.
            part.wrong(entry.line, f"{what} holds {entry.kind}; it takes {_STATUS_FORM}")
    return frozenset(found)


def _delays(part: Part, item: Located | None) -> tuple[int, ...]:
    if item is None:
        return DEFAULT_DELAYS
    form = f"a list of up to {MAXIMUM_DELAYS} spans that become longer, such as [30s, 5m, 1h]"
    if not isinstance(item.value, list) or len(item.value) > MAXIMUM_DELAYS:
        part.wrong(item.line, f"after is {item.kind}; it takes {form}")
        return ()
    delays: list[int] = []
    for entry in item.value:
        delay = part.span(entry, "after", 0, LONGEST_DELAY)
        if delay and delays and delay <= delays[-1]:
            part.wrong(
                entry.line, f"after has {shown_duration(delay)} behind {shown_duration(delays[-1])}; it takes {form}"
            )
        elif delay:
            delays.append(delay)
    return tuple(delays)
