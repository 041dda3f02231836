"""The commands as click has them."""

from __future__ import annotations

import click


def commands_of(group: click.Command) -> dict[str, click.Command]:
    """Those of a group by their names, also where they are loaded when they are asked for; of a command, none."""
    if not isinstance(group, click.Group):
        return {}
    context = click.Context(group)
    found = {name: group.get_command(context, name) for name in group.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}
