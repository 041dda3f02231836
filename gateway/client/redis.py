"""Keeps a position in Redis, for programs that move between machines. `gateway.client` does not import it, because the
Redis library is slow to import."""

from __future__ import annotations

from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.client.answer import bare
from gateway.client.errors import PositionStoreError
from gateway.client.stores import read_position
from gateway.outbound.certificates import why_refused

SECONDS = 5.0
"""The longest that Redis may take to answer."""


class RedisPositions:
    """The value of a key, for one program at a time: a second one under the same key would move its position. Each call
    has a connection of its own, so there is nothing to close. Raises PositionStoreError."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._key = key

    async def load(self) -> str:
        """See PositionStore."""
        try:
            async with self._open() as redis:
                value = await redis.get(self._key)
        except (RedisError, OSError, ValueError) as error:
            raise self._failed(error) from None
        if value is None:
            return ""
        position = read_position(value if isinstance(value, bytes) else value.encode())
        if position is None:
            raise PositionStoreError(f"{self._key!r} in {bare(self._url)} holds something else than a position")
        return position

    async def save(self, position: str) -> None:
        """See PositionStore."""
        try:
            async with self._open() as redis:
                await redis.set(self._key, position)
        except (RedisError, OSError, ValueError) as error:
            raise self._failed(error) from None

    def _open(self) -> Redis:
        client: Redis = Redis.from_url(self._url, socket_timeout=SECONDS, socket_connect_timeout=SECONDS)
        return client

    def _failed(self, error: Exception) -> PositionStoreError:
        return PositionStoreError(f"the position {self._key!r} in {bare(self._url)}: {why_refused(error) or error}")
