"""Two gateways behind a real HAProxy, with the configuration that the guide shows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import absent
from tests.end_to_end.conftest import Launch
from tests.end_to_end.follower import Follow
from tests.end_to_end.numbers import STREAM, Sender, numbered
from tests.end_to_end.process import configuration, eventually
from tests.end_to_end.stream import Client
from tests.services.haproxy import CHECK, HAProxy, haproxy_program

pytestmark = pytest.mark.end_to_end

Start = Callable[..., HAProxy]


@pytest.fixture
def start_haproxy(tmp_path: Path) -> Iterator[Start]:
    """(ports, check): a HAProxy before these."""
    program = haproxy_program() or absent("there is no haproxy")
    started: list[HAProxy] = []

    def start(*ports: int, check: str) -> HAProxy:
        started.append(HAProxy(program, tmp_path / "haproxy", ports, check))
        started[-1].start()
        return started[-1]

    yield start
    for haproxy in started:
        haproxy.stop()


@pytest.mark.parametrize(("check", "told"), [(CHECK, "L7OK 200"), ("option httpchk", "L7OK 204")])
async def test_streams_go_through_and_on_at_the_other_gateway(
    check: str, told: str, start_haproxy: Start, gateways: Launch, client: Client, follow: Follow, tmp_path: Path
) -> None:
    """Also with its own check, which asks for no path."""
    path, log = configuration(tmp_path, **numbered(tmp_path)), f"sqlite:///{tmp_path / 'events.db'}"
    pair = [gateways("--config", str(path), "--log", log) for _ in range(2)]
    await asyncio.gather(*(gateway.start() for gateway in pair))
    haproxy = start_haproxy(*(gateway.port for gateway in pair), check=check)

    async def checked(*wanted: str) -> bool:
        found = haproxy.servers()
        states = [found[name] for name in ("one", "two")]
        return [state for state, _ in states] == list(wanted) and {told} == {
            said for state, said in states if state == "UP"
        }

    await eventually(lambda: checked("UP", "UP"), "both are checked and up")
    async with Sender(pair[1]) as sender:
        await sender.until(1)
        follower = await follow(haproxy.port, STREAM, since=1)
        stream = await client.stream(haproxy.port, STREAM, since=1)
        for number in range(sender.stored, sender.stored + 3):
            # Each comes before the next is stored: nothing waits for a buffer to be full.
            await stream.until(lambda: number in stream.numbers, f"the event {number}")  # noqa: B023
        assert await pair[0].stop() == 0
        last = sender.stored + 3
        await follower.have(last)
        await eventually(lambda: checked("DOWN", "UP"), "the one that stopped is down")
        await sender.until(last + 1)
        assert (await client.request(haproxy.port, STREAM, since=1, limit=1)).status == 200
    assert follower.numbers == list(range(len(follower.numbers)))
    assert not stream.torn
