"""Runs rules side by side in a process, until a stop."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable

from gateway.clock import Clock, SystemClock
from gateway.cooperative import together
from gateway.definitions import Definitions
from gateway.errors import ConfigurationError, WriterFenced
from gateway.eventlog.port import EventLog
from gateway.limits.networks import Networks
from gateway.observability import telemetry
from gateway.rules.request import Egress
from gateway.rules.rule import Rule
from gateway.rules.runner import LONGEST_PAUSE, Means, Runner, wait_for


async def run_rules(
    rules: Collection[Rule],
    log: EventLog,
    definitions: Definitions,
    networks: Iterable[str],
    stop: asyncio.Event,
    clock: Clock | None = None,
) -> list[str]:
    """Run these rules until `stop` is set; returns the names of those that another process has taken over meanwhile.

    `log` is open. `networks` are the private ones that requests may go to. One rule that meets a mistake of ours is
    begun anew after a pause; the others run on.
    """
    time = clock or SystemClock()
    taken = await together(_keep_running(rule, log, definitions, Networks(networks), stop, time) for rule in rules)
    return [rule.name for rule, is_taken in zip(rules, taken, strict=True) if is_taken]


def chosen(rules: Collection[Rule], names: Collection[str]) -> list[Rule]:
    """The rules of these names, or all. Raises ConfigurationError."""
    known = {rule.name: rule for rule in rules}
    there = ", ".join(known) or "none"
    if mistakes := [f"there is no rule {name}; there are {there}" for name in names if name not in known]:
        raise ConfigurationError(mistakes)
    if not known:
        raise ConfigurationError(["the configuration has no rules"])
    return [known[name] for name in names] if names else list(rules)


async def _keep_running(
    rule: Rule, log: EventLog, definitions: Definitions, networks: Networks, stop: asyncio.Event, clock: Clock
) -> bool:
    """Whether another process has taken it over."""
    pause = 1.0
    egress = Egress(networks)
    try:
        while not stop.is_set():
            try:
                means = Means(log, definitions.catalog, definitions.schemas, egress, clock)
                await Runner(rule, means).run(stop)
            except WriterFenced as error:
                telemetry.rule_taken_over(rule.name, str(error))
                return True
            except Exception as error:
                telemetry.mistake("rules", error)
                await wait_for(stop, pause)
                pause = min(2 * pause, LONGEST_PAUSE)
        return False
    finally:
        await egress.close()
