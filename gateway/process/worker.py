"""A worker as its supervisor sees it: its process, its line, and whether it answers."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess

from gateway.observability.figures import Figures
from gateway.process.pipe import Post
from gateway.process.reload import RELOADED
from gateway.process.watchdog import StallMeter

logger = logging.getLogger("gateway")

TURN = 0.1
"""Seconds in which the supervisor sees a signal."""
START_SECONDS = 120.0
"""Seconds after its start until a silent worker is taken to hang."""
GRACE_SECONDS = 3.0
"""Beyond `stall_limit`, in which a worker's own watchdog ends it: that tells more than the supervisor can."""
SILENT_SECONDS = 3.0
"""Seconds, or half of `stall_limit`, after which a silent worker is reported as one that does not answer."""
STACKS_SECONDS = 1.0
"""Seconds that a worker has to write its stacks before it is killed; it can unless it is stopped."""
TELL_STACKS = signal.SIGUSR2

PROCESSING = "processing"
"""The name of the process that derives streams and runs rules. Its number is the one after those of the servers."""


@dataclass(eq=False, slots=True)
class Worker:
    """One of those that the supervisor starts; another takes its place when it has ended."""

    number: int
    process: BaseProcess
    serves: bool
    """Whether clients are sent to it."""
    stall_limit: float
    """Seconds after which its loop is taken to hang; 0: never."""
    post: Post = field(init=False)
    status: str = RELOADED
    """How the newest reload went; empty until it says. One that is started begins with what is in force."""
    figures: Figures = field(default_factory=Figures)
    beats: int = 0
    meter: StallMeter = field(default_factory=lambda: StallMeter(TURN))
    begun: float = field(default_factory=time.monotonic)
    asked: bool = False
    """Whether it was asked where it stands, and is killed next."""
    dismissed: bool = False
    """Whether it is to end for good."""
    due: float | None = None
    """When another is started in the place of this one, which has ended."""

    @property
    def told(self) -> str:
        """How the log calls it."""
        return f"worker {self.number}" if self.serves else PROCESSING

    @property
    def has_ended(self) -> bool:
        """Also where its status is lost: where the system drops it (SIGCHLD is ignored) or another part of this process
        has taken it, `multiprocessing` believes for ever that the process is alive."""
        if not self.process.is_alive():
            return True
        try:
            if self.process.pid is not None:
                os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return True
        return False

    def terminate(self) -> None:
        """Ask it to end, if it runs: of one that has ended the number may be another process's by now."""
        if not self.has_ended:
            self.process.terminate()

    def kill(self) -> None:
        """End it, if it runs."""
        if not self.has_ended:
            self.process.kill()

    def judge(self, elapsed: float) -> None:
        """Kill it where its loop has stood still for `stall_limit`. `elapsed` are the seconds since the last look."""
        stood = self.meter.look(self.beats, elapsed)
        if not self.stall_limit:
            return
        limit = max(self.stall_limit + GRACE_SECONDS, 0 if self.beats else START_SECONDS)
        if stood < limit:
            self.asked = False
        elif not self.asked:
            self.asked = True
            logger.error(
                "%s has not answered for %.0f s%s; it is asked for its stacks, and killed",
                self.told,
                stood,
                self.state,
            )
            if self.beats and self.process.pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(self.process.pid, TELL_STACKS)
        elif stood >= limit + STACKS_SECONDS:
            self.kill()

    @property
    def state(self) -> str:
        """What the system says of its process, as the end of a sentence, if the system tells it (Linux)."""
        with suppress(OSError, IndexError):
            with open(f"/proc/{self.process.pid}/stat", encoding="ascii", errors="replace") as file:
                letter = file.read().rpartition(")")[2].split()[0]
            return {"T": ", and is stopped", "t": ", and is traced", "D": ", and waits for a disk"}.get(letter, "")
        return ""

    @property
    def is_silent(self) -> bool:
        """Whether it does not answer, though it has."""
        limit = min(SILENT_SECONDS, self.stall_limit / 2) if self.stall_limit else SILENT_SECONDS
        return self.beats > 0 and self.meter.stood >= limit


def tell_stacks_when_asked(descriptor: int) -> None:
    """In a worker: write the stacks of all threads at TELL_STACKS, even while a library holds Python's lock. Only
    this goes straight to the log's descriptor: the worker is killed a second later, whether anybody reads there or
    not."""
    faulthandler.register(TELL_STACKS, file=descriptor, all_threads=True)
