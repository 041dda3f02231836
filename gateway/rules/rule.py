"""A rule as it is declared: on which events, what is done, and what follows where that fails."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gateway.catalog.derivation import Expression, Members
from gateway.catalog.quantity import shown_duration
from gateway.limits.rates import Rate
from gateway.rules.attempt import Policy
from gateway.rules.template import Template, UrlTemplate

MAXIMUM_CONCURRENCY = 100
"""Events of one rule that are in hand at once."""
DEFAULT_CONCURRENCY = 10
DEFAULT_TIMEOUT = 10_000
"""Milliseconds that a request may take where it does not say so itself."""
NO_LIMIT = Rate(0, 0)
"""As many tries a second as come."""
USUAL = Policy()
"""The policy of a rule that declares none."""
LONGEST_TIMEOUT = 300_000
"""Milliseconds that a request may take."""


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request for an event. `json` is a tree of which each text is an `Expression`; `timeout` in milliseconds
    is for all of the request, from the name's look-up to the answer."""

    method: str
    url: UrlTemplate
    headers: tuple[tuple[str, Template], ...] = ()
    json: Any = None
    has_json: bool = False
    timeout: int = DEFAULT_TIMEOUT
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Produce:
    """An event for a stream. Without `select` the source's event passes as it is."""

    stream: str
    select: Members = ()
    line: int = field(default=0, compare=False)


Action = Request | Produce


@dataclass(frozen=True, slots=True)
class Rule:
    """The declaration of a rule. `limit` is in tries a second. With `allow_unknown`, expressions may name members that
    no schema of its streams has."""

    name: str
    sources: tuple[str, ...]
    actions: tuple[Action, ...]
    dead_stream: str
    where: Expression | None = None
    key: Expression | None = None
    ordered: bool = False
    concurrency: int = DEFAULT_CONCURRENCY
    limit: Rate = NO_LIMIT
    policy: Policy = USUAL
    allow_unknown: bool = False
    line: int = field(default=0, compare=False)


def retry_topic(rule: str, delay: int) -> str:
    """Where events of a rule wait for so many milliseconds: a topic a delay, so that the head of each is due first."""
    return f"{rule}.retry-{shown_duration(delay)}"


def replay_topic(rule: str) -> str:
    """Where dead events of a rule are put to be tried again."""
    return f"{rule}.replay"


def writer_name(rule: str) -> str:
    """The name of the writer that owns a rule, and of its position."""
    return f"rule {rule}"
