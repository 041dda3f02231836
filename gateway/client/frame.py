"""An event as the parser finds it in a stream."""

from __future__ import annotations

from typing import NamedTuple


class StreamEvent(NamedTuple):
    """An event as it came. `data` is its bytes, lines joined by LF; `id` is the position once it has been read, empty
    where the server has named none. `named`: the id stood in this very frame. `left_out`: it is larger than is read, so
    that its data is not here. `meta_id` is the event's own id (`meta.id`), where events are told apart by it."""

    event: str
    data: bytes
    id: str
    named: bool = True
    left_out: bool = False
    meta_id: str = ""
