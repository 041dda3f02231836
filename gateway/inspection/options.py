"""Reads how a Kafka is reached, before there is a configuration: from a file with the keys of one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.catalog.document import Findings, Located, parse
from gateway.errors import ConfigurationError
from gateway.eventlog.kafka.names import SECRETS
from gateway.settings.configuration import load_settings
from gateway.settings.table import Settings

KEYS = ("kafka", "schema_registry")


def read_options(
    log: str, path: Path | None, registry: str | None, environment: Mapping[str, str]
) -> tuple[Settings, dict[str, Any]]:
    """The settings for reaching a log, and the options as they stand in the file: variables stay as they are written.
    The file may be a whole configuration, of which nothing else counts. Raises ConfigurationError."""
    written: dict[str, Any] = {}
    file: dict[str, tuple[Any, str]] = {}
    members: dict[tuple[str, ...], str] = {}
    mistakes: list[str] = []
    if path is not None:
        findings = Findings(path)
        try:
            text = path.read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            why = (error.strerror or str(error)).lower() if isinstance(error, OSError) else "it is not UTF-8"
            raise ConfigurationError([f"{path}: the file cannot be read ({why})"]) from None
        located = _options(parse(text, findings, environment), findings)
        plain = _options(parse(text, Findings(path)), Findings(path))
        mistakes += findings.mistakes
        written = {key: item.plain() for key, item in plain.items()}
        for key, item in located.items():
            file[key] = (item.plain(), findings.location(item.line))
            if isinstance(item.value, dict):
                for name, member in item.value.items():
                    members[key, name] = findings.location(member.line, member.column)
    if registry is not None:
        given = file.get("schema_registry", ({}, ""))[0]
        file["schema_registry"] = ({**(given if isinstance(given, dict) else {}), "url": registry}, "--registry")
        before = written.get("schema_registry")
        written["schema_registry"] = {"url": registry, **_without(before, "url")}
    try:
        settings = load_settings({"log": log}, {}, file, members)
    except ConfigurationError as error:
        # What is given is a broker, and not a URL.
        mistakes += [mistake.replace("--log: ", "--kafka: ", 1) for mistake in error.mistakes]
    if mistakes:
        raise ConfigurationError(mistakes)
    return settings, written


def holds_secret(written: Mapping[str, Any]) -> bool:
    """Whether a password or the like stands in the options as it is."""
    named = [("kafka", name) for name in SECRETS] + [("schema_registry", name) for name in ("password", "token")]
    found = [written[key].get(name) for key, name in named if isinstance(written.get(key), dict)]
    return any(isinstance(text, str) and "${" not in text for text in found)


def _options(document: Located | None, findings: Findings) -> dict[str, Located]:
    if document is None:
        return {}
    if not isinstance(document.value, dict):
        findings.mistake(document.line, f"the file holds {document.kind}; it takes {' and '.join(KEYS)}")
        return {}
    found = {key: document.value[key] for key in KEYS if key in document.value}
    if not found:
        findings.mistake(
            document.line, f"the file has neither {' nor '.join(KEYS)}; it takes the keys of the configuration"
        )
    return found


def _without(value: Any, name: str) -> dict[str, Any]:
    return {key: item for key, item in value.items() if key != name} if isinstance(value, dict) else {}
