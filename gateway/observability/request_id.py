"""The id of the current request, for the lines of the log."""

from __future__ import annotations

from contextvars import ContextVar

current: ContextVar[str | None] = ContextVar("request_id", default=None)
"""None outside of a request."""
