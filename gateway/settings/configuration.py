"""The configuration: settings from flags, variables and the file, and the streams of the file.

A flag wins over a variable, a variable over the file, the file over the default. An empty variable counts as not set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gateway.catalog.catalog import Catalog
from gateway.catalog.document import Findings, Plain, did_you_mean, kind_of
from gateway.catalog.load import Reading, read
from gateway.catalog.stream_part import error_stream_fault
from gateway.catalog.view import View
from gateway.catalog.view_part import read_views
from gateway.errors import ConfigurationError
from gateway.eventlog.kafka.options import kafka_warnings
from gateway.model.setting import MemberMistake, Setting
from gateway.rules.declaration import read_rules
from gateway.rules.rule import Rule
from gateway.secret_files import read_secret
from gateway.settings.relations import misfits
from gateway.settings.secrets import Secrets, learn_addresses, learn_settings
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
    views: tuple[View, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    """What gave a setting its value: a flag, a variable, or a line of the file."""
    secrets: Secrets = field(default_factory=Secrets, compare=False)
    """What no message about the configuration may repeat."""


def configure(flags: Mapping[str, Any], environment: Mapping[str, str]) -> Configured:
    """The settings and the catalogue from flags, variables and the file that they name.

    `flags` maps keys to what the command line gave: texts, lists of texts, booleans; None and () are as if not given.
    Raises ConfigurationError with the mistakes of all sources together; none repeats what a variable holds that the
    file names.
    """
    configured, mistakes = examine(flags, environment)
    if configured is None or mistakes:
        raise ConfigurationError(mistakes)
    return configured


def examine(flags: Mapping[str, Any], environment: Mapping[str, str]) -> tuple[Configured | None, list[str]]:
    """As `configure`, without an error: the mistakes, and what is there besides, so that more of them can be found;
    None where the settings or the streams are not known."""
    secrets = Secrets()
    configured, mistakes = _examine(flags, environment, secrets)
    return configured, list(dict.fromkeys(secrets.hide(mistakes)))


def _examine(
    flags: Mapping[str, Any], environment: Mapping[str, str], secrets: Secrets
) -> tuple[Configured | None, list[str]]:
    given, source = _first_given(BY_KEY["config"], flags, environment, {}) or (BY_KEY["config"].default, "")
    path = Path(str(given))
    reading = read(path, environment)
    for name, value in reading.variables.items():
        secrets.learn(value, f"${{{name}}}")
    learn_settings(secrets, {key: value for key, (value, _) in reading.settings.items()})
    learn_addresses(secrets, None if reading.rules is None else reading.rules.plain())
    # A file that is not there is named by whoever asked for it.
    mistakes = [f"{source}: {line}" if source and not path.exists() else line for line in reading.mistakes]
    settings, wrong = _read_settings(flags, environment, reading.settings, reading.members)
    # Those of flags, variables and files too.
    learn_settings(secrets, vars(settings))
    mistakes += _unknown_keys(reading.settings) + wrong
    if reading.mistakes:
        return None, mistakes
    findings = Findings(path)
    rules = read_rules(reading.rules, findings, reading.catalog)
    views = read_views(reading.views, findings, reading.catalog)
    mistakes += findings.mistakes
    if wrong:
        return None, mistakes
    mistakes += _unfit_streams(settings, flags, environment, reading)
    warnings = [
        *reading.warnings,
        *findings.warnings,
        *_replaced(flags, environment, reading.settings),
        *_overridden(flags, environment, reading.settings),
        *_kafka_warnings(settings, reading),
    ]
    configured = Configured(
        settings,
        reading.catalog,
        secrets.hide(warnings),
        reading.places,
        rules,
        views,
        _sources(flags, environment, reading.settings),
        secrets,
    )
    return configured, mistakes


def _unfit_streams(
    settings: Settings, flags: Mapping[str, Any], environment: Mapping[str, str], reading: Reading
) -> list[str]:
    """What is wrong with the streams that settings name."""
    mistakes = []
    for key in ("error_stream", "report_stream"):
        name = getattr(settings, key)
        fault = None if name is None else error_stream_fault(name, reading.catalog.streams)
        if fault is not None:
            _, place = _first_given(BY_KEY[key], flags, environment, reading.settings) or ("", "")
            mistakes.append(f"{place}: {key} {fault}")
    return mistakes


def _sources(
    flags: Mapping[str, Any], environment: Mapping[str, str], file: Mapping[str, tuple[Plain, str]]
) -> dict[str, str]:
    found = {setting.key: _first_given(setting, flags, environment, file) for setting in SETTINGS}
    return {key: given[1] for key, given in found.items() if given is not None}


def _kafka_warnings(settings: Settings, reading: Reading) -> list[str]:
    if not settings.kafka:
        return []
    _, place = reading.settings["kafka"]
    if not settings.log.startswith("kafka://"):
        return [f"{place}: kafka is not used, since log is not kafka://…"]
    return [f"{_place(told, 'kafka', place, reading.members)}: {told}" for told in kafka_warnings(settings.kafka)]


def load_settings(
    flags: Mapping[str, Any],
    environment: Mapping[str, str],
    file: Mapping[str, tuple[Plain, str]],
    members: Mapping[tuple[str, ...], str] = MappingProxyType({}),
) -> Settings:
    """The settings from three sources; `file` maps keys to values and places (`file:line`), `members` the names that
    lead to a member of one to its place.

    A text may stand in a file that `KEY_file` or `GATEWAY_KEY_FILE` names. Raises ConfigurationError with every
    mistake, each beginning with its source.
    """
    settings, mistakes = _read_settings(flags, environment, file, members)
    if mistakes := _unknown_keys(file) + mistakes:
        raise ConfigurationError(mistakes)
    return settings


def _read_settings(
    flags: Mapping[str, Any],
    environment: Mapping[str, str],
    file: Mapping[str, tuple[Plain, str]],
    members: Mapping[tuple[str, ...], str],
) -> tuple[Settings, list[str]]:
    """The settings, with the default of each that has a mistake, and the mistakes."""
    mistakes: list[str] = []
    secrets = Secrets()
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    for setting in SETTINGS:
        given = _first_given(setting, flags, environment, file)
        if given is None:
            continue
        raw, place = given
        places[setting.key] = place
        learn_addresses(secrets, raw)
        try:
            values[setting.key] = converted(setting, _of_file(setting, raw, secrets))
        except ValueError as error:
            mistakes += [f"{_place(mistake, setting.key, place, members)}: {mistake}" for mistake in error.args]
    settings = Settings(**values)
    return settings, secrets.hide(mistakes + misfits(settings, places))


def _place(mistake: str, key: str, place: str, members: Mapping[tuple[str, ...], str]) -> str:
    """Where a mistake is: at a member of the setting, where it is told of one."""
    names = mistake.names if isinstance(mistake, MemberMistake) else ()
    return members.get((key, *names), place) if names else place


class _File(str):
    """The path of a file that holds the value of a setting."""


def _of_file(setting: Setting, raw: Any, secrets: Secrets) -> Any:
    """What a source gave, or the text of the file that it names. Raises ValueError."""
    if not isinstance(raw, _File):
        return raw
    try:
        text = read_secret(raw)
    except ValueError as error:
        raise ValueError(f"{setting.key}_file: {error}") from None
    secrets.learn(text, f"({setting.key}_file)")
    return text


def _unknown_keys(file: Mapping[str, tuple[Plain, str]]) -> list[str]:
    known = [setting.key for setting in SETTINGS if setting.in_file]
    twins = {f"{key}_file": key for key in known if BY_KEY[key].kind == "text"}
    mistakes = []
    for key, (value, place) in file.items():
        if key in twins:
            if file.get(twins[key], (None, ""))[0] is not None:
                mistakes.append(f"{place}: {twins[key]} and {key} are both given; keep one of them")
            elif value is not None and not isinstance(value, str):
                mistakes.append(f"{place}: {key} is {kind_of(value)}; it takes the path of a file")
            continue
        if key in known or key in REPLACED:
            continue
        if key in BY_KEY:
            mistakes.append(f"{place}: {key} cannot be set in the file; use {BY_KEY[key].flag}")
        else:
            hint = did_you_mean(key, [*known, "streams", "rules", "views"]) or "; docs/OPERATING.md lists all settings"
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


def _overridden(
    flags: Mapping[str, Any], environment: Mapping[str, str], file: Mapping[str, tuple[Plain, str]]
) -> list[str]:
    """Warnings about lines of the file that a variable replaces: nobody who reads the file sees it."""
    warnings = []
    for setting in SETTINGS:
        given, (written, place) = _first_given(setting, flags, environment, file), file.get(setting.key, (None, ""))
        if given is None or written is None or given[1] == place or given[1] == setting.flag:
            continue
        text = ",".join(map(str, written)) if isinstance(written, list) else str(written)
        if str(given[0]) != text:
            warnings.append(f"{place}: {setting.key} is not used, since the variable {given[1]} is set")
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
    twin, is_text = f"{setting.key}_file", setting.kind == "text"
    if setting.variable is not None and is_text and environment.get(variable := f"{setting.variable}_FILE"):
        return _File(environment[variable]), variable
    if setting.in_file and setting.key in file and file[setting.key][0] is not None:
        return file[setting.key]
    if setting.in_file and is_text and isinstance(file.get(twin, (None, ""))[0], str):
        place, line = file[twin]
        return _File(place), line
    return None
