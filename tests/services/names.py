"""A resolver of names that may be elsewhere from one question to the next."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from types import TracebackType
from typing import Any

LIFE_SECONDS = 600
"""How long an answer holds, as it says: as long as Docker's."""


class Names(asyncio.DatagramProtocol):
    """Answers over UDP, from a table that tests change meanwhile. Who is not in it does not exist."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self.addresses = dict(addresses)
        self.port = 0
        self.asked = 0
        self._transport: asyncio.DatagramTransport | None = None

    async def __aenter__(self) -> Names:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, ("127.0.0.1", 0))
        self.port = self._transport.get_extra_info("sockname")[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._transport is not None
        self._transport.close()

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """A question of one name (RFC 1035, section 4.1)."""
        assert self._transport is not None
        self.asked += 1
        end = data.index(0, 12)
        labels, rest = [], data[12:end]
        while rest:
            labels.append(rest[1 : 1 + rest[0]].decode())
            rest = rest[1 + rest[0] :]
        address = self.addresses.get(".".join(labels))
        question = data[12 : end + 5]
        if address is None:
            self._transport.sendto(data[:2] + bytes.fromhex("8183 0001 0000 0000 0000") + question, addr)
            return
        # The name is where the question has it; of type A, in the Internet.
        answer = bytes.fromhex("c00c 0001 0001") + LIFE_SECONDS.to_bytes(4) + b"\x00\x04" + socket.inet_aton(address)
        self._transport.sendto(data[:2] + bytes.fromhex("8180 0001 0001 0000 0000") + question + answer, addr)
