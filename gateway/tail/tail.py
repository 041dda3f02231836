"""Runs `gateway tail`: a subscription, its output, its position in a file, and its messages."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from gateway.client import Duplicates, Event, EventStream, Gap, PositionStore, Query, State, Subscription
from gateway.clock import Clock
from gateway.process.signals import on_signal
from gateway.tail.output import Output
from gateway.tail.progress import CatchUp
from gateway.tail.status import StatusLine


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
    ) -> None:
        self._output = output
        self._status = status
        self._progress = CatchUp(clock, query.until)
        self._subscription = subscribe(
            address, query, on_state=self._tell, clock=clock, token=token, duplicates=Duplicates()
        )
        self._events = EventStream(self._subscription, store=store, on_gap=self._tell_gap, clock=clock)

    async def run(self) -> None:
        """To the end of the range; SIGTERM cancels, as Ctrl-C does."""
        task = asyncio.current_task()
        assert task is not None
        for number in (signal.SIGTERM, signal.SIGINT):
            on_signal(number, task.cancel)
        try:
            async with self._events:
                while events := await self._events.batch():
                    await self._take(events)
        finally:
            self._status.hide()

    async def _take(self, events: list[Event]) -> None:
        await self._output.write(events)
        last = next((event for event in reversed(events) if event.topic is not None), None)
        self._progress.note(len(events), last.timestamp if last is not None else None)
        if self._progress.catching_up:
            self._status.show(self._progress.told())
        else:
            self._status.hide()

    def _tell_gap(self, gap: Gap) -> None:
        self._status.say(str(gap))

    def _tell(self, state: State) -> None:
        if state.name == "waiting":
            self._status.show(
                f"{self._subscription.shown}: {state.reason}; next try in {state.wait:.1f} s", at_once=True
            )
        elif state.name == "open":
            self._status.hide()
