"""The settings as a table for people."""

from __future__ import annotations

from gateway.settings.table import SETTINGS


def settings_table() -> str:
    """The table for the documents, in Markdown. Every row names flag, variable, key, default, unit and bounds."""
    lines = ["| flag | variable | key in the file | default | meaning |", "|---|---|---|---|---|"]
    for setting in SETTINGS:
        flag = f"`{setting.flag}`" if setting.flag else "–"
        variable = f"`{setting.variable}`" if setting.variable else "–"
        key = f"`{setting.key}`" if setting.in_file else "–"
        notes = setting.help
        if setting.kind in ("integer", "number"):
            notes += f" ({setting.unit}, {setting.bounds})" if setting.unit else f" ({setting.bounds})"
        elif setting.kind == "choice":
            notes += f" (`{'`, `'.join(setting.choices)}`)"
        elif setting.kind == "list":
            notes += " (repeatable; comma-separated in the variable; a list in the file)"
        lines.append(f"| {flag} | {variable} | {key} | `{setting.shown_default}` | {notes} |")
    return "\n".join(lines) + "\n"
