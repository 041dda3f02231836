"""`gateway check --connect` as a whole: all that is wrong in one run, with its line, and no secret."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.commands.cli import main
from tests.inspection.kit import http, redis, speaking
from tests.kit.stopwatch import stopwatch
from tests.services.kafka import free_port
from tests.services.redis import patient

SECRET = "correct-horse"
STREAMS = "streams: {orders: {description: Orders., topics: [shop.orders]}}\n"


async def check(directory: Path, text: str) -> tuple[Result, list[str]]:
    """What it says, with the file's name alone."""
    file = directory / "gateway.yaml"
    file.write_text(text)
    words = ["check", "--connect", "--config", str(file)]
    result = await asyncio.to_thread(CliRunner().invoke, main, words)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert SECRET not in result.output
    return result, result.output.replace(f"{directory}/", "").splitlines()


@pytest.mark.long
async def test_all_that_is_wrong_is_told_in_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PASSWORD", SECRET)
    patient(monkeypatch)
    broker = free_port()
    async with (
        speaking(http(401, b"")) as registry,
        speaking(http(200, b"<html>")) as keys,
        speaking(redis(b"-WRONGPASS %b is wrong" % SECRET.encode())) as limits,
        stopwatch() as watch,
    ):
        result, lines = await check(
            tmp_path,
            f"log: kafka://127.0.0.1:{broker}\nlimits: redis://:${{REDIS_PASSWORD}}@127.0.0.1:{limits}/0\n"
            f"schema_registry: {{url: 'http://127.0.0.1:{registry}', username: me, password: {SECRET}}}\n"
            f"jwks: http://127.0.0.1:{keys}/keys\ntoken_audience: https://a.example\ntoken_issuer: https://i.example\n{STREAMS}",
        )
        assert watch.seconds < 20
    assert result.exit_code == 1
    assert lines == [
        f"Log kafka://127.0.0.1:{broker}",
        f"  MISTAKE  gateway.yaml:1: 127.0.0.1:{broker}: nothing listens there (connection refused)",
        "",
        f"Schema registry http://127.0.0.1:{registry}",
        "  MISTAKE  gateway.yaml:3: the schema registry answers 401: it asks for other credentials",
        "",
        f"Redis redis://127.0.0.1:{limits}/0",
        "  MISTAKE  gateway.yaml:2: Redis cannot be used: its user or password is refused (${REDIS_PASSWORD} is wrong)",
        "",
        f"Keys of tokens http://127.0.0.1:{keys}/keys",
        "  MISTAKE  gateway.yaml:4: the keys (jwks): it is not JSON",
        "",
        "4 mistakes",
    ]


@pytest.mark.long
async def test_the_file_of_the_embedded_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def said(path: Path) -> str:
        result, lines = await check(tmp_path, f"log: sqlite:///{path}\n{STREAMS}")
        assert result.exit_code == lines[1].startswith("  MISTAKE")
        return lines[1]

    log = tmp_path / "events.db"
    assert await said(log) == "  ok       the file is made at the first start"
    assert not log.exists()
    log.write_bytes(b"12345")
    assert await said(log) == "  ok       the file is there (5 bytes)"
    assert log.read_bytes() == b"12345"
    assert await said(tmp_path) == f"  MISTAKE  gateway.yaml:1: {tmp_path} is no regular file".replace(
        f"{tmp_path}/", ""
    )
    assert await said(log / "x.db") == "  MISTAKE  gateway.yaml:1: events.db is no directory"
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert await said(log) == "  MISTAKE  gateway.yaml:1: events.db cannot be read and written by this user"
    assert (
        await said(tmp_path / "new" / "x.db") == f"  MISTAKE  gateway.yaml:1: {tmp_path} cannot be written by this user"
    )


async def test_nothing_is_connected_to_before_the_file_is_right(tmp_path: Path) -> None:
    result, lines = await check(tmp_path, f"log: kafka://127.0.0.1:1\nprot: 3\n{STREAMS}")
    assert result.exit_code == 1
    assert lines == [
        "gateway.yaml:2: there is no setting prot; did you mean port?",
        "1 mistake; nothing was connected to",
    ]
