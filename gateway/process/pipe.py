"""An end of the pipe between the supervisor and a worker, with a thread for each direction.

Neither side ever waits for the other, even if the other hangs in the middle of a message.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection as Pipe

WAITING_MESSAGES = 64
"""Messages that wait to be taken; there is one at a time of each kind, so that who leaves more has long stopped."""

Message = bytes | Callable[[], bytes]
"""Pickled bytes, or a function that makes the message when its turn comes, in another thread than the sender's."""


class Post:
    """`heard` is called with each message, in a thread of its own, and with b"" once the other side is gone."""

    def __init__(self, pipe: Pipe, heard: Callable[[bytes], None], name: str) -> None:
        self._pipe = pipe
        self._heard = heard
        self._waiting: queue.Queue[Message | None] = queue.Queue(WAITING_MESSAGES)
        for run in (self._send_all, self._hear_all):
            threading.Thread(target=run, name=f"{name}{run.__name__}", daemon=True).start()

    def send(self, message: Message) -> bool:
        """Returns at once; False where too much waits already, and this is not sent."""
        try:
            self._waiting.put_nowait(message)
        except queue.Full:
            return False
        return True

    def close(self) -> None:
        """Send no more."""
        with suppress(queue.Full):
            self._waiting.put_nowait(None)

    def _send_all(self) -> None:
        while (message := self._waiting.get()) is not None:
            try:
                self._pipe.send_bytes(message if isinstance(message, bytes) else message())
            except (OSError, ValueError):
                return  # The other side is gone, which is seen where it is heard.

    def _hear_all(self) -> None:
        while True:
            try:
                message = self._pipe.recv_bytes()
            except (EOFError, OSError, ValueError):
                self._heard(b"")
                return
            self._heard(message)
