"""Rows of a table (RFC 4180, RFC 7111): what is no row cannot be said."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CommaSeparated:
    """A header line and a row an event, which the selection has made. There are no heartbeats and no notices: whoever
    ends a response early breaks it off, so that nobody takes a part for the whole."""

    header: bytes
    content_type = "text/csv; charset=utf-8; header=present"
    tells = False

    def opening(self, identifier: bytes, retry: int) -> bytes:
        return self.header

    def message(self, identifier: bytes, data: bytes) -> bytes:
        return data

    def heartbeat(self, identifier: bytes, comment: bytes | None = None) -> bytes:
        return b""

    def farewell(self, identifier: bytes, retry: int) -> bytes:
        return b""

    def end(self, identifier: bytes, document: bytes) -> bytes:
        return b""

    def notice(self, kind: bytes, identifier: bytes, document: bytes) -> bytes:
        return b""
