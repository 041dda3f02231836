"""A view over a Kafka with several partitions: built, taken up again, and given more partitions."""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.clock import SystemClock
from gateway.eventlog.kafka.log import KafkaLog
from gateway.state.builder import keep_building
from gateway.state.files import path_of, state_of
from tests.eventlog.unhurried import unhurried
from tests.kit.waiting import becomes
from tests.routes.viewing import VIEW, page

pytestmark = pytest.mark.kafka


async def test_a_view_is_built_from_kafka(kafka: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unhurried(monkeypatch)
    topic = f"pages-{uuid.uuid4().hex[:8]}"
    view = dataclasses.replace(VIEW, topic=topic)
    log = KafkaLog([kafka], {})
    await log.open()

    @asynccontextmanager
    async def building() -> AsyncIterator[None]:
        stop = asyncio.Event()
        task = asyncio.create_task(keep_building(view, log, tmp_path, 1000, SystemClock(), stop))
        try:
            yield
        finally:
            stop.set()
            await task

    def read() -> int:
        state = state_of(path_of(tmp_path, view))
        return -1 if state is None or not state.ready else sum(place.next for place in state.places.values())

    try:
        await log.create(topic, 3)
        await log.append(topic, [page(f"P{n}", n, partition=n % 3) for n in range(300)])
        async with building():
            await becomes(lambda: read() == 300)
            await log.append(topic, [page("P0", 1000, kind="delete", partition=0)])
            await becomes(lambda: read() == 301)
        await log.append(topic, [page("P1", 1001, n=1, partition=1)])
        async with building():
            await becomes(lambda: read() == 302)
        state = state_of(path_of(tmp_path, view))
        assert state is not None
        assert (state.keys, state.moved) == (299, False)
    finally:
        await log.close()
