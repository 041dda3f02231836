"""Settings as options of commands, in groups where there are many."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import click

from gateway.catalog.stream import Stream
from gateway.commands.ending import fail
from gateway.errors import ConfigurationError
from gateway.model.setting import Setting
from gateway.settings.configuration import REPLACED, Configured, configure
from gateway.settings.table import BY_KEY, SETTINGS

Command = Callable[..., Any]
_HEADINGS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Log and streams", ("config", "log", "schema_repositories", "error_stream", "report_stream", "other_gateways",
                         "schema_registry")),
    ("Derived streams and views", ("processing", "derive", "view")),
    ("Addresses", ("host", "port", "public_url", "admin", "trusted_proxies", "forwarded_header")),
    ("Limits", ("limit", "exempt", "rule_networks")),
    ("Tokens", ("token", "jwks", "intake_token", "static_tokens")),
    ("Clients and requests", ("heartbeat", "retry", "maximum_streams", "last_event_id_max", "compact_ids", "filter_",
                              "counts_", "max_connection_age", "write_timeout", "settle")),
    ("Events that come in", ("intake", "idempotency", "timestamp")),
    ("Archive", ("archive",)),
    ("Logs and traces", ("log_level", "log_format", "access_log", "tracing")),
    ("Processes and memory", ("",)),
)  # fmt: skip
"""The groups of options, and how the keys of their settings begin. The longest beginning counts."""
WIDEST_NAME = 28
"""Characters of the first column; longer names have a line of their own."""


def heading_of(key: str) -> str:
    """The group of a setting."""
    fitting = [(len(begin), heading) for heading, begins in _HEADINGS for begin in begins if key.startswith(begin)]
    return max(fitting)[1]


class GroupedOptions(click.Command):
    """Shows options that are settings in groups, below those that are not."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """As click, by groups."""
        groups: dict[str, list[tuple[str, str]]] = {"Options": []}
        groups |= {heading: [] for heading, _ in _HEADINGS}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                key = parameter.name or ""
                groups[heading_of(key) if key in BY_KEY else "Options"].append(record)
        for heading, rows in groups.items():
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows, col_max=WIDEST_NAME)


def _option(setting: Setting, with_default: bool, hidden: bool = False) -> Callable[[Command], Command]:
    if setting.kind == "switch":
        return click.option(
            setting.flag or "", setting.key, is_flag=True, default=None, help=setting.help, hidden=hidden
        )
    default = f"default: {setting.shown_default}" if with_default else ""
    notes = "; ".join(note for note in (setting.bounds, default) if note)
    placeholder = "|".join(setting.choices) or setting.unit.upper() or "N"
    repeatable: dict[str, Any] = {"multiple": True} if setting.kind == "list" else {}
    shown = setting.help + (", repeatable" if repeatable else "") + (f"  [{notes}]" if notes else "")
    return click.option(setting.flag or "", setting.key, metavar=placeholder, help=shown, hidden=hidden, **repeatable)


def with_settings(*keys: str, own: tuple[str, ...] = (), shown: tuple[str, ...] = ()) -> Callable[[Command], Command]:
    """Give a command the flags of these settings, or of all; for those in `own` it has a default of its own. With
    `shown`, its help shows these alone."""

    def add(command: Command) -> Command:
        for setting in reversed(SETTINGS):
            if setting.flag and (not keys or setting.key in keys):
                hidden = bool(shown) and setting.key not in shown
                command = _option(setting, setting.key not in own, hidden)(command)
                for old in (old for old, new in REPLACED.items() if new == setting.key):
                    command = click.option(f"--{old.replace('_', '-')}", old, hidden=True)(command)
        return command

    return add


def read_settings(flags: dict[str, Any]) -> Configured:
    """The configuration that these flags and the environment give. Ends the process where it is wrong."""
    try:
        return configure(flags, os.environ)
    except ConfigurationError as error:
        fail(error.mistakes)


def stream_of(configured: Configured, name: str) -> Stream:
    """The stream of this name or alias. Raises ConfigurationError."""
    found = configured.catalog.get(name)
    if found is None:
        close = configured.catalog.close_matches(name)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise ConfigurationError([f"there is no stream {name!r}{hint}"])
    return found
