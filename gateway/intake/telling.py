"""Explains to clients why the log did not take their events. Pure.

Clients learn the kind of the trouble, and whether to send the event again. The adapters' words name hosts, files and
topics, and are for the operator.
"""

from __future__ import annotations

from gateway.errors import LogError, LogForbids, LogUnavailable, Refused
from gateway.eventlog.trouble import Kind, trouble_with
from gateway.intake.batch import FAILURES, WITHDRAWN
from gateway.intake.store import ELSEWHERE

_AGAIN = "a repeat fails until the operator"
_DOUBT = ", and may have stored it or not; sent again with the same meta.id, it is stored once"


def is_forbidden(fate: LogError) -> bool:
    """Whether to send it again is of no use, until an operator acts."""
    if isinstance(fate, Refused):
        return all(trouble.kind is Kind.NO_RIGHT for trouble in fate.troubles.values())
    return isinstance(fate, LogForbids)


def forbidden(kind: str) -> str:
    """The message for an event that the log refuses until an operator acts."""
    if kind in (Kind.NO_RIGHT, Kind.UNAVAILABLE):
        return f"the gateway may not write to the stream's topic; {_AGAIN} allows it"
    return f"the log cannot take it ({kind}); {_AGAIN} fixes that"


def away(kind: str) -> str:
    """The message for a request of which nothing was stored, through no fault of its own."""
    why = "the log does not answer" if kind in ("", Kind.UNAVAILABLE) else f"the log accepts no events now ({kind})"
    return f"{why}; send it again in a moment"


def told_of(fate: LogError) -> str:
    """The message for one event."""
    kind = trouble_with(fate).kind
    if is_forbidden(fate):
        return forbidden(kind)
    if fate is WITHDRAWN or fate is ELSEWHERE:
        return str(fate)
    if isinstance(fate, LogUnavailable):
        why = "did not answer in time" if kind is Kind.UNAVAILABLE else f"has not confirmed the event ({kind})"
        return f"the log {why}{_DOUBT}"
    if isinstance(fate, FAILURES):
        return f"the log does not accept it now ({kind}); the event is not stored"
    # It is the event's own fault. Without a kind, the text is our own, and names nothing.
    return f"the log refuses it: {kind}" if fate.kind else str(fate)
