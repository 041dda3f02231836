"""Puts the environment's variables into the texts of the configuration: `${NAME}`; `$${` is a plain `${`.

It is done with the texts that the YAML holds, and not with the YAML: what a variable contains becomes no key or list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway.text import is_text, printable

_REFERENCE = re.compile(r"\$\$\{|\$\{(?P<name>[^{}]*)(?P<end>\}?)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LONGEST = 1 << 20
"""Characters of a text with its variables: a certificate fits in many times."""


def has_reference(text: str) -> bool:
    """Whether anything in it is to be replaced."""
    return "${" in text


def interpolate(text: str, environment: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The text with the values of its variables, and these by their names. Raises ValueError with every mistake; none
    repeats a value."""
    mistakes: list[str] = []
    used: dict[str, str] = {}

    def value(found: re.Match[str]) -> str:
        name = found["name"]
        if name is None:
            return "${"
        if not found["end"] or not _NAME.fullmatch(name):
            shown = printable(found[0][:60])
            mistakes.append(f"{shown} is not ${{NAME}} with the name of a variable; write $${{ for a plain ${{")
        elif name not in environment:
            mistakes.append(f"the environment variable {name} is not set; set it, or write $${{ for a plain ${{")
        elif not is_text(environment[name]):
            mistakes.append(f"the environment variable {name} is not UTF-8")
        else:
            used[name] = environment[name]
            return used[name]
        return ""

    filled = _REFERENCE.sub(value, text)
    if len(filled) > LONGEST:
        mistakes.append(f"with its variables this is longer than {LONGEST:,} characters")
    if mistakes:
        raise ValueError(*dict.fromkeys(mistakes))
    return filled, used
