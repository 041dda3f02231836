"""The configuration: settings from flags, variables and the file, and the streams of the file.

A flag wins over a variable, a variable over the file, the file over the default. An empty variable counts as not set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.catalog.catalog import Catalog
from gateway.catalog.document import Findings, Plain, did_you_mean
from gateway.catalog.load import read
from gateway.catalog.stream_part import error_stream_fault
from gateway.errors import ConfigurationError
from gateway.model.setting import Setting
from gateway.rules.declaration import read_rules
from gateway.rules.rule import Rule
from gateway.settings.relations import misfits
from gateway.settings.table import BY_KEY, SETTINGS, Settings
from gateway.settings.values import converted

REPLACED = {"filter_max_cost": "filter_max_steps"}
"""Settings that there were, and those which have taken their place. They are accepted, with a warning."""


@dataclass(frozen=True, slots=True)
class Configured:
    """All that the configuration says, from every source."""

    settings: Settings
    catalog: Catalog
    warnings: list[str]
    places: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Where (`file:line`) a stream's key stands, by the two names."""
    rules: tuple[Rule, ...] = ()


def configure(flags: Mapping[str, Any], environment: Mapping[str, str]) -> Configured:
    """The settings and the catalogue from flags, variables and the file that they name.

    `flags` maps keys to what the command line gave: texts, lists of texts, booleans; None and () are as if not given.
    Raises ConfigurationError with the mistakes of all sources together.
    """
    given, source = _first_given(BY_KEY["config"], flags, environment, {}) or (BY_KEY["config"].default, "")
    path = Path(str(given))
    reading = read(path)
    # A file that is not there is named by whoever asked for it.
    mistakes = [f"{source}: {line}" if source and not path.exists() else line for line in reading.mistakes]
    try:
        settings = load_settings(flags, environment, reading.settings)
    except ConfigurationError as error:
        raise ConfigurationError(mistakes + error.mistakes) from None
    if mistakes:
        raise ConfigurationError(mistakes)
    for key in ("error_stream", "report_stream"):
        name = getattr(settings, key)
        fault = None if name is None else error_stream_fault(name, reading.catalog.streams)
        if fault is not None:
            _, place = _first_given(BY_KEY[key], flags, environment, reading.settings) or ("", "")
            raise ConfigurationError([f"{place}: {key} {fault}"])
    findings = Findings(path)
    rules = read_rules(reading.rules, findings, reading.catalog)
    if findings.mistakes:
        raise ConfigurationError(findings.mistakes)
    warnings = [*reading.warnings, *findings.warnings, *_replaced(flags, environment, reading.settings)]
    return Configured(settings, reading.catalog, warnings, reading.places, rules)


def load_settings(
    flags: Mapping[str, Any], environment: Mapping[str, str], file: Mapping[str, tuple[Plain, str]]
) -> Settings:
    """The settings from three sources; `file` maps keys to values and places (`file:line`).

    Raises ConfigurationError with every mistake, each beginning with its source.
    """
    mistakes = _unknown_keys(file)
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    for setting in SETTINGS:
        given = _first_given(setting, flags, environment, file)
        if given is None:
            continue
        raw, place = given
        places[setting.key] = place
        try:
            values[setting.key] = converted(setting, raw)
        except ValueError as error:
            mistakes += [f"{place}: {mistake}" for mistake in error.args]
    settings = Settings(**values)
    mistakes += misfits(settings, places)
    if mistakes:
        raise ConfigurationError(mistakes)
    return settings


def _unknown_keys(file: Mapping[str, tuple[Plain, str]]) -> list[str]:
    known = [setting.key for setting in SETTINGS if setting.in_file]
    mistakes = []
    for key, (_, place) in file.items():
        if key in known or key in REPLACED:
            continue
        if key in BY_KEY:
            mistakes.append(f"{place}: {key} cannot be set in the file; use {BY_KEY[key].flag}")
        else:
            hint = did_you_mean(key, [*known, "streams", "rules"]) or "; docs/OPERATING.md lists all settings"
            mistakes.append(f"{place}: there is no setting {key}{hint}")
    return mistakes


def _replaced(
    flags: Mapping[str, Any], environment: Mapping[str, str], file: Mapping[str, tuple[Plain, str]]
) -> list[str]:
    """Warnings about settings that no longer exist."""
    warnings = []
    for old, new in REPLACED.items():
        variable, flag = f"GATEWAY_{old.upper()}", f"--{old.replace('_', '-')}"
        places = [flag] if flags.get(old) is not None else []
        places += [variable] if environment.get(variable) else []
        places += [file[old][1]] if old in file else []
        warnings += [f"{place}: {old} is not used any more; {new} takes its place" for place in places]
    return warnings


def _first_given(
    setting: Setting,
    flags: Mapping[str, Any],
    environment: Mapping[str, str],
    file: Mapping[str, tuple[Plain, str]],
) -> tuple[Any, str] | None:
    """The value of the source that wins, and the source's name."""
    if setting.flag is not None and flags.get(setting.key) not in (None, (), []):
        return flags[setting.key], setting.flag
    if setting.variable is not None and environment.get(setting.variable):
        return environment[setting.variable], setting.variable
    if setting.in_file and setting.key in file and file[setting.key][0] is not None:
        return file[setting.key]
    return None
