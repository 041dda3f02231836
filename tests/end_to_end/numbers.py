"""A sender of numbered events, which sends each until it is stored, and a schema for them."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import Any

import httpx

from tests.end_to_end.process import WAIT, GatewayProcess
from tests.plain_http import http_client

STREAM = "numbers"
SCHEMA = """
title: number
$id: /number/1.0.0
type: object
properties: {$schema: {type: string}, meta: {type: object}, n: {type: integer}, text: {type: string}}
"""
PAUSE = 0.02
"""Seconds between two events."""


def numbered(directory: Path) -> dict[str, Any]:
    """Settings of a gateway that takes numbered events, and the stream's under `streams`."""
    place = directory / "schemas" / "number"
    place.mkdir(parents=True)
    (place / "1.0.0.yaml").write_text(SCHEMA)
    return {"streams": {STREAM: {"schema_title": "number"}}, "schema_repositories": [str(directory / "schemas")]}


class Sender:
    """Sends events from 0 on, one after the other, as long as it is open. An event that is not stored is sent again
    with the id that it has; it is never given up."""

    def __init__(self, *gateways: GatewayProcess, padding: int = 0) -> None:
        self.stored = 0
        """How many events are stored; the number of the next."""
        self.statuses: list[int] = []
        """Of each answer."""
        self._gateways = gateways
        self._padding = "x" * padding
        self._ending = False
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Sender:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end()

    async def end(self) -> int:
        """Stop when what is being sent is stored; returns how many are."""
        self._ending = True
        assert self._task is not None
        async with asyncio.timeout(2 * WAIT):
            await self._task
        return self.stored

    async def until(self, stored: int) -> None:
        """Wait until so many are stored."""
        await self._wait(lambda: self.stored >= stored, f"{stored} stored events")

    async def answered(self, status: int, after: int = 0) -> None:
        """Wait for an answer with this status, beyond the first so many answers."""
        await self._wait(lambda: status in self.statuses[after:], f"the status {status}")

    async def _wait(self, condition: Any, what: str) -> None:
        try:
            async with asyncio.timeout(WAIT):
                while not condition():
                    assert self._task is not None
                    if self._task.done():
                        self._task.result()
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"{what}: not within {WAIT:g} s; {self.stored} are, {self.statuses[-5:]}") from None

    async def _run(self) -> None:
        async with http_client(timeout=WAIT) as client:
            while not self._ending:
                await self._send(client)
                self.stored += 1
                self._changed.set()
                await asyncio.sleep(PAUSE)

    async def _send(self, client: httpx.AsyncClient) -> None:
        event = {
            "$schema": "/number/1.0.0",
            "meta": {"stream": STREAM, "id": str(uuid.uuid4())},
            "n": self.stored,
            "text": self._padding,
        }
        turn = self.stored
        while True:
            gateway = self._gateways[turn % len(self._gateways)]
            turn += 1
            try:
                answer = await client.post(f"{gateway.address}/v1/events", json=event)
            except httpx.TransportError:
                await asyncio.sleep(PAUSE)
                continue
            self.statuses.append(answer.status_code)
            self._changed.set()
            if answer.status_code == 201:
                return
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["retry-after"]) > 0
            assert "Traceback" not in answer.text
            await asyncio.sleep(PAUSE)
