"""Processing: derives all streams and runs all rules of a configuration, side by side in one event loop.

Each derived stream and each rule is a task of its own. A reload ends those that are gone, begins those that are new,
and restarts those whose definitions have changed. The others do not notice it. The log holds where they continue,
stored with what they made, so they can be ended anywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any

from gateway.catalog.stream import Stream
from gateway.clock import Clock, SystemClock
from gateway.definitions import Definitions
from gateway.derive.keep import keep_deriving
from gateway.derive.operator import DeriveBounds
from gateway.eventlog.port import EventLog
from gateway.rules.rule import Produce, Rule
from gateway.rules.run import run_rules
from gateway.settings.table import Settings

GRACE_SECONDS = 12.0
"""Seconds in which work ends in order; a rule takes up to ten for the requests that are under way."""
CANCEL_SECONDS, CANCEL_TIMES = 0.1, 50
"""Seconds between two cancellations of work that has not ended. What is being closed may not notice one."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What is to be done: the derived streams of the definitions, and the rules."""

    definitions: Definitions
    rules: tuple[Rule, ...]

    @property
    def derived(self) -> list[Stream]:
        """The streams that are made of others."""
        return [stream for stream in self.definitions.catalog.streams.values() if stream.derive is not None]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.rules and not self.derived


@dataclass(eq=False, slots=True)
class _Job:
    """A derived stream or a rule that runs. `concern` is all of the definitions that it has to do with."""

    concern: object
    stop: asyncio.Event
    task: asyncio.Task[Any]


@dataclass(slots=True)
class Processing:
    """What runs in this process. The log is open while `run` runs, and opened by it."""

    settings: Settings
    log: EventLog
    clock: Clock = field(default_factory=SystemClock)
    _declared: Declared | None = None
    _is_open: bool = False
    _jobs: dict[tuple[str, str], _Job] = field(default_factory=dict)
    _one: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self, declared: Declared, stop: asyncio.Event) -> None:
        """Work until `stop` is set, and then end in order. Raises LogNewer."""
        self._declared = self._declared or declared
        try:
            await self.log.open()
            self._is_open = True
            await self.take(self._declared)
            await stop.wait()
        finally:
            async with self._one:
                self._is_open = False
                await self._end(list(self._jobs))
            await self.log.close()

    async def take(self, declared: Declared) -> list[str]:
        """Put other declarations in force; returns nothing that should be told."""
        async with self._one:
            self._declared = declared
            if not self._is_open:
                return []
            wanted = {name: (concern, begin) for name, concern, begin in self._wanted(declared)}
            jobs = self._jobs.items()
            await self._end([name for name, job in jobs if name not in wanted or wanted[name][0] != job.concern])
            for name, (concern, begin) in wanted.items():
                if name not in self._jobs:
                    stop = asyncio.Event()
                    self._jobs[name] = _Job(concern, stop, asyncio.create_task(begin(stop), name=" ".join(name)))
        return []

    def _wanted(
        self, declared: Declared
    ) -> Iterable[tuple[tuple[str, str], object, Callable[[asyncio.Event], Coroutine[Any, Any, Any]]]]:
        definitions, bounds = declared.definitions, self.settings.of(DeriveBounds)
        for stream in declared.derived:

            def derive(stop: asyncio.Event, stream: Stream = stream) -> Coroutine[Any, Any, Any]:
                return keep_deriving(stream, definitions, self.log, bounds, self.clock, stop)

            assert stream.derive is not None
            yield ("stream", stream.name), _concern(definitions, [stream.name], stream.derive.inputs), derive
        for rule in declared.rules:

            def run_rule(stop: asyncio.Event, rule: Rule = rule) -> Coroutine[Any, Any, Any]:
                return run_rules([rule], self.log, definitions, self.settings.rule_networks, stop, self.clock)

            made = [action.stream for action in rule.actions if isinstance(action, Produce)]
            yield ("rule", rule.name), (rule, _concern(definitions, [*made, rule.dead_stream], rule.sources)), run_rule

    async def _end(self, names: Iterable[tuple[str, str]]) -> None:
        """End these together: in order, or by a cancellation after the grace."""
        ending = [self._jobs.pop(name) for name in names]
        for job in ending:
            job.stop.set()
        running = {job.task for job in ending}
        if running:
            _, running = await asyncio.wait(running, timeout=GRACE_SECONDS)
        for _ in range(CANCEL_TIMES):
            if not running:
                break
            for task in running:
                task.cancel()
            _, running = await asyncio.wait(running, timeout=CANCEL_SECONDS)


def _concern(definitions: Definitions, made: Iterable[str], read: Iterable[str]) -> object:
    """What work that makes these streams of those has to do with: the streams as they are declared, where errors go,
    and the schemas of what is made."""
    streams = definitions.catalog.streams
    targets = [streams[name] for name in made if name in streams]
    targets += [errors for stream in targets if (errors := definitions.error_stream_of(stream)) is not None]
    schemas = [definitions.schemas.taken_by(stream) for stream in targets]
    documents = [None if schema is None else (schema.uri, schema.document) for schema in schemas]
    return targets, [streams.get(name) for name in read], documents
