"""Help that can be read: nothing is cut off, and many options stand in groups."""

from __future__ import annotations

import click

from gateway.settings.table import BY_KEY

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


class Group(click.Group):
    """Shows the whole first sentence of each command."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """As click, without cutting off."""
        commands = [(name, command) for name in self.list_commands(ctx) if (command := self.get_command(ctx, name))]
        rows = [(name, command.get_short_help_str(limit=1_000)) for name, command in commands if not command.hidden]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


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
