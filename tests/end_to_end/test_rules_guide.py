"""docs/RULES.md, as a new user follows it."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from pathlib import Path

import orjson
import pytest

from tests.end_to_end.process import ROOT, environment, eventually
from tests.services.kafka import free_port

pytestmark = pytest.mark.end_to_end

GUIDE = (ROOT / "docs/RULES.md").read_text()
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECONDS = 60.0
PRINTED = re.search(r"The program prints `(.*?)`\.", GUIDE)


def blocks(language: str) -> list[str]:
    """The texts of a language."""
    return [text for name, text in BLOCK.findall(GUIDE) if name == language]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With the files of the guide, at a port that is free."""
    port = str(free_port())
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "schemas").symlink_to(ROOT / "config" / "schemas")
    configuration, tests = blocks("yaml")
    (tmp_path / "config" / "gateway.yaml").write_text(configuration.replace("8000", port))
    (tmp_path / "config" / "purge.rules.yaml").write_text(tests.replace("8000", port))
    (program,) = blocks("python")
    (tmp_path / "target.py").write_text(program.replace("8000", port))
    command = tmp_path / "bin" / "gateway"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m gateway "$@"\n')
    command.chmod(0o755)
    return tmp_path


async def shell(folder: Path, line: str) -> Process:
    """A command of the guide."""
    variables = {**environment(), "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    return await asyncio.create_subprocess_exec(
        "bash", "-c", f"exec {line}" if "|" not in line else line, cwd=folder, env=variables, stdout=PIPE, stderr=PIPE
    )


async def listens(folder: Path) -> None:
    """Wait until the target takes requests: what comes before waits for a minute once it was tried twice."""
    port = re.search(r'HTTPServer\(\("127\.0\.0\.1", (\d+)\)', (folder / "target.py").read_text())
    assert port is not None

    async def is_open() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", int(port[1]))
        except OSError:
            return False
        writer.close()
        return True

    await eventually(is_open, "the target listens")


async def output(folder: Path, line: str) -> str:
    """What it says, where it ends well."""
    process = await shell(folder, line)
    async with asyncio.timeout(SECONDS):
        out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return out.decode()


async def stop(process: Process) -> None:
    """End it."""
    with suppress(ProcessLookupError):
        process.terminate()
    await process.communicate()


async def test_the_first_rule_and_its_tests_work(folder: Path) -> None:
    run, put, after = blocks("sh")
    assert "no mistakes" in await output(folder, "gateway check")
    assert (await output(folder, "gateway rules test")).endswith("2 tests\n")
    target = await shell(folder, f"{shlex.quote(sys.executable)} target.py")
    rule = await shell(folder, run.strip())
    try:
        assert PRINTED is not None
        assert target.stdout is not None
        found = b""
        async with asyncio.timeout(SECONDS):
            # The rule is about what comes after its start.
            while not found:
                await output(folder, put)
                with suppress(TimeoutError):
                    async with asyncio.timeout(2):
                        found = await target.stdout.readline()
        assert found.decode().strip() == PRINTED[1]
        await stop(target)
        # A target that is away: the events wait; one with another answer is dead.
        refusing = (folder / "target.py").read_text().replace("204", "410")
        (folder / "target.py").write_text(refusing)
        target = await shell(folder, f"{shlex.quote(sys.executable)} target.py")
        assert target.stdout is not None
        await listens(folder)
        await output(folder, put)
        async with asyncio.timeout(SECONDS):
            await target.stdout.readline()
            dead = ""
            list_dead, replay = after.strip().split("\n")
            while not dead:
                dead = await output(folder, list_dead)
        event = orjson.loads(dead.split("\n")[0])
        assert (event["message"], event["status"]) == ("rule purge: it answers 410", 410)
        # One that came while the target was away was tried before.
        assert event["attempts"] >= 1
        assert orjson.loads(event["raw_event"])["page"]["title"] == "Ada/Lovelace"
        await output(folder, replay)
        async with asyncio.timeout(SECONDS):
            assert (await target.stdout.readline()).decode().strip() == PRINTED[1]
    finally:
        await stop(target)
        await stop(rule)
