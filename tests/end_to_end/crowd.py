"""Many clients in a process of its own, which come back with their last id and count for themselves.

    python -m tests.end_to_end.crowd PORT[,PORT…] TARGET CLIENTS LAST [halt]

Of several ports, each client begins with another one, and goes to the next whenever its response ends.

It says `open` when every client has its first bytes, and with `halt` stops there (SIGSTOP) until it is told to go on
(SIGCONT), so that the last that came have not got much more. It says `half` when the first has had half of the events.
It ends when every one has had the event LAST, or has had nothing for a while, and says as JSON what they counted.
Events are numbered from 0 in one partition.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import time
from collections.abc import Sequence

from gateway.server.acceptor import raise_file_limit
from tests.end_to_end.follower import follow

EVENT = re.compile(rb'\ndata: \{"n":(\d+)')
PATIENCE = 60.0
"""Seconds in which nobody's stream opens and nobody has an event, after which what is missing counts as lost."""


class Member:
    """One client. `following` is the number that has to come next."""

    def __init__(self, crowd: Crowd) -> None:
        self.last_id: str | None = None
        self.following = 0
        self.responses = 0
        self._crowd = crowd
        self._rest = b""
        self._cut_at: float | None = None

    def ask(self, _: asyncio.Transport) -> None:
        """One more request was sent."""
        self.responses += 1

    def feed(self, data: bytes) -> None:
        """See Taker. Only whole frames count."""
        data = self._rest + data
        end = data.rfind(b"\n\n") + 2
        if end < 2:
            self._rest = data
            return
        frames, self._rest = b"\n" + data[:end], data[end:]
        crowd = self._crowd
        for match in EVENT.finditer(frames):
            self._take(int(match[1]))
        crowd.gaps += frames.count(b"\nevent: gap")
        place = frames.rfind(b"\nid: ") + 5
        if place >= 5:
            if self.last_id is None:
                crowd.opened()
            self.last_id = frames[place : frames.index(b"\n", place)].decode()

    def _take(self, number: int) -> None:
        crowd = self._crowd
        crowd.events += 1
        crowd.lost += max(0, number - self.following)
        crowd.repeated += number < self.following
        if self._cut_at is not None:
            crowd.heal = max(crowd.heal, time.monotonic() - self._cut_at)
            self._cut_at = None
        crowd.passed(number)
        if number == crowd.last and self.following <= number:
            crowd.finished()
        self.following = max(self.following, number + 1)

    def cut(self) -> None:
        """See Taker."""
        self._rest = b""
        self._cut_at = self._cut_at or time.monotonic()
        self._crowd.cuts.append(self.following)


class Crowd:
    """All clients together. `heal`: seconds from a cut to the next event, the longest."""

    def __init__(self, last: int, clients: int, halts: bool) -> None:
        self.last = last
        self._halts = halts
        self.events = self.lost = self.repeated = self.gaps = 0
        self.heal = 0.0
        self.cuts: list[int] = []
        """The number that each client waited for when it was cut off."""
        self.members = [Member(self) for _ in range(clients)]
        self._opening = self._reading = clients
        self._told_half = False
        self._done = asyncio.Event()

    def opened(self) -> None:
        """One more has its first bytes."""
        self._opening -= 1
        if self._opening == 0:
            print("open", flush=True)  # noqa: T201
            if self._halts:
                os.kill(os.getpid(), signal.SIGSTOP)

    def passed(self, number: int) -> None:
        """One has come to this event."""
        if not self._told_half and 2 * number > self.last:
            self._told_half = True
            print("half", flush=True)  # noqa: T201

    def finished(self) -> None:
        """One more has the last event."""
        self._reading -= 1
        if self._reading == 0:
            self._done.set()

    async def run(self, ports: Sequence[int], target: str) -> None:
        """Follow until all have the last event."""
        async with asyncio.TaskGroup() as group:  # noqa: TID251
            tasks = []
            for number, member in enumerate(self.members):
                first = number % len(ports)
                turns = [*ports[first:], *ports[:first]]
                tasks.append(group.create_task(follow(turns, target, member, member.ask)))
            while not self._done.is_set():
                before = self._opening, self.events
                try:
                    async with asyncio.timeout(PATIENCE):
                        await self._done.wait()
                except TimeoutError:
                    if (self._opening, self.events) == before:
                        break
            for task in tasks:
                task.cancel()

    def report(self) -> dict[str, object]:
        """What was counted; what has not come by now is lost."""
        missing = sum(self.last + 1 - member.following for member in self.members)
        return {
            "events": self.events,
            "lost": self.lost + missing,
            "repeated": self.repeated,
            "gaps": self.gaps,
            "heal": self.heal,
            "responses": min(member.responses for member in self.members),
            "cuts": self.cuts,
        }


async def main(ports: Sequence[int], target: str, clients: int, last: int, halts: bool) -> None:
    """Follow, and tell."""
    raise_file_limit()
    crowd = Crowd(last, clients, halts)
    await crowd.run(ports, target)
    print(json.dumps(crowd.report()), flush=True)  # noqa: T201


if __name__ == "__main__":
    given = [int(port) for port in sys.argv[1].split(",")]
    asyncio.run(main(given, sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:] == ["halt"]))
