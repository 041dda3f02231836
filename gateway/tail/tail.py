"""Runs `gateway tail`: a subscription, its output, its position in a file, and its messages."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable

from gateway.client import Duplicates, Event, EventStream, Gap, PositionStore, Query, QueryWarning, State, Subscription
from gateway.clock import Clock
from gateway.process.signals import on_signal
from gateway.tail.output import Output
from gateway.tail.progress import CatchUp
from gateway.tail.reach import Reach
from gateway.tail.status import StatusLine

TELL_SECONDS = 1.0
"""Seconds between two states of a stream that is up to date."""


class Tail:
    """Follows streams until the range ends. Raises ClientError, and what the output raises."""

    def __init__(
        self,
        address: str,
        query: Query,
        output: Output,
        status: StatusLine,
        clock: Clock,
        store: PositionStore | None = None,
        token: str | None = None,
        subscribe: Callable[..., Subscription] = Subscription,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._sleep = sleep
        self._output = output
        self._status = status
        self._progress = CatchUp(clock, query.until)
        self._reach = Reach()
        self._filtered = bool(query.filter)
        self._open = self._connected = self._left = False
        self._subscription = subscribe(
            address,
            query,
            on_state=self._tell,
            on_warning=self._tell_warning,
            clock=clock,
            token=token,
            duplicates=Duplicates(),
        )
        self._events = EventStream(self._subscription, store=store, on_gap=self._tell_gap, clock=clock)

    async def run(self) -> None:
        """To the end of the range; SIGTERM cancels, as Ctrl-C does."""
        task = asyncio.current_task()
        assert task is not None
        for number in (signal.SIGTERM, signal.SIGINT):
            on_signal(number, task.cancel)
        telling = asyncio.create_task(self._keep_telling())
        summed_up = False
        try:
            async with self._events:
                while events := await self._events.batch():
                    await self._take(events)
            summed_up = True
        except asyncio.CancelledError:
            if not self._left:
                self._status.break_line()
                summed_up = self._status.comes_and_goes
            raise
        finally:
            telling.cancel()
            self._note_reach()
            self._status.hide()
            if summed_up and self._connected:
                self._status.close(self._progress.summary(self._reach.read, self._filtered))

    def leave(self) -> None:
        """Nobody reads the output any more: `run` is going to be cancelled, and there is nobody to sum up for."""
        self._left = True

    async def _keep_telling(self) -> None:
        """On a terminal, say how many events match while none comes."""
        while True:
            await self._sleep(TELL_SECONDS)
            self.tell_live()

    def tell_live(self) -> None:
        """Say that the stream is up to date, where it is and where there is a line for it."""
        self._note_reach()
        if self._open and self._status.comes_and_goes and not self._progress.catching_up:
            self._status.show(self._progress.live(self._reach.read, self._filtered))

    async def _take(self, events: list[Event]) -> None:
        await self._output.write(events)
        last = next((event for event in reversed(events) if event.topic is not None), None)
        self._progress.note(len(events), last.timestamp if last is not None else None)
        if self._progress.catching_up:
            self._status.show(self._progress.told())
        else:
            self.tell_live()

    def _note_reach(self) -> None:
        self._reach.note(self._subscription.first_event_id)
        self._reach.note(self._subscription.last_event_id)

    def _tell_warning(self, warning: QueryWarning) -> None:
        self._status.say(f"warning: {warning}")

    def _tell_gap(self, gap: Gap) -> None:
        self._status.say(str(gap))

    def _tell(self, state: State) -> None:
        if state.name == "waiting":
            self._open = False
            refused = state.reason.startswith("no connection") and not self._connected
            asked = "is it running? " if refused else ""
            told = f"{self._subscription.shown}: {state.reason}; {asked}next try in {state.wait:.1f} s"
            self._status.show(told, at_once=True)
        elif state.name == "open":
            self._open = self._connected = True
            self._status.hide()
