"""Runs a rule in a process, until a stop."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable

from gateway.clock import Clock
from gateway.definitions import Definitions
from gateway.derive.sources import Sources
from gateway.errors import ConfigurationError, WriterFenced
from gateway.eventlog.port import EventLog
from gateway.limits.networks import Networks
from gateway.observability import telemetry
from gateway.rules.request import Egress
from gateway.rules.rule import Rule
from gateway.rules.runner import LONGEST_PAUSE, Means, Runner, wait_for


async def run_rule(
    rule: Rule,
    log: EventLog,
    definitions: Definitions,
    networks: Iterable[str],
    stop: asyncio.Event,
    clock: Clock,
    sources: Sources | None = None,
) -> None:
    """Run a rule until `stop` is set. Raises WriterFenced where another process has taken it over.

    `log` is open, and `sources` are what the process reads of it. `networks` are the private ones that requests may go
    to. A rule that meets a mistake of ours is begun anew after a pause.
    """
    pause = 1.0
    egress = Egress(Networks(networks))
    try:
        while not stop.is_set():
            try:
                means = Means(log, definitions.catalog, definitions.schemas, egress, clock, sources or Sources(log))
                await Runner(rule, means).run(stop)
            except WriterFenced as error:
                telemetry.rule_taken_over(rule.name, str(error))
                raise
            except Exception as error:
                telemetry.mistake("rules", error)
                await wait_for(stop, pause)
                pause = min(2 * pause, LONGEST_PAUSE)
    finally:
        telemetry.rule_ends(rule.name)
        await egress.close()


def chosen(rules: Collection[Rule], names: Collection[str]) -> list[Rule]:
    """The rules of these names, or all. Raises ConfigurationError."""
    known = {rule.name: rule for rule in rules}
    there = ", ".join(known) or "none"
    if mistakes := [f"there is no rule {name}; there are {there}" for name in names if name not in known]:
        raise ConfigurationError(mistakes)
    if not known:
        raise ConfigurationError(["the configuration has no rules"])
    return [known[name] for name in names] if names else list(rules)
