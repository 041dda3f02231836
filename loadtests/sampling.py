"""Where the server's CPU goes: `python -m loadtests.sampling FILE serve …` is `gateway serve …` with a sampler in it.

SIGUSR1 begins, SIGUSR2 ends and writes FILE: how many samples each function had, by its own time. Samples are taken in
steps of CPU time, the kernel's included: a function has those of the system calls that it makes. `Perf` tells what the
kernel does meanwhile, where `perf` is there.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path
from types import FrameType

SAMPLE_SECONDS = 0.004
PERF_HERTZ = 299
STOP_SECONDS = 30
_SYMBOL = re.compile(r"^\s*([\d.]+)%\s+(\S+)\s+\[([k.])\] (\S+)", re.MULTILINE)


class Sampler:
    """Counts the functions in which the main thread is."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._samples: Counter[str] = Counter()

    def install(self) -> None:
        """Wait for the signals."""
        signal.signal(signal.SIGPROF, self._sample)
        signal.signal(signal.SIGUSR1, self._begin)
        signal.signal(signal.SIGUSR2, self._end)

    def _begin(self, number: int, frame: FrameType | None) -> None:
        self._samples.clear()
        # The loop hears of each sample, too; what it has no room for is of no interest to it.
        signal.set_wakeup_fd(signal.set_wakeup_fd(-1), warn_on_full_buffer=False)
        signal.setitimer(signal.ITIMER_PROF, SAMPLE_SECONDS, SAMPLE_SECONDS)

    def _sample(self, number: int, frame: FrameType | None) -> None:
        if frame is not None:
            self._samples[f"{frame.f_globals.get('__name__')} {frame.f_code.co_qualname}"] += 1

    def _end(self, number: int, frame: FrameType | None) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        unfinished = self._file.with_suffix(".part")
        unfinished.write_text(json.dumps(dict(self._samples)))
        unfinished.rename(self._file)


class Perf:
    """`perf record` of a process, where there is one."""

    def __init__(self, pid: int, file: Path) -> None:
        self._file = file
        self._process: subprocess.Popen[bytes] | None = None
        if shutil.which("perf"):
            command = ["perf", "record", "--quiet", "--freq", str(PERF_HERTZ), "--pid", str(pid), "--output", str(file)]
            self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def parts(self) -> dict[str, float]:
        """End it; the part (%) of each function of the kernel, and that of all the rest as `user`. Empty where nothing
        can be said."""
        if self._process is None:
            return {}
        self._process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        command = ["perf", "report", "--stdio", "--quiet", "--sort", "dso,symbol", "--input", str(self._file)]
        output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        self._file.unlink(missing_ok=True)
        found: dict[str, float] = defaultdict(float)
        for percent, _, where, symbol in _SYMBOL.findall(output):
            found[symbol if where == "k" else "user"] += float(percent)
        return dict(found)


if __name__ == "__main__":
    from gateway.commands.cli import main

    Sampler(Path(sys.argv[1])).install()
    sys.argv[:2] = ["gateway"]
    sys.exit(main())
