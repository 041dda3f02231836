"""The clients of a measurement, in processes of their own that say how busy they were."""

from __future__ import annotations

import gc
import multiprocessing
import os
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from typing import Any

from loadtests.client import Clients
from loadtests.machine import CLIENT_CORES, MeasurementError, own_usage

START_SECONDS = 60
LINGER_SECONDS = 5
ANSWER_SECONDS = 30
"""What a process may take beside the time that its task was given."""


@dataclass(frozen=True, slots=True)
class Audience:
    """Who connects; see Clients."""

    port: int
    paths: Sequence[str]
    count: int
    sampled: int = 50
    reading: str = "plain"
    slow: int = 0
    first: int = 0

    def share(self, number: int, of: int) -> Audience:
        """The part of one process."""
        begin, end = self.count * number // of, self.count * (number + 1) // of
        sampled = max(1, self.sampled // of) if self.sampled else 0
        return replace(self, count=end - begin, first=begin, sampled=sampled, slow=self.slow // of)


@dataclass(slots=True)
class Heard:
    """What clients have read since they connected; of each client, or of each in the sample.

    `running` and `waiting` are the busiest process's seconds with its core, and without it, of `seconds`.
    """

    events: list[int] = field(default_factory=list)
    gaps: list[int] = field(default_factory=list)
    repeated: list[int] = field(default_factory=list)
    received: list[int] = field(default_factory=list)
    counted: list[bool] = field(default_factory=list)
    delays: list[Any] = field(default_factory=list)
    arrivals: list[Any] = field(default_factory=list)
    finished: list[float] = field(default_factory=list)
    seconds: float = 0.0
    running: float = 0.0
    waiting: float = 0.0
    live_seconds: float = 0.0
    in_time: bool = True

    @property
    def busy_percent(self) -> float:
        """The part of the time in which the busiest process had something to do, with its core or without."""
        return 100 * (self.running + self.waiting) / self.seconds if self.seconds else 0.0

    def add(self, other: Heard) -> None:
        """Take in what another process heard."""
        for name in ("events", "gaps", "repeated", "received", "counted", "delays", "arrivals", "finished"):
            getattr(self, name).extend(getattr(other, name))
        if other.busy_percent >= self.busy_percent:
            self.running, self.waiting = other.running, other.waiting
        self.seconds = max(self.seconds, other.seconds)
        self.live_seconds = max(self.live_seconds, other.live_seconds)
        self.in_time = self.in_time and other.in_time


class Crowd:
    """The processes. Commands go to all of them; each reads on while it waits for the next. Raises MeasurementError."""

    def __init__(self, audience: Audience, processes: int = 1) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for number in range(processes):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_serve, args=(audience.share(number, processes), number, theirs), daemon=True
            )
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def __enter__(self) -> Crowd:
        try:
            self._answers(START_SECONDS)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        for process in self._processes:
            process.kill()
            process.join()

    def connect(self, seconds: float, part: float = 1.0) -> None:
        """Open that part of the connections, after those that are open, and wait until all are answered."""
        self._all("connect", seconds, part)

    def watch(self) -> None:
        """Begin to measure how busy the clients are."""
        self._all("watch", ANSWER_SECONDS)

    def read(self, seconds: float) -> Heard:
        """For so long, whatever comes."""
        return self._heard("read", seconds)

    def read_events(self, each: int | Sequence[int], seconds: float) -> Heard:
        """Until all counted clients together have so many events; what is lacking then is for `faults` to tell."""
        return self._heard("read_events", seconds, each)

    def storm(self, seconds: float) -> Heard:
        """Drop all connections at once and resume them; `live_seconds` is until each has all that any had when the last
        was answered. How busy the clients were is of that time."""
        return self._heard("storm", seconds)

    def _heard(self, command: str, seconds: float, *arguments: Any) -> Heard:
        heard = Heard()
        for answer in self._all(command, seconds, *arguments):
            heard.add(answer)
        return heard

    def _all(self, command: str, seconds: float, *arguments: Any) -> list[Any]:
        for pipe in self._pipes:
            pipe.send((command, seconds, *arguments))
        return self._answers(seconds + ANSWER_SECONDS)

    def _answers(self, seconds: float) -> list[Any]:
        deadline = time.monotonic() + seconds
        answers = []
        for pipe in self._pipes:
            try:
                if not pipe.poll(max(0.0, deadline - time.monotonic())):
                    raise MeasurementError("a process of clients does not answer")
                answer = pipe.recv()
            except (EOFError, ConnectionError) as error:
                raise MeasurementError("a process of clients has ended") from error
            if isinstance(answer, MeasurementError):
                raise answer
            answers.append(answer)
        return answers


class _Member:
    """One process of a crowd."""

    def __init__(self, audience: Audience, clients: Clients) -> None:
        self._audience = audience
        self._clients = clients
        self._began, self._usage = time.monotonic(), own_usage()

    def connect(self, seconds: float, part: float) -> None:
        audience, there = self._audience, len(self._clients)
        count = min(max(1, round(audience.count * part)), audience.count - there)
        slow = audience.slow if there + count == audience.count else 0
        self._clients.connect(count, seconds, slow, audience.first + there)

    def watch(self, seconds: float) -> None:
        self._began, self._usage = time.monotonic(), own_usage()

    def read(self, seconds: float) -> Heard:
        end = time.monotonic() + seconds
        self._clients.run(lambda: time.monotonic() >= end, end + ANSWER_SECONDS)
        return self._heard()

    def read_events(self, seconds: float, each: int | Sequence[int]) -> Heard:
        clients = self._clients
        wanted = {client.index: each if isinstance(each, int) else each[client.index] for client in clients}
        total = sum(wanted[client.index] for client in clients if client.counted)
        end = time.monotonic() + seconds
        clients.run(lambda: clients.events >= total or time.monotonic() >= end, end + ANSWER_SECONDS)
        # What is too much comes after the end, and counts; the time until then does not.
        in_time, then = clients.events >= total, self._heard()
        clients.linger(LINGER_SECONDS)
        complete = self._heard()
        complete.in_time = in_time
        complete.seconds, complete.running, complete.waiting = then.seconds, then.running, then.waiting
        return complete

    def storm(self, seconds: float) -> Heard:
        clients, began, used, end = self._clients, time.monotonic(), own_usage(), time.monotonic() + seconds
        clients.drop()
        clients.resume(seconds)
        newest = max(client.state.following for client in clients)
        behind = list(clients)

        def all_live() -> bool:
            behind[:] = [client for client in behind if client.state.following < newest]
            return not behind

        clients.run(all_live, end)
        heard = self._heard()
        heard.seconds = heard.live_seconds = time.monotonic() - began
        heard.running, heard.waiting = (now - then for now, then in zip(own_usage(), used, strict=True))
        return heard

    def _heard(self) -> Heard:
        heard = Heard(seconds=time.monotonic() - self._began)
        ran, waited = own_usage()
        heard.running, heard.waiting = ran - self._usage[0], waited - self._usage[1]
        for client in self._clients:
            state = client.state
            heard.events.append(state.events)
            heard.gaps.append(state.gaps)
            heard.repeated.append(state.repeated)
            heard.received.append(state.received)
            heard.counted.append(client.counted)
            heard.finished.append(client.last_event)
            if state.samples:
                sent, came = client.samples
                heard.delays.append(array("q", map(int.__sub__, came, sent)))
                heard.arrivals.append(came)
        return heard


def _serve(audience: Audience, number: int, pipe: Connection) -> None:
    os.sched_setaffinity(0, {CLIENT_CORES[number % len(CLIENT_CORES)]})
    gc.disable()
    try:
        with Clients(audience.port, audience.paths, audience.sampled, audience.reading) as clients:
            clients.wake_on(pipe.fileno())
            member = _Member(audience, clients)
            pipe.send("ready")
            while True:
                clients.run(pipe.poll, float("inf"))
                command, *arguments = pipe.recv()
                pipe.send(getattr(member, command)(*arguments))
    except MeasurementError as error:
        pipe.send(error)
    except OSError as error:
        pipe.send(MeasurementError(f"the clients met {error!r}"))
    except (EOFError, KeyboardInterrupt):
        pass
