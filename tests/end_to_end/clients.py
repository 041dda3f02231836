"""The clients that others wrote, each in the program that docs/CLIENTS.md shows."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.end_to_end.process import ROOT, WAIT

PROGRAMS = ROOT / "tests" / "clients"
BUILT = ROOT / ".cache" / "clients"
PYTHON = BUILT / "python" / "bin" / "python"
NODE_MODULES = PROGRAMS / "node" / "node_modules"
PATIENCE = 3 * WAIT
"""Seconds until what a client writes counts as missing. All start at once: browsers, compilers and others."""
WITHOUT_USER_CONFIGURATION = {"PYWIKIBOT_NO_USER_CONFIG": "2"}


@dataclass(frozen=True, slots=True)
class RealClient:
    """How to run a client: its command takes the URL of a stream, and writes an event a line."""

    name: str
    command: Sequence[str | Path]
    needs: Sequence[str | Path]
    """Programs and files without which it does not run."""

    def missing(self) -> str | None:
        """What it needs and is not there."""
        absent = (need for need in self.needs if shutil.which(need) is None and not Path(need).exists())
        return next((f"there is no {need}" for need in absent), None)


def _python(name: str) -> RealClient:
    program = PROGRAMS / "python" / f"follow_{name.replace('-', '_')}.py"
    return RealClient(name, [PYTHON, program], [PYTHON])


def _own(name: str) -> RealClient:
    """The gateway's own, which keeps its position in a file and ends with the response's range; started again, it goes
    on."""
    program = PROGRAMS / "python" / f"follow_{name.replace('.', '_').replace(' ', '_')}.py"
    return RealClient(name, ["sh", "-c", 'while "$0" "$@"; do :; done', sys.executable, program], [])


def _node(name: str) -> RealClient:
    program = PROGRAMS / "node" / f"follow_{name.replace('-', '_')}.mjs"
    return RealClient(name, ["node", program], ["node", NODE_MODULES / name])


CHROMIUM = shutil.which("chromium") or "chromium"


def _page(name: str, page: str, *modules: str) -> RealClient:
    """A page in Chromium, and the modules of npm that it is made with."""
    command: list[str | Path] = ["node", PROGRAMS / "node" / "browser.mjs", CHROMIUM, page]
    needed = [NODE_MODULES / module for module in ("playwright-core", "esbuild", *modules)]
    return RealClient(name, command, ["chromium", "node", *needed])


CLIENTS = (
    _page("browser", "follow.html"),
    _page("React", "follow_react.jsx", "react", "react-dom"),
    _page("Vue", "follow_vue.js", "vue"),
    _node("eventsource"),
    RealClient(
        "TypeScript",
        ["node", PROGRAMS / "node" / "bundled.mjs", PROGRAMS / "node" / "follow_typescript.ts"],
        ["node", NODE_MODULES / "esbuild", NODE_MODULES / "eventsource"],
    ),
    _node("wikimedia-streams"),
    _own("gateway.client"),
    _own("gateway.client blocking"),
    _python("requests-sse"),
    _python("pywikibot"),
    _python("aiohttp-sse-client"),
    _python("httpx-sse"),
    RealClient("r3labs", [BUILT / "go" / "follow_r3labs"], [BUILT / "go" / "follow_r3labs"]),
    RealClient("Java", ["java", PROGRAMS / "java" / "FollowStream.java"], ["java", "javac"]),
    RealClient("curl", ["sh", PROGRAMS / "shell" / "follow_curl.sh"], ["curl"]),
)


class Program:
    """A client that runs, and the numbers of the events that it wrote."""

    def __init__(self, process: Process, errors: Path) -> None:
        self.numbers: list[int] = []
        self._process = process
        self._errors = errors
        self._changed = asyncio.Event()
        self._times: list[float] = []
        self._strange = b""
        self._over = False
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, client: RealClient, url: str, directory: Path) -> Program:
        """Run it in a directory that is its own."""
        errors = directory / "stderr"
        with errors.open("wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                *map(str, (*client.command, url)),
                stdout=PIPE,
                stderr=stderr,
                cwd=directory,
                env={**os.environ, **WITHOUT_USER_CONFIGURATION},
                start_new_session=True,
            )
        return cls(process, errors)

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            try:
                self.numbers.append(json.loads(line)["n"])
            except ValueError:
                self._strange = self._strange or line
            self._times.append(time.monotonic())
            self._changed.set()
        self._over = True
        self._changed.set()

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until the condition holds of what it wrote."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not condition():
                    assert not self._over, "the program has ended"
                    assert not self._strange, f"it wrote {self._strange[:200]!r}"
                    self._changed.clear()
                    await self._changed.wait()
        except (TimeoutError, AssertionError) as error:
            said = self._errors.read_text(errors="replace")[-1500:]
            raise AssertionError(f"{what}: {str(error) or 'not in time'}; {len(self.numbers)} events; {said}") from None

    async def number(self, number: int) -> None:
        """Wait for the event with this number, or a later one."""
        await self.until(lambda: bool(self.numbers) and self.numbers[-1] >= number, f"the event {number}")

    def longest_pause(self) -> float:
        """Seconds between two events."""
        return max((later - sooner for sooner, later in zip(self._times, self._times[1:], strict=False)), default=0.0)

    async def close(self) -> None:
        """End it and what it started."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with suppress(TimeoutError):
                async with asyncio.timeout(WAIT):
                    await self._process.wait()
        await self._reading
