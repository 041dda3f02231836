"""Processing: derives and archives streams, runs the rules and builds the views of a configuration, in one event loop.

Each lane of a derived stream and each rule is a piece of work. All processes that work on a log divide them, whichever
gateway they belong to. Archives and views each process has for itself. A reload ends the pieces that are gone, begins
those that are new, and restarts those whose definitions have changed. The others do not notice it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.app.composition import describing, log_itself, reach_back
from gateway.archive.keep import Workshop, keep_archiving
from gateway.archive.options import ArchiveOptions
from gateway.catalog.stream import Stream
from gateway.catalog.view import View
from gateway.clock import Clock, SystemClock
from gateway.definitions import Definitions
from gateway.derive.keep import keep_deriving
from gateway.derive.lanes import Work, lanes_of
from gateway.derive.operator import DeriveBounds
from gateway.derive.sources import Sources
from gateway.eventlog.port import EventLog
from gateway.forms.describing import Describing
from gateway.observability import telemetry
from gateway.process.pieces import Piece, Pieces
from gateway.rules.rule import Produce, Rule, writer_name
from gateway.rules.run import run_rule
from gateway.schemas.repository import Described
from gateway.settings.table import Settings
from gateway.state.builder import keep_building
from gateway.state.options import ViewOptions, directory_of

PLAN_SECONDS = 10.0
"""Seconds between two looks at how many partitions the sources have, and so how many lanes there are."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What is to be done: the derived and the archived streams and the views of the definitions, and the rules. With
    `only`, of the definitions nothing but the derived streams of these names."""

    definitions: Definitions
    rules: tuple[Rule, ...]
    only: frozenset[str] | None = None

    @property
    def derived(self) -> list[Stream]:
        """The streams that are made of others."""
        streams = self.definitions.catalog.streams.values()
        return [one for one in streams if one.derive is not None and (self.only is None or one.name in self.only)]

    @property
    def archived(self) -> list[Stream]:
        """The streams that are archived."""
        streams = self.definitions.catalog.streams.values()
        return [stream for stream in streams if stream.archive] if self.only is None else []

    @property
    def views(self) -> tuple[View, ...]:
        """The views that are built."""
        return tuple(self.definitions.views) if self.only is None else ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.rules or self.derived or self.archived or self.views)


Derive = Callable[[Work, Definitions, asyncio.Event], Coroutine[Any, Any, None]]


@dataclass(slots=True)
class Processing:
    """What runs in this process. The log is open while `run` runs, and opened by it. `derive` is how a stream is
    derived: for ever, unless something else is said."""

    settings: Settings
    log: EventLog
    clock: Clock = field(default_factory=SystemClock)
    derive: Derive | None = None
    _sources: Sources = field(init=False)
    """All that is derived here reads them together."""
    _declared: Declared | None = None
    _is_open: bool = False
    _pieces: Pieces = field(init=False)
    _workshop: Workshop = field(default_factory=Workshop.open)
    _described: Mapping[str, Described] = field(default_factory=dict)
    """What a schema registry says of streams, by their names."""

    def __post_init__(self) -> None:
        self._sources = Sources(self.log)
        self._pieces = Pieces(self.log)

    @property
    def doing(self) -> frozenset[str]:
        """The names of the pieces that are done here."""
        return self._pieces.doing

    async def run(self, declared: Declared, stop: asyncio.Event) -> None:
        """Work until `stop` is set, and then end in order. Raises LogNewer."""
        self._declared = self._declared or declared
        try:
            await self.log.open()
            self._is_open = True
            reach_back(self.log, self._declared.definitions.catalog)
            beside = [asyncio.create_task(self._plan())]
            if (describing := self._describing()) is not None:
                beside.append(asyncio.create_task(self._keep_describing(describing)))
            try:
                await self._pieces.run(stop)
            finally:
                for task in beside:
                    task.cancel()
                await asyncio.wait(beside)
        finally:
            self._is_open = False
            self._workshop.threads.close()
            await self.log.close()

    async def take(self, declared: Declared) -> list[str]:
        """Put other declarations in force; returns nothing that should be told."""
        self._declared = declared
        if self._is_open:
            reach_back(self.log, declared.definitions.catalog)
            await self._take(declared)
        return []

    async def _take(self, declared: Declared) -> None:
        works = await lanes_of(declared.derived, declared.definitions.catalog.streams, self.log)
        # Others may have come meanwhile.
        if self._declared is declared:
            known = replace(declared, definitions=declared.definitions.with_registered(self._described))
            await self._pieces.take(dict(self._wanted(known, works)))

    def _describing(self) -> Describing | None:
        def streams() -> Iterable[Stream]:
            # Nothing but archives makes tables of what a registry describes.
            return self._declared.archived if self._declared is not None else ()

        def put(described: Mapping[str, Described]) -> None:
            self._described = described

        return describing(self.log, streams, put)

    async def _keep_describing(self, work: Describing) -> None:
        while True:
            try:
                await work.run()
            except Exception as error:
                telemetry.mistake("process", error)
            await asyncio.sleep(PLAN_SECONDS)

    async def _plan(self) -> None:
        """Keep to the number of lanes."""
        while True:
            assert self._declared is not None
            try:
                await self._take(self._declared)
            except Exception as error:
                telemetry.mistake("process", error)
            await asyncio.sleep(PLAN_SECONDS)

    def _wanted(self, declared: Declared, works: Iterable[Work]) -> Iterable[tuple[str, Piece]]:
        definitions = declared.definitions
        for work in works:

            def derive(stop: asyncio.Event, work: Work = work) -> Coroutine[Any, Any, None]:
                return (self.derive or self._keep)(work, definitions, stop)

            assert work.stream.derive is not None
            yield work.name, Piece(_concern(definitions, [work.stream.name], work.stream.derive.inputs), derive)
        for rule in declared.rules:

            def run(stop: asyncio.Event, rule: Rule = rule) -> Coroutine[Any, Any, None]:
                networks = self.settings.rule_networks
                return run_rule(rule, self.log, definitions, networks, stop, self.clock, self._sources)

            made = [action.stream for action in rule.actions if isinstance(action, Produce)]
            concern = (rule, _concern(definitions, [*made, rule.dead_stream], rule.sources))
            yield writer_name(rule.name), Piece(concern, run)
        for stream in declared.archived:

            def archive(stop: asyncio.Event, stream: Stream = stream) -> Coroutine[Any, Any, None]:
                options, log = self.settings.of(ArchiveOptions), log_itself(self.log)
                return keep_archiving(stream, definitions.schemas, log, options, self.clock, self._workshop, stop)

            yield f"archive {stream.name}", Piece(_concern(definitions, [stream.name], []), archive, is_shared=False)
        for view in declared.views:

            def build(stop: asyncio.Event, view: View = view) -> Coroutine[Any, Any, None]:
                directory = directory_of(self.settings.of(ViewOptions), self.settings.log)
                return keep_building(view, self.log, directory, self.settings.view_keys, self.clock, stop)

            source = definitions.catalog.streams.get(view.stream)
            yield f"view {view.name}", Piece((view, source), build, is_shared=False)

    def _keep(self, work: Work, definitions: Definitions, stop: asyncio.Event) -> Coroutine[Any, Any, None]:
        return keep_deriving(
            work, definitions, self.log, self.settings.of(DeriveBounds), self.clock, stop, self._sources
        )


def _concern(definitions: Definitions, made: Iterable[str], read: Iterable[str]) -> object:
    """What work that makes these streams of those has to do with: the streams as they are declared, where errors go,
    and the schemas of what is made."""
    streams = definitions.catalog.streams
    targets = [streams[name] for name in made if name in streams]
    targets += [errors for stream in targets if (errors := definitions.error_stream_of(stream)) is not None]
    schemas = [definitions.schemas.taken_by(stream) for stream in targets]
    documents = [None if schema is None else (schema.uri, schema.document) for schema in schemas]
    return targets, [streams.get(name) for name in read], documents
