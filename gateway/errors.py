"""The exceptions of the gateway, all of which derive from GatewayError. Their classes say whether a retry can help.

    GatewayError
    ├── Problem                 an answer given before a stream starts (RFC 9457)
    ├── ConfigurationError      a mistake in the configuration, with its place
    │   └── RestartNeeded       no mistake, but not possible in a process that runs
    ├── InvalidExpression       a filter that cannot be used, with line and column
    ├── FilterExhausted         a filter that needs too many steps on most events
    ├── InvalidFields           a `fields` list that cannot be used
    ├── InvalidPosition         a Last-Event-ID that cannot be read
    ├── BadRecord               a stored value that is not an event
    ├── InvalidToken            a bearer token that is not accepted (`access.signed`)
    ├── InvalidEnvironment      a variable that says how servers are reached, and cannot be used
    ├── KeysUnavailable         the keys of tokens cannot be fetched now
    └── LogError                what the event log could not do
        ├── LogUnavailable      nothing answers, and it passes: ask again later
        │   └── LogNewer        the log's file is of a format that this version does not know
        ├── LogForbids          what the log does not let the gateway do, until somebody acts
        ├── Refused             it answers, and does not give some topics or partitions: ask again later
        ├── OffsetOutOfRange    the offset asked for is not in the partition
        ├── TopicAbsent         the topic, or the partition, does not exist
        └── WriterFenced        another writer with the same name has taken over

Adapters translate foreign exceptions into these.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MISTAKE = "an internal error; the operator finds it in the log"
"""What a client is told of our own mistakes."""


class GatewayError(Exception):
    """The root of all errors that the gateway raises on purpose."""


class Problem(GatewayError):
    """A request that is answered with a problem document (RFC 9457)."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        parameter: str | None = None,
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title
        self.detail = detail
        self.parameter = parameter
        self.headers = dict(headers or {})
        self.members = dict(members or {})
        """Extension members (RFC 9457 section 3.2)."""

    def document(self) -> dict[str, object]:
        """The members of the problem document, in the order of RFC 9457 section 3.1."""
        document: dict[str, object] = {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.parameter is not None:
            document["parameter"] = self.parameter
        return document | self.members


class ConfigurationError(GatewayError):
    """One or more mistakes in the configuration; each is a line `file:line: what, and what would be right`."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes

    def __reduce__(self) -> tuple[type[ConfigurationError], tuple[list[str]]]:
        return type(self), (self.mistakes,)


class RestartNeeded(ConfigurationError):
    """What the configuration says cannot be put in force by a process that runs."""


class InvalidExpression(GatewayError):
    """A filter expression that cannot be used; line and column count from 1."""

    def __init__(self, detail: str, line: int = 1, column: int = 1) -> None:
        super().__init__(f"line {line}, column {column}: {detail}")
        self.line = line
        self.column = column


class FilterExhausted(GatewayError):
    """A filter has had too few steps for most of the last events that it was asked about."""

    def __init__(self, steps: int, exhausted: int, asked: int) -> None:
        super().__init__(
            f"`filter`: it needs more than {steps:,} steps (filter_max_steps) on {exhausted} of the last {asked} "
            "events: nested loops, long strings and large regular expressions cost most"
        )

    @property
    def problem(self) -> Problem:
        """What the client is told."""
        return Problem(400, "Filter too expensive", str(self), "filter")


class InvalidFields(GatewayError):
    """A `fields` parameter that cannot be used."""


class InvalidPosition(GatewayError):
    """A Last-Event-ID that cannot be read."""


class BadRecord(GatewayError):
    """A stored value that is not a JSON object (RFC 8259) within the bounds."""


class InvalidEnvironment(GatewayError):
    """A proxy, or certificates, that the environment names and that cannot be used; the message names the variable."""


class KeysUnavailable(GatewayError):
    """The key set that tokens are verified with cannot be fetched now."""


class LogError(GatewayError):
    """What the event log could not do. `kind` says why in words that anybody may be told (`eventlog.trouble.Kind`);
    empty where nobody knows. What the error says itself is for the operator, and may name hosts and paths."""

    def __init__(self, detail: str = "", kind: str = "") -> None:
        super().__init__(detail)
        self.kind = kind


class LogUnavailable(LogError):
    """The log does not answer now; the same call may succeed later."""


class LogNewer(LogUnavailable):
    """The log's file was written by a newer version of the gateway; it is left as it is."""


class LogForbids(LogError):
    """The log does not let the gateway do this (no right, a read-only or damaged file), until somebody acts."""


class Refused(LogError):
    """The log answers, and does not give some partitions: no leader, no right, a batch that cannot be read. `troubles`
    says why of each (`eventlog.trouble.Trouble`); what the error says names no host."""

    def __init__(self, troubles: Mapping[Any, Any]) -> None:
        named = [f"{topic}/{number} ({trouble.kind})" for (topic, number), trouble in list(troubles.items())[:5]]
        more = f" and {len(troubles) - 5} more" if len(troubles) > 5 else ""
        super().__init__(f"the log cannot be read at {', '.join(named)}{more}")
        self.troubles = dict(troubles)


class OffsetOutOfRange(LogError):
    """The offset asked for is below the start or past the end of its partition."""

    def __init__(self, topic: str, partition: int, offset: int) -> None:
        super().__init__(f"offset {offset} is not in {topic}/{partition}")
        self.topic = topic
        self.partition = partition
        self.offset = offset


class TopicAbsent(LogError):
    """The topic, or the partition of it, does not exist."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"there is no topic {topic}")
        self.topic = topic


class WriterFenced(LogError):
    """Another writer with the same name was opened after this one, which can append nothing any more."""

    def __init__(self, name: str) -> None:
        super().__init__(f"another writer called {name!r} has taken over")
        self.name = name
