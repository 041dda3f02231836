"""The run of `gateway tail`: a subscription, its output, its position in a file, and what is told meanwhile."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import aclosing
from urllib.parse import quote

from gateway.client import Places, Query, State, StreamEvent, Subscription
from gateway.clock import Clock
from gateway.tail.line import gap_line
from gateway.tail.output import Output
from gateway.tail.position_file import PositionFile
from gateway.tail.progress import Progress
from gateway.tail.status import StatusLine


def stream_address(server: str, streams: str) -> str:
    """The address of streams on a server."""
    return f"{server.rstrip('/')}/v2/stream/{quote(streams, safe=',*:@')}"


class Tail:
    """Follows streams until the range ends. Raises ClientError, BrokenPipeError, PositionFileError."""

    def __init__(
        self,
        address: str,
        query: Query,
        output: Output,
        status: StatusLine,
        clock: Clock,
        file: PositionFile | None = None,
        subscribe: Callable[..., Subscription] = Subscription,
    ) -> None:
        self._output = output
        self._status = status
        self._file = file
        begin = "" if file is None else file.read()
        self._places = Places(begin)
        self._progress = Progress(clock, query.until)
        self._subscription = subscribe(address, query, last_event_id=begin, on_state=self._tell, clock=clock)

    async def run(self) -> None:
        """To the end of the range; SIGTERM cancels, as Ctrl-C does."""
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        try:
            async with aclosing(self._subscription.batches()) as batches:
                async for batch in batches:
                    await self._take(batch)
        finally:
            self._status.hide()

    async def _take(self, batch: list[StreamEvent]) -> None:
        events = []
        for event in batch:
            place = self._places.read(event.id)
            if event.event == "gap":
                self._status.say(gap_line(event.data))
            else:
                events.append((event, place))
        await self._output.write(events)
        if self._file is not None:
            self._file.save(self._subscription.last_event_id)
        last = next((place for _, place in reversed(events) if place is not None), None)
        self._progress.note(len(events), last.timestamp if last is not None else None)
        if self._progress.catching_up:
            self._status.show(self._progress.told())
        else:
            self._status.hide()

    def _tell(self, state: State) -> None:
        if state.name == "waiting":
            self._status.show(
                f"{self._subscription.shown}: {state.reason}; next try in {state.wait:.1f} s", at_once=True
            )
        elif state.name == "open":
            self._status.hide()
