"""Reloading: reads the configuration again, compares it with what is in force, and takes all of it over or nothing."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.app.composition import converts, define
from gateway.app.gateway import Gateway
from gateway.catalog.stream import Stream
from gateway.definitions import Definitions
from gateway.derive.position import digest
from gateway.errors import ConfigurationError, RestartNeeded
from gateway.forms.convert import PLAIN, Forms, declared_forms
from gateway.process.processing import Declared
from gateway.rules.rule import Rule
from gateway.settings.configuration import Configured
from gateway.settings.table import Settings

logger = logging.getLogger("gateway")

Source = Callable[[], Configured]
"""Reads the configuration again. Raises ConfigurationError."""

RELOADED = "reloaded"
"""How a process did that has put the new definitions in force."""

_GROUPS = {
    "streams": ("error_stream", "report_stream"),
    "schemas": ("schema_repositories",),
    "tokens": (
        "static_tokens",
        "jwks",
        "token_issuer",
        "token_audience",
        "token_algorithms",
        "token_read_claim",
        "token_write_claim",
        "token_clock_skew",
        "token_max_bytes",
        "token_brief_lifetime",
        "token_cookie",
        "intake_token",
    ),
}
"""The settings that a reload applies. The settings of a group apply together, because each has a meaning only beside
the others: an issuer's keys beside its name, for example."""

_RELOADABLE = tuple(name for group in _GROUPS.values() for name in group)

_WAITING = {"log": ("streams", "the topics of streams are those of the log")}
"""Settings that wait for a restart though a group depends on them, and why: where both have changed, nothing is taken
over."""


@dataclass(frozen=True, slots=True)
class Found:
    """The part of a configuration that can be put in force, and how it differs from the present one (a JSON
    document)."""

    settings: Settings
    definitions: Definitions
    document: dict[str, Any]
    rules: tuple[Rule, ...] = ()

    @property
    def declared(self) -> Declared:
        """All that it declares."""
        return Declared(self.definitions, self.rules)


class Reloader:
    """Reads the configuration of a process that runs with these settings and began with these definitions."""

    def __init__(
        self, source: Source, settings: Settings, definitions: Definitions, rules: tuple[Rule, ...] = ()
    ) -> None:
        self._rules = rules
        self._source = source
        self._settings = settings
        self._taken = settings
        self._definitions = definitions
        self._by_timestamp = definitions.catalog.by_timestamp
        self._converts = converts(settings, definitions.catalog)
        self._forms = declared_forms(definitions.catalog.streams.values())

    def read(self) -> Found:
        """The configuration as it is now. Raises ConfigurationError with every mistake, and RestartNeeded with all
        changes that need a new process. Reads files and compiles schemas, which may take a second."""
        configured = self._source()
        asked = configured.settings
        in_force = {name: getattr(asked, name) for name in _RELOADABLE}
        # What is defined has to do beside the settings that wait for a restart.
        configured = dataclasses.replace(configured, settings=dataclasses.replace(self._settings, **in_force))
        definitions, warnings = define(configured)
        if (
            refused := self._refused(configured)
            + self._rewritten(configured)
            + self._torn(configured, asked)
            + self._changed(configured)
        ):
            raise RestartNeeded(refused)
        before, streams = self._definitions, definitions.catalog.streams
        old, new = before.schemas.all(), definitions.schemas.all()
        schemas = _differences(
            {uri: schema.document for uri, schema in old.items()}, {uri: schema.document for uri, schema in new.items()}
        )
        warnings += [
            f"{new[uri].path}: it is released, and has changed since it was loaded; caches and consumers keep the old"
            for uri in schemas["changed"]
            if old[uri].released
        ]
        document = {
            "streams": _differences(before.catalog.streams, streams),
            "schemas": schemas,
            "rules": _differences(
                {rule.name: rule for rule in self._rules}, {rule.name: rule for rule in configured.rules}
            ),
            "views": _differences(
                {view.name: view for view in before.views}, {view.name: view for view in definitions.views}
            ),
            "settings": self._changed_settings(asked),
            "warnings": warnings,
        }
        return Found(asked, definitions, document, configured.rules)

    def take(self, found: Found) -> None:
        """These are in force now. Topics that they do not name are still read."""
        self._taken = found.settings
        self._definitions = found.definitions
        self._rules = found.rules
        self._by_timestamp |= found.definitions.catalog.by_timestamp
        self._forms |= declared_forms(found.definitions.catalog.streams.values())

    def _refused(self, configured: Configured) -> list[str]:
        return [
            f"{_place(configured, stream)}{stream.name}: the topic {topic} is read for a resume by "
            f"{'offset' if stream.resume == 'timestamp' else 'timestamp'}; restart the gateway to change that"
            for stream in configured.catalog.streams.values()
            for topic in stream.topics
            if self._by_timestamp.get(topic, stream.resume == "timestamp") != (stream.resume == "timestamp")
        ]

    def _rewritten(self, configured: Configured) -> list[str]:
        """Streams whose topics are read in another form already, or that have the first form but JSON."""
        return [
            f"{_place(configured, stream, 'format', 'key_format', 'topics')}{stream.name}: the topic {topic} is read "
            "in another format; restart the gateway to change that"
            for stream in configured.catalog.streams.values()
            for topic in stream.topics
            for asked in [Forms(stream.form, stream.key_form)]
            if self._forms.get(topic, asked if self._converts else PLAIN) != asked
        ]

    def _changed(self, configured: Configured) -> list[str]:
        """Derived streams of which other rows would come, under the version of those that there are."""
        return [
            f"{_place(configured, stream, 'derive')}{stream.name}: what it is made of has changed, and its version is "
            f"still {stream.derive.version}; give it another `version`, or put it back"
            for stream in configured.catalog.streams.values()
            if stream.derive is not None
            and (before := self._definitions.catalog.streams.get(stream.name)) is not None
            and before.derive is not None
            and before.derive.version == stream.derive.version
            and digest(before.derive) != digest(stream.derive)
        ]

    def _torn(self, configured: Configured, asked: Settings) -> list[str]:
        """Why this would tear apart what belongs together. `asked` are the settings of the configuration."""
        changed = {group for group, names in _GROUPS.items() if self._differ(self._taken, asked, names)}
        if configured.catalog.streams != self._definitions.catalog.streams:
            changed.add("streams")
        return [
            f"{name} has changed, and so have the {group}: {why}; restart the gateway to change both"
            for name, (group, why) in _WAITING.items()
            if group in changed and self._differ(self._settings, asked, [name])
        ]

    @staticmethod
    def _differ(old: Settings, new: Settings, names: Iterable[str]) -> list[str]:
        return [name for name in names if getattr(old, name) != getattr(new, name)]

    def _changed_settings(self, settings: Settings) -> dict[str, list[str]]:
        """The settings that are others than those in force: what is taken over now, and what waits for a restart."""
        others = [field.name for field in dataclasses.fields(Settings) if field.name not in _RELOADABLE]
        return {
            "changed": self._differ(self._taken, settings, _RELOADABLE),
            "restart": self._differ(self._settings, settings, others),
        }


def _place(configured: Configured, stream: Stream, *keys: str) -> str:
    for key in keys or ("resume", "topics"):
        place = configured.places.get((stream.name, key))
        if place is not None:
            return f"{place}: "
    return ""


def _differences(old: Mapping[str, object], new: Mapping[str, object]) -> dict[str, list[str]]:
    return {
        "added": [name for name in new if name not in old],
        "removed": [name for name in old if name not in new],
        "changed": [name for name in new if name in old and new[name] != old[name]],
    }


def tell(document: dict[str, Any]) -> None:
    """Say in the log what was reloaded."""
    parts = [
        f"{kind} {how} ({', '.join(names[:10])}{', …' if len(names) > 10 else ''})"
        for kind in ("streams", "schemas", "rules", "views", "settings")
        for how, names in document[kind].items()
        if names and how != "restart"
    ]
    logger.info("reloaded: %s", "; ".join(parts) or "nothing has changed")
    if waiting := document["settings"]["restart"]:
        logger.warning("these changed settings wait for a restart: %s", ", ".join(waiting))
    for warning in document["warnings"]:
        logger.warning("%s", warning)


def tell_refusal(error: ConfigurationError) -> None:
    """Say in the log why nothing was reloaded."""
    logger.error("nothing was reloaded; the previous configuration stays in force")
    for mistake in error.mistakes:
        logger.error("%s", mistake)


class OwnReload:
    """The reload of a server that is one process."""

    def __init__(
        self, gateway: Gateway, reloader: Reloader, process: Callable[[Declared], Awaitable[list[str]]] | None = None
    ) -> None:
        """`process` takes what is declared for the process that derives and runs rules, and returns how that did."""
        self._gateway = gateway
        self._process = process
        self._reloader = reloader
        self._one = asyncio.Lock()

    async def __call__(self) -> dict[str, Any]:
        """Returns what changed. Raises ConfigurationError, and says so in the log."""
        async with self._one:
            try:
                found = await asyncio.to_thread(self._reloader.read)
            except ConfigurationError as error:
                tell_refusal(error)
                raise
            notes = await self._gateway.take(found.definitions)
            self._reloader.take(found)
            workers = [RELOADED, *(await self._process(found.declared) if self._process is not None else ())]
        document = {**found.document, "warnings": found.document["warnings"] + notes, "workers": workers}
        tell(document)
        return document
