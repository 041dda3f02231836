"""A gateway, a plain client and an attack: from before it begins until the gateway has stopped under it."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from loadtests.machine import resident
from tests.attacks.force import Attack, Options
from tests.attacks.monitor import Monitor, Put, percentile
from tests.columns import columns
from tests.effort import lasting
from tests.end_to_end.process import GatewayProcess, eventually

SECONDS = lasting(3, 30)
"""How long an attack lasts."""
CALM = 0.3
"""How long the plain client is by itself before it."""
DRAIN_TIME = 0.3
STOP_SECONDS = 10.0
"""Beyond the drain time: by then a process that is told to stop has ended, whoever attacks it."""
SUMMARY = 4
"""So many kinds of answers are told in the table, the commonest first."""
FAULTS = re.compile(r"5(?!03)\d\d|Traceback|none")
"""What is answered to nobody. (503 is for events while the log takes none.)"""

REPORT_VARIABLE = "GATEWAY_TEST_ATTACKS"
"""The environment variable with the file that the table is written to."""
ABOUT = (
    "# Attacks",
    "",
    "Written by `scripts/soak`, not by hand: who came, what they were answered, and what two plain clients and whoever",
    "asks for `/healthz` noticed of it. Events came every 50 ms, and each was had once and in order. Times are those",
    "that the gateway took: without what it, or the clients, waited for a core. The end is what it took from SIGTERM",
    "on, while the attack went on; the memory is the most that it had.",
)


class Line(NamedTuple):
    """A line of the table; times in seconds, memory in bytes. An attack that broke something has `broke`."""

    attack: str
    load: str
    events: int
    delay: float
    health: float
    health_worst: float
    stop: float
    memory: int
    broke: str = ""

    def cells(self) -> tuple[str, ...]:
        """As text."""
        times = (f"{value * 1000:,.0f}" for value in (self.delay, self.health, self.health_worst, self.stop))
        load = f"{self.load}: BROKE IT" if self.broke else self.load
        return self.attack, load, f"{self.events:,}", *times, f"{self.memory / 1e6:,.0f}"


HEADS = (
    "attack",
    "what it did, and was answered",
    "events",
    "worst delay of an event, ms",
    "p99 of /healthz, ms",
    "worst",
    "end, ms",
    "memory, MB",
)


def table(lines: list[Line]) -> list[str]:
    """The lines in columns, as in Markdown."""
    return columns(HEADS, [line.cells() for line in lines], HEADS[:2])


def summary(counted: Mapping[str, int]) -> str:
    """The commonest answers."""
    commonest = Counter(counted).most_common(SUMMARY)
    return ", ".join(f"{count:,} × {what}" for what, count in commonest) or "–"


class Siege:
    """What one attack came to. `counted`: what its parties were answered; `seconds`: how long it goes on."""

    def __init__(self, name: str, gateway: GatewayProcess, monitor: Monitor, attack: Attack | None) -> None:
        self.gateway = gateway
        self.monitor = monitor
        self.counted: Counter[str] = Counter()
        self.stop_seconds = 0.0
        self.memory = 0
        self._name = name
        self._attack = attack

    async def stop(self) -> None:
        """End the gateway while the attack goes on, and then the attack. Raises AssertionError where the gateway takes
        long, or any party was answered what nobody is."""
        self.memory = most_memory(self.gateway.pid)
        begun = self.monitor.clock.now()
        pid = self.gateway.pid
        self.gateway.terminate()

        async def over() -> bool:
            return has_ended(pid)

        await eventually(over, f"{self._name}: the end of the gateway")
        self.stop_seconds = begun.until(self.monitor.clock.now())
        status = await self.gateway.ended()
        if self._attack is not None:
            self.counted = await self._attack.end()
        assert status == 0, f"{self._name}: the gateway ended with {status}"
        assert self.stop_seconds < DRAIN_TIME + STOP_SECONDS, f"{self._name}: {self.stop_seconds:.1f} s until its end"
        wrong = {what: count for what, count in self.counted.items() if FAULTS.fullmatch(what)}
        assert not wrong, f"{self._name}: answered {wrong}"

    def line(self, broke: str) -> Line:
        """What is told of it."""
        monitor = self.monitor
        answers = monitor.answers
        return Line(
            self._name,
            summary(self.counted),
            monitor.events,
            max(monitor.delays, default=0.0),
            percentile(answers, 0.99),
            max(answers, default=0.0),
            self.stop_seconds,
            self.memory,
            broke,
        )


@asynccontextmanager
async def besieged(
    name: str,
    gateway: GatewayProcess,
    put: Put,
    lines: list[Line],
    attack: tuple[str, str, Options] | None = None,
    follows: bool = True,
) -> AsyncIterator[Siege]:
    """A gateway under attack for as long as the body takes; then it is stopped under it, and judged. Without
    `follows` there is no plain client, since there is no log for it."""
    party: Attack | None = None
    siege: Siege | None = None
    broke = "it could not even begin"
    try:
        async with Monitor(gateway, put, follows) as monitor:
            siege = Siege(name, gateway, monitor, None)
            await monitor.endure(CALM)
            if attack is not None:
                module, called, options = attack
                party = await Attack.begin(module, called, replace(options, pid=gateway.pid))
            siege = Siege(name, gateway, monitor, party)
            yield siege
            if party is not None:
                await party.strikes()
            await monitor.stop()
            monitor.judge()
            for client in monitor.clients:
                client.close()
            await siege.stop()
        broke = ""
    except AssertionError as error:
        broke = str(error)
        raise
    finally:
        if siege is not None:
            lines.append(siege.line(broke))
        if party is not None:
            await party.clear_up()


def has_ended(pid: int) -> bool:
    """Whether a process has. Its status is left to others: until one takes it, the system knows how long it waited."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def most_memory(pid: int) -> int:
    """The most that a process had resident, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^VmHWM:\s+(\d+)", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else resident(pid)
