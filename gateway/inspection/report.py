"""The report of an inspection, in sections that a person reads from top to bottom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Section:
    """One part of the outside, and what was found there."""

    title: str
    lines: list[str] = field(default_factory=list)
    mistakes: int = 0

    def good(self, text: str) -> None:
        """Something that works."""
        self.lines.append(f"  ok       {text}")

    def shown(self, text: str) -> None:
        """More of the line before."""
        self.lines.append(f"           {text}")

    def noted(self, text: str) -> None:
        """Something that may not be meant."""
        self.lines.append(f"  warning  {text}")

    def wrong(self, text: str) -> None:
        """A mistake, beginning with its place where it has one."""
        self.mistakes += 1
        self.lines.append(f"  MISTAKE  {text}")


def told(sections: Sequence[Section]) -> list[str]:
    """The lines of a report; a section without any is left out."""
    return [line for section in sections if section.lines for line in (section.title, *section.lines, "")]
