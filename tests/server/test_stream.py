"""The connection of a stream, past the server."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.server.stream import StreamConnection


class Breaking:
    """A transport whose second write finds that the other side is gone, which its protocol learns a turn later."""

    def __init__(self) -> None:
        self.writes = 0
        self.protocol: Any = None

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def is_closing(self) -> bool:
        return self.writes > 1

    def write(self, data: bytes) -> None:
        self.writes += 1
        if self.writes == 2:
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, BrokenPipeError())


async def test_nothing_is_written_to_a_connection_that_breaks() -> None:
    transport: Any = Breaking()
    connection = StreamConnection(transport, paused=False, on_end=lambda: None)
    for _ in range(60):
        await connection.write(b"x")
    assert transport.writes == 2
    assert not connection.gone.done()
    await connection.gone
