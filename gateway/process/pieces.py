"""Pieces of work in one process: does those that all who work on the log leave to it, side by side in one event loop.

Each piece is a task of its own. It is ended where another process is to do it, or where it is not wanted any more, and
restarted where its definitions have changed. The log holds where it continues, stored with what it made, so it can be
ended anywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from gateway.errors import WriterFenced
from gateway.eventlog.port import EventLog, Membership
from gateway.observability import telemetry

GRACE_SECONDS = 12.0
"""Seconds in which work ends in order; a rule takes up to ten for the requests that are under way."""
CANCEL_SECONDS, CANCEL_TIMES = 0.1, 50
"""Seconds between two cancellations of work that has not ended. What is being closed may not notice one."""
FENCED_SECONDS = 1.0
"""Seconds before a piece that another process has taken over is put down; by then the others have told who does it."""

Begin = Callable[[asyncio.Event], Coroutine[Any, Any, None]]


class Piece(NamedTuple):
    """A piece of work that this process can do. `concern` is all of the definitions that it has to do with. What
    `begin` gives works until the event is set. It raises WriterFenced where another process has taken over, and
    returns before where there is nothing left that it could do. What is not shared each process does for itself."""

    concern: object
    begin: Begin
    is_shared: bool = True


@dataclass(eq=False, slots=True)
class _Job:
    concern: object
    stop: asyncio.Event
    task: asyncio.Task[None]


class Pieces:
    """What this process can do, and does."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._membership: Membership | None = None
        self._wanted: dict[str, Piece] = {}
        self._left: dict[str, object] = {}
        """The concerns of pieces of which nothing more can be done."""
        self._jobs: dict[str, _Job] = {}
        self._one = asyncio.Lock()
        self._changed = asyncio.Event()

    @property
    def doing(self) -> frozenset[str]:
        """The names of the pieces that are done here."""
        return frozenset(self._jobs)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, and then end in order. The log is open."""
        self._membership = await self._log.join(self._changed.set)
        following = asyncio.create_task(self._follow())
        try:
            await stop.wait()
        finally:
            following.cancel()
            await asyncio.wait([following])
            async with self._one:
                await self._end(list(self._jobs))
                membership, self._membership = self._membership, None
                await membership.close()

    async def take(self, pieces: Mapping[str, Piece]) -> None:
        """These are all that can be done; those that are not among them have ended when it returns."""
        self._left = {
            name: concern for name, concern in self._left.items() if name in pieces and pieces[name].concern == concern
        }
        self._wanted = {name: piece for name, piece in pieces.items() if name not in self._left}
        await self._settle()

    async def _follow(self) -> None:
        while True:
            try:
                await self._settle()
            except Exception as error:
                telemetry.mistake("process", error)
            await self._changed.wait()
            self._changed.clear()

    async def _settle(self) -> None:
        """Do what is given, and nothing else."""
        async with self._one:
            if (membership := self._membership) is None:
                return
            shared = {name for name, piece in self._wanted.items() if piece.is_shared}
            membership.want(shared)
            given = (membership.given & shared) | (self._wanted.keys() - shared)
            ended = [name for name, job in self._jobs.items() if job.task.done()]
            changed = [name for name, job in self._jobs.items() if name in given and self._is_other(name, job)]
            # What was given and taken back before it was begun is held, too, until it is put down.
            put_down = (self._jobs.keys() | membership.held) - given
            await self._end([*put_down & self._jobs.keys(), *(set(changed) - put_down), *(set(ended) - put_down)])
            for name in {*put_down, *ended}:
                membership.release(name)
            for name in given.difference(ended) - self._jobs.keys():
                self._jobs[name] = self._begin(name, self._wanted[name])

    def _is_other(self, name: str, job: _Job) -> bool:
        return not job.task.done() and self._wanted[name].concern != job.concern

    def _begin(self, name: str, piece: Piece) -> _Job:
        stop = asyncio.Event()
        task = asyncio.create_task(self._do(name, piece, stop), name=name)
        task.add_done_callback(lambda _: self._changed.set())
        return _Job(piece.concern, stop, task)

    async def _do(self, name: str, piece: Piece, stop: asyncio.Event) -> None:
        try:
            await piece.begin(stop)
            if not stop.is_set():
                self._left[name] = piece.concern
                self._wanted.pop(name, None)
            return
        except WriterFenced:
            pass  # which has been told
        except Exception as error:
            telemetry.mistake("process", error)
        with suppress(TimeoutError):
            async with asyncio.timeout(FENCED_SECONDS):
                await stop.wait()

    async def _end(self, names: Iterable[str]) -> None:
        """End these together: in order, or by a cancellation after the grace."""
        ending = [self._jobs.pop(name) for name in names]
        for job in ending:
            job.stop.set()
        running = {job.task for job in ending}
        if running:
            _, running = await asyncio.wait(running, timeout=GRACE_SECONDS)
        for _ in range(CANCEL_TIMES):
            if not running:
                break
            for task in running:
                task.cancel()
            _, running = await asyncio.wait(running, timeout=CANCEL_SECONDS)
