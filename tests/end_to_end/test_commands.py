"""The commands, and how a server starts and ends, with the embedded log."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import shlex
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from gateway.eventlog.sqlite.log import SqliteLog
from gateway.eventlog.trouble import demand
from gateway.model.record import TopicPartition
from tests.end_to_end.conftest import Launch
from tests.end_to_end.embedded import CONFIGURATION, STREAM, STREAMS, eventually_printed, lines, produce
from tests.end_to_end.process import ROOT, WAIT, configuration, environment, eventually, run
from tests.end_to_end.stream import Client, check_sequence
from tests.services.kafka import free_port

pytestmark = pytest.mark.end_to_end


@pytest.fixture
def log(tmp_path: Path) -> str:
    """The URL of an embedded log of the test's own."""
    return f"sqlite:///{tmp_path / 'log' / 'events.db'}"


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


async def test_the_demo(gateways: Launch, client: Client, log: str, curl: str) -> None:
    demo = gateways("--log", log, *CONFIGURATION, command="demo")
    await demo.start()
    await eventually_printed(lambda: "curl" in demo.output)
    stream = await client.stream(demo.port, "wiki.change")
    await stream.events(1)
    assert stream.messages[0].document["$schema"] == "/wiki/change/1.0.0"
    printed = [shlex.split(line) for line in demo.output.splitlines() if line.strip().startswith("curl ")]
    assert len(printed) >= 3
    (finite,) = [command for command in printed if any("limit=5" in word for word in command)]
    process = await asyncio.create_subprocess_exec(curl, *finite[1:], "-sS", stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    documents = [json.loads(line) for line in output.splitlines() if line.strip()]
    assert ["meta" in document for document in documents] == [True] * 5
    for command in printed:
        if command != finite:
            await first_bytes(curl, command)
    # What is made of them, by derivations and by a rule.
    streams = (await demo.get("/v2/streams")).json()
    derived = [told["name"] for told in streams if told["derived_from"]]
    assert derived == ["wiki.activity", "wiki.large-edits"]
    assert [told["derived_into"] for told in streams if told["name"] == "wiki.change"] == [derived]
    (activity,) = [told for told in streams if told["name"] == "wiki.activity"]
    assert activity["derivation"].items() >= {"operator": "window", "version": 1}.items()
    # In the demo everybody may try another.
    assert 'id="trial-open" type="button" >' in (await demo.get("/")).text
    for name in (*derived, "wiki.new-articles"):
        stream = await client.stream(demo.port, name, since="2h")
        await stream.events(1)
        assert stream.messages[0].document["meta"]["stream"] == name
    assert await demo.stop() == 0


async def first_bytes(curl: str, command: list[str]) -> None:
    """Run a command that was printed for people until an answer comes."""
    process = await asyncio.create_subprocess_exec(curl, *command[1:], "-sSf", stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    async with asyncio.timeout(WAIT):
        assert await process.stdout.read(1)
    if process.returncode is None:
        process.kill()
    await process.wait()


def test_check_finds_no_mistake() -> None:
    result = run(["check", *CONFIGURATION])
    assert result.returncode == 0, result.stdout
    assert "no mistakes" in result.stdout


def test_check_finds_mistakes_with_their_places(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(
        "streams:\n  changes:\n    topics: [a]\n    resume: sometimes\n  other:\n    topics: 5\nport: no\n"
    )
    result = run(["check", "--config", str(broken)])
    assert result.returncode == 1
    for line in (4, 6, 7):
        assert f"{broken}:{line}" in result.stdout
    broken.write_text("streams:\n  changes: [\n")
    result = run(["check", "--config", str(broken)])
    assert result.returncode == 1
    assert f"{broken}:" in result.stdout
    result = run(["check", "--config", str(tmp_path / "absent.yaml")])
    assert result.returncode == 1
    assert "absent.yaml" in result.stdout


def test_check_finds_mistakes_in_schemas(tmp_path: Path) -> None:
    schema = tmp_path / "schemas" / "thing" / "1.0.0.yaml"
    schema.parent.mkdir(parents=True)
    schema.write_text("title: thing\n$id: /thing/1.0.0\ntype: objec\n")
    file = configuration(tmp_path, {"things": {"schema_title": "thing"}})
    result = run(["check", "--config", str(file), "--schemas", str(tmp_path / "schemas")])
    assert result.returncode == 1
    assert str(schema) in result.stdout


async def test_produced_events_are_read(gateways: Launch, client: Client, log: str) -> None:
    status, said = await asyncio.to_thread(produce, log, lines(0, 1) + b'{"no":1}\nno\n\n' + lines(2, 3))
    assert status == 1
    assert "4 stored, 2 invalid" in said
    assert "line 3: " in said
    assert "line 4: " in said
    gateway = gateways("--log", log, *CONFIGURATION)
    await gateway.start()
    replay = await client.stream(gateway.port, STREAM, since="1h")
    live = await client.stream(gateway.port, STREAM)
    await replay.count(4)
    status, said = await asyncio.to_thread(produce, log, lines(4, 2000))
    assert status == 0
    # One that takes longer than ten seconds tells of its progress first.
    assert said.splitlines()[-1].startswith("1997 stored, 0 invalid, in ")
    await replay.count(2001)
    await live.count(1997)
    check_sequence([frame.document["page"]["id"] for frame in replay.messages], 1, 2001)
    check_sequence([frame.document["page"]["id"] for frame in live.messages], 5, 2001)
    resumed = await client.stream(gateway.port, STREAM, replay.messages[999].identifier)
    await resumed.count(1001)
    check_sequence([frame.document["page"]["id"] for frame in resumed.messages], 1001, 2001)


def test_produce_into_a_stream_that_is_not_there(log: str) -> None:
    result = run(["produce", "wiki.page-creat", "--log", log, *CONFIGURATION], lines(0, 0))
    assert result.returncode == 1
    assert STREAM in result.stderr


async def test_several_workers_share_the_port(gateways: Launch, client: Client, log: str) -> None:
    gateway = gateways("--log", log, *CONFIGURATION, "--workers", "2", "--drain-time", "0.3")
    await asyncio.to_thread(produce, log, lines(0, 9))
    await gateway.start()
    await eventually_printed(lambda: gateway.errors.count("serving ") == 2)
    streams = [await client.stream(gateway.port, STREAM, since="1h") for _ in range(20)]
    assert (await asyncio.to_thread(produce, log, lines(10, 19)))[0] == 0
    for stream in streams:
        await stream.count(20)
        check_sequence([frame.document["page"]["id"] for frame in stream.messages], 1, 20)
    assert await gateway.stop() == 0
    for stream in streams:
        await stream.end()
        assert stream.complete


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_that_is_taken(tmp_path: Path, log: str, taken: int, workers: str) -> None:
    file = str(configuration(tmp_path, STREAMS))
    given = ["serve", "--config", file, "--log", log, "--workers", workers]
    result = run([*given, "--port", str(taken), "--admin-port", "0"])
    assert result.returncode == 1
    assert f"127.0.0.1 port {taken}: Address already in use" in result.stderr
    result = run([*given, "--port", str(free_port()), "--admin-port", str(taken)])
    assert result.returncode == 1
    assert f"127.0.0.1 port {taken}: Address already in use" in result.stderr


def test_the_demo_on_a_port_that_is_taken(log: str, taken: int) -> None:
    result = run(["demo", "--log", log, *CONFIGURATION, "--port", str(taken), "--admin-port", "0"])
    assert result.returncode == 1
    assert f"127.0.0.1 port {taken}: Address already in use" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serve", "--prot", "1"], "--port"),
        (["serve", "--port", "many"], "--port"),
        (["serve", "--port", "70000"], "65535"),
        (["serve", "--log", "redis://x"], "sqlite:///"),
        (["serve", "--config", "absent.yaml"], "absent.yaml"),
        (["surf"], "surf"),
    ],
)
def test_a_flag_that_is_wrong(arguments: list[str], said: str) -> None:
    result = run(arguments)
    assert result.returncode in (1, 2)
    assert said in result.stderr
    assert len(result.stderr.splitlines()) < 6


async def test_produce_is_interrupted_and_goes_on(tmp_path: Path, log: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "produce", STREAM, "--log", log, *CONFIGURATION),
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=environment(),
    )
    assert process.stdin is not None
    process.stdin.write(lines(0, 999))
    await process.stdin.drain()
    stored = SqliteLog(tmp_path / "log" / "events.db")
    partition = TopicPartition(STREAM, 0)

    async def all_stored() -> bool:
        return bool(await stored.describe([STREAM])) and demand(await stored.bounds([partition]))[partition].end == 1000

    await eventually(all_stored, "1000 lines of an open pipe")
    process.send_signal(signal.SIGINT)
    _, said = await process.communicate()
    assert process.returncode == 130
    assert b"line 1001 is the first that may not be stored: continue with the same input and --skip 1000" in said
    assert b"1000 stored, 0 invalid" in said
    await stored.close()


def test_produce_from_a_compressed_file_to_a_closed_pipe(tmp_path: Path, log: str) -> None:
    path = tmp_path / "lines.gz"
    path.write_bytes(gzip.compress(lines(0, 99) + b"no\n" * 100))
    command = shlex.join([sys.executable, "-m", "gateway", "produce", STREAM, str(path), "--log", log, *CONFIGURATION])
    subprocess.run(["/bin/bash", "-c", f"{command} 2>&1 >/dev/null | head -1"], cwd=ROOT, env=environment(), check=True)
    assert produce(log, lines(100, 100))[1].splitlines()[-1].startswith("1 stored")
    with closing(sqlite3.connect(tmp_path / "log" / "events.db")) as connection:
        assert connection.execute("SELECT count(*) FROM records").fetchone() == (101,)


def test_produce_on_a_terminal(tmp_path: Path, log: str) -> None:
    path = tmp_path / "lines.ndjson"
    path.write_bytes(lines(0, 4999) + b"\x1b[31mno\n" + lines(5000, 9999))
    ours, theirs = os.openpty()
    shown: list[bytes] = []

    def read() -> None:
        with suppress(OSError):  # What a terminal gives at its end.
            while data := os.read(ours, 65536):
                shown.append(data)

    reading = threading.Thread(target=read)
    reading.start()
    process = subprocess.run(
        [sys.executable, "-m", "gateway", "produce", STREAM, str(path), "--log", log, *CONFIGURATION],
        stderr=theirs,
        cwd=ROOT,
        env={**environment(), "TERM": "xterm-256color", "COLUMNS": "100"},
        timeout=WAIT,
        check=False,
    )
    os.close(theirs)
    reading.join()
    os.close(ours)
    text = b"".join(shown).decode()
    assert process.returncode == 1
    assert "━" in text
    assert re.search(r"[\d,]+ lines, \d\.\d MB of \d\.\d MB \(\d+%\), [\d,]+ events/s", text)
    assert "line 5001: not JSON" in text
    assert "\x1b[31mno" not in text
    assert "10000 stored, 1 invalid, in " in text
