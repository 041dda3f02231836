"""An interrupt for a program that waits."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


def _is_within(function: str) -> bool:
    """Whether the main thread is in a function of this qualified name."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame is not None:
        if frame.f_code.co_qualname == function:
            return True
        frame = frame.f_back
    return False


@contextmanager
def interrupted_within(*functions: str) -> Iterator[None]:
    """The main thread is interrupted once it is in all of these functions. An interrupt after some time could come
    before it is there, where the machine is busy, and would end the run of all tests."""
    over = threading.Event()

    def interrupt() -> None:
        while not over.is_set():
            if all(map(_is_within, functions)):
                os.kill(os.getpid(), signal.SIGINT)
                return
            time.sleep(0.005)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        signal.signal(signal.SIGINT, before)
