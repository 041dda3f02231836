"""SIGTERM while updates of the gateway's own pages are open: streams end as without them, and so does the process."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import WAIT, eventually
from tests.plain_http import http_client

pytestmark = pytest.mark.end_to_end

DRAIN = 8.0
"""Seconds: so many that a busy machine sees what ends at their beginning before the last stream."""
ALLOWED = 20.0
"""Seconds beyond that after which a gateway has ended, as docs/OPERATING.md promises."""
STREAMS = 8
FAREWELL = re.compile(rb"retry: \d+\nid: \[.*\]\n\n\Z")


class Body:
    """A response that is read to its end; one that breaks off raises."""

    def __init__(self, client: httpx.AsyncClient, url: str) -> None:
        self.received = b""
        self.ended = 0.0
        self.task = asyncio.create_task(self._read(client, url))

    async def _read(self, client: httpx.AsyncClient, url: str) -> None:
        async with client.stream("GET", url, headers={"accept": "text/event-stream"}) as response:
            assert response.status_code == 200
            async for part in response.aiter_bytes():
                self.received += part
        self.ended = time.monotonic()


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_stop_is_that_without_updates(serve: Serve, tmp_path: Path, workers: int) -> None:
    gateway = await serve({"numbers": {}}, f"sqlite:///{tmp_path}/events.db", drain_time=DRAIN, workers=workers)
    table_url = f"http://127.0.0.1:{gateway.admin_port}/-/connections"
    async with http_client(timeout=WAIT) as client:
        streams = [Body(client, f"{gateway.address}/v2/stream/numbers") for _ in range(STREAMS)]
        rates, table = Body(client, f"{gateway.address}/explorer/rates"), Body(client, table_url)

        async def all_are_open() -> bool:
            return b"numbers" in rates.received and b'"total":%d' % STREAMS in table.received

        await eventually(all_are_open, "the updates show the streams")
        begun = time.monotonic()
        assert await gateway.stop() == 0
        assert DRAIN / 2 < time.monotonic() - begun < DRAIN + ALLOWED
        await asyncio.gather(*(one.task for one in (*streams, rates, table)))
    assert all(FAREWELL.search(one.received) for one in streams)
    assert rates.ended < max(one.ended for one in streams)
    assert "Traceback" not in gateway.errors
    assert " ERROR " not in gateway.errors.upper()
