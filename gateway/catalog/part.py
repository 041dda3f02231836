"""The common base of the readers of streams, derived streams and rules."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.catalog.document import Findings, Located, did_you_mean
from gateway.catalog.quantity import DURATION_FORM, milliseconds, shown_duration


class Part:
    """A mapping of the configuration file under a name, read member by member. A wrong value is reported with its line
    and the remedy, and its default applies. A member without a value (`title:` alone) is as if not written."""

    def __init__(self, name: str, item: Located, findings: Findings) -> None:
        self.name = name
        self.line = item.line
        self.findings = findings
        self.members: dict[str, Located] = item.value if isinstance(item.value, dict) else {}

    def wrong(self, line: int, text: str) -> None:
        """Report a mistake at a line, and the remedy."""
        self.findings.mistake(line, f"{self.name}: {text}")

    def get(self, key: str) -> Located | None:
        """The member; None where it is missing or empty."""
        item = self.members.get(key)
        return item if item is not None and item.value is not None else None

    def check_keys(self, members: Mapping[str, Located], known: tuple[str, ...], what: str) -> None:
        """Report members that `what` does not have."""
        for key, item in members.items():
            if key not in known:
                self.wrong(item.line, f"{what} has no {key}{did_you_mean(key, known)}; it takes {', '.join(known)}")

    def flag(self, key: str, default: bool = False) -> bool:
        """`true` or `false`."""
        item = self.get(key)
        if item is None:
            return default
        flag = item.resolved
        if not isinstance(flag, bool):
            self.wrong(item.line, f"{key} is {item.kind}; it takes true or false")
            return default
        return flag

    def number(self, key: str, default: int, minimum: int, maximum: int) -> int:
        """A whole number within bounds, both of them allowed."""
        item = self.get(key)
        if item is None:
            return default
        number = item.resolved
        if isinstance(number, bool) or not isinstance(number, int) or not minimum <= number <= maximum:
            self.wrong(item.line, f"{key} is {item.kind}; it takes a whole number from {minimum} to {maximum}")
            return default
        return number

    def span(self, item: Located | None, what: str, default: int, longest: int, shortest: int = 1) -> int:
        """The milliseconds of a duration such as `7d`, within bounds in milliseconds, both of them allowed."""
        if item is None:
            return default
        amount = milliseconds(item.value) if isinstance(item.value, str) else None
        if amount is None or not shortest <= amount <= longest:
            self.wrong(item.line, f"{what} is {item.kind}; it takes {DURATION_FORM}, at most {shown_duration(longest)}")
            return default
        return amount

    def words(self, key: str, form: str, most: int | None = None) -> dict[str, int]:
        """The texts of a list, in order, with their lines; `form` is what the list takes, for a message."""
        item = self.get(key)
        if item is None:
            return {}
        if not isinstance(item.value, list) or not item.value or (most is not None and len(item.value) > most):
            found = "an empty list" if item.value == [] else item.kind
            self.wrong(item.line, f"{key} is {found}; it takes {form}")
            return {}
        words: dict[str, int] = {}
        for entry in item.value:
            if not isinstance(entry.value, str):
                self.wrong(entry.line, f"{key} holds {entry.kind}; it takes {form}")
            elif entry.value in words:
                self.wrong(entry.line, f"{key} holds {entry.value} twice; keep one")
            else:
                words[entry.value] = entry.line
        return words
