"""One setting: a field of a room's options that carries its row of the table. Flag, variable and key of the file are
derived from the field's name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["text", "integer", "number", "switch", "choice", "list", "mapping"]
MAXIMUM_BYTES = 1 << 40


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table. `minimum` and `maximum` are in `unit`, and allowed themselves."""

    key: str
    kind: Kind
    default: Any
    unit: str
    help: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    # What flag and variable are called where they are not called as the key.
    short_name: str = ""
    file_only: bool = False
    in_file: bool = True

    @property
    def flag(self) -> str | None:
        """The option of the command line."""
        return None if self.file_only else "--" + (self.short_name or self.key).replace("_", "-")

    @property
    def variable(self) -> str | None:
        """The environment variable."""
        return None if self.file_only else "GATEWAY_" + (self.short_name or self.key).upper()

    @property
    def form(self) -> str:
        """The form of a value, for a message."""
        if self.kind == "choice":
            return " or ".join(self.choices)
        if self.kind in ("integer", "number"):
            number = "a whole number" if self.kind == "integer" else "a number"
            unit = f" of {self.unit}" if self.unit else ""
            return f"{number}{unit} from {_shown(self.minimum)} to {_shown(self.maximum)}"
        several = f"a list of at least one {self.unit}" if self.minimum else f"a list of strings ({self.unit})"
        forms = {"switch": "true or false", "list": several, "mapping": "a mapping"}
        return forms.get(self.kind, f"a string ({self.unit})" if self.unit else "a string")

    @property
    def bounds(self) -> str:
        """The least and the largest value, where there are such."""
        return f"{_shown(self.minimum)} to {_shown(self.maximum)}" if self.kind in ("integer", "number") else ""

    @property
    def shown_default(self) -> str:
        """The default as it would be written."""
        return _shown(self.default)


def _shown(value: Any) -> str:
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, float):
        return f"{value:g}" if abs(value) < 1e6 else str(int(value))
    if isinstance(value, Mapping):
        return "none" if not value else str(dict(value))
    return str(value)


def row(kind: Kind, default: Any, unit: str, help_text: str, **more: Any) -> Any:
    """A field of options that carries its row of the table; the key is the field's name."""
    metadata = {"kind": kind, "default": default, "unit": unit, "help": help_text, **more}
    if kind == "mapping":
        return dataclasses.field(default_factory=dict, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def integer(default: int, unit: str, help_text: str, minimum: int, maximum: int) -> Any:
    """A whole number."""
    return row("integer", default, unit, help_text, minimum=minimum, maximum=maximum)


def seconds(default: float, help_text: str, minimum: float, maximum: float) -> Any:
    """A number of seconds."""
    return row("number", default, "seconds", help_text, minimum=minimum, maximum=maximum)


def choice(default: str, help_text: str, *choices: str) -> Any:
    """One of these texts."""
    return row("choice", default, "", help_text, choices=choices)


class MemberMistake(str):
    """What is wrong with a member of a mapping; `names` lead to the member, whose line can be told then."""

    names: tuple[str, ...]

    def __new__(cls, text: str, *names: str) -> MemberMistake:
        made = super().__new__(cls, text)
        made.names = names
        return made
