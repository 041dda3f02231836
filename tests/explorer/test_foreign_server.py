"""The page's reader against Starlette and sse-starlette."""

from __future__ import annotations

import asyncio
import json
import shutil
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from tests.conftest import absent
from tests.kit.foreign_server import EACH, foreign_server, position

FOLLOW = Path(__file__).parent / "units" / "follow.mjs"
EVENTS = [{"n": number, "text": "ä\u2028\r\n"} for number in range(2 * EACH + 1)]


@pytest.mark.long
async def test_every_event_comes_once_over_all_responses() -> None:
    node = shutil.which("node") or absent("there is no node")
    async with asyncio.timeout(60), foreign_server(EVENTS, position) as server:
        program = await asyncio.create_subprocess_exec(node, str(FOLLOW), server.address, stdout=PIPE)
        output, _ = await program.communicate()
    told = json.loads(output)
    assert [json.loads(event["text"]) for event in told["events"]] == EVENTS
    # Before the first event the gateway sends an id, and such a server none: what has moved is not known there.
    places = [(event["topic"], event["offset"]) for event in told["events"][1:]]
    assert places == [("t", number) for number in range(1, len(EVENTS))]
    assert told["states"][-1] == "ended"
    assert "open" in told["states"]
    assert server.asked == [None, *(position(number) for number in (EACH - 1, 2 * EACH - 1, 2 * EACH))]
