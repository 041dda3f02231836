"""Random filters over random events: none takes long to be compiled, refused or asked, and none ends the process."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable

import pytest

from tests.attacks.pairs import EVENTS
from tests.attacks.test_fuzz import SEED
from tests.effort import lasting
from tests.end_to_end.process import ROOT

PAIRS = lasting(20_000, 1_200_000)
HANGS_AFTER = 20.0
"""Seconds without another expression."""


@pytest.mark.long
@pytest.mark.alone
async def test_random_filters_over_random_events(attack_note: Callable[[str], None]) -> None:
    arguments = [sys.executable, "-m", "tests.attacks.pairs", str(SEED), str(PAIRS)]
    process = await asyncio.create_subprocess_exec(*arguments, stdout=PIPE, stderr=PIPE, cwd=ROOT, limit=1 << 20)
    assert process.stdout is not None
    trying = said = b""
    try:
        async with asyncio.timeout(None) as deadline:
            loop = asyncio.get_running_loop()
            while line := await process.stdout.readline():
                deadline.reschedule(loop.time() + HANGS_AFTER)
                trying, said = (line, said) if line.startswith(b"trying ") else (trying, line)
        _, errors = await process.communicate()
    except TimeoutError:
        pytest.fail(f"it hangs: {trying.decode()}")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, f"{trying.decode()}{errors.decode()[-3000:]}"
    counted = json.loads(said)
    assert counted["pairs"] >= PAIRS
    assert counted["matches"] > PAIRS // 50, "what is tried says something of events"
    told = ", ".join(f"{name} {value}" for name, value in counted.items())
    attack_note(f"random filters, {EVENTS} events each: {told}")
