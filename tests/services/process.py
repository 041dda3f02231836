"""A service of the tests that is a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess

from loadtests.machine import halt


class ServiceProcess:
    """One that may be halted and killed; what starts it sets `process`."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None

    def go_on(self) -> bool:
        """Let it go on where it was halted; whether there is one."""
        if self.process is None:
            return False
        os.kill(self.process.pid, signal.SIGCONT)
        return True

    def halt(self) -> None:
        """SIGSTOP: connections stay, and nothing is answered."""
        assert self.process is not None
        halt(self.process.pid)

    def kill(self) -> None:
        """SIGKILL: what it held in memory is gone."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()
