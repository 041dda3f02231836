"""The command line: `gateway serve` and all other commands."""

from __future__ import annotations

from importlib import import_module

import click

from gateway.commands.help import Group

COMMANDS = {
    **{name: name for name in ("archive", "canary", "check", "demo", "derive", "init", "mirror", "produce", "rules")},
    **{name: name for name in ("schemas", "serve", "streams", "tail", "token")},
    "erase": "archive",
}
"""The modules of `gateway.commands` by the commands that they hold, each under its own name."""


class Commands(Group):
    """Loads what a command needs when it is asked for: `gateway tail` runs without the server."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All of them."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name."""
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = getattr(import_module(f"gateway.commands.{COMMANDS[cmd_name]}"), cmd_name)
        return found


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="event-gateway", prog_name="gateway")
def main() -> None:
    """Publish event streams from Kafka or an embedded log as server-sent events, with filters and resume."""
