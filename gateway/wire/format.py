"""The frames that a subscription can send, whatever the format."""

from __future__ import annotations

from typing import Protocol

NOTHING = b"\n"
"""Says nothing, wherever a frame may begin, in every format that tells of itself."""


class Format(Protocol):
    """Turns what a subscription says into bytes. `identifier` is the position, `document` is JSON on one line."""

    @property
    def content_type(self) -> str: ...

    @property
    def tells(self) -> bool:
        """Whether it can say anything beside events: that they are missing, or that the response fails."""
        ...

    def opening(self, identifier: bytes, retry: int) -> bytes:
        """The first bytes of a response; `retry` in milliseconds."""
        ...

    def message(self, identifier: bytes, data: bytes) -> bytes:
        """An event."""
        ...

    def heartbeat(self, identifier: bytes, comment: bytes | None = None) -> bytes:
        """Where the client stands, when there is nothing else to say."""
        ...

    def farewell(self, identifier: bytes, retry: int) -> bytes:
        """The last bytes of a response that ends though its range does not; `retry` in milliseconds."""
        ...

    def notice(self, kind: bytes, identifier: bytes, document: bytes) -> bytes:
        """A `gap` or an `error`."""
        ...

    def end(self, identifier: bytes, document: bytes) -> bytes:
        """The end of a range."""
        ...
