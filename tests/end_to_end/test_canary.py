"""`gateway canary`, as cron runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.eventlog.port import Batch
from gateway.eventlog.sqlite.log import SqliteLog
from gateway.model.record import TopicPartition
from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import Streams, configuration, run
from tests.end_to_end.stream import Client

pytestmark = pytest.mark.end_to_end

SCHEMA = """
title: thing
$id: /thing/1.0.0
type: object
properties: {$schema: {type: string}, meta: {type: object}, n: {type: integer}}
"""
EXAMPLES = "examples: [{$schema: /thing/1.0.0, n: 7}]\n"


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    for title, more in (("thing", EXAMPLES), ("bare", "")):
        (tmp_path / "schemas" / title).mkdir(parents=True)
        text = SCHEMA.replace("thing", title) + more
        (tmp_path / "schemas" / title / "1.0.0.yaml").write_text(text)
    return {"schema_repositories": [str(tmp_path / "schemas")], "log": f"sqlite:///{tmp_path / 'events.db'}"}


async def test_subscribers_see_canary_events_when_they_ask(
    serve: Serve, client: Client, tmp_path: Path, settings: dict[str, Any]
) -> None:
    things = {"schema_title": "thing", "canary_events_enabled": True}
    streams: Streams = {
        "things": {**things, "stream_aliases": ["t"]},
        "others": things,
        "quiet": {"schema_title": "thing"},
    }
    gateway = await serve(streams, settings["log"], schema_repositories=settings["schema_repositories"])
    asked = await client.stream(gateway.port, "things", canary="true")
    spared = await client.stream(gateway.port, "things")
    config = str(configuration(tmp_path, streams, **settings))
    said = run(["canary", "--config", config])
    assert (said.returncode, said.stderr) == (0, "")
    assert [line.split(":")[0] for line in said.stdout.splitlines()] == ["things", "others"]
    assert run(["canary", "t", "--config", config]).returncode == 0
    real = b'{"$schema":"/thing/1.0.0","n":8}\n'
    assert run(["produce", "things", "--config", config], real).returncode == 0
    await asked.number(8)
    await spared.number(8)
    assert asked.numbers == [7, 7, 8]
    assert spared.numbers == [8]
    first, second, _ = (message.document["meta"] for message in asked.messages)
    assert first["id"] != second["id"]
    assert {first["domain"], second["domain"]} == {"canary"}


async def test_each_partition_has_its_own(tmp_path: Path, settings: dict[str, Any]) -> None:
    streams: Streams = {
        "things": {"schema_title": "thing", "canary_events_enabled": True, "partitions": 3, "topics": ["one", "two"]}
    }
    said = run(["canary", "--config", str(configuration(tmp_path, streams, **settings))])
    assert (said.returncode, said.stdout) == (0, "things: 6 canary events stored, one in each partition\n")
    log = SqliteLog(str(tmp_path / "events.db"))
    await log.open()
    try:
        places = [TopicPartition(topic, number) for topic in ("one", "two") for number in range(3)]
        reader = await log.reader(dict.fromkeys(places, 0))
        records = [record for batch in await reader.fetch(1.0) if isinstance(batch, Batch) for record in batch.records]
        await reader.close()
    finally:
        await log.close()
    assert sorted((record.topic, record.partition) for record in records) == places
    assert len({json.loads(record.value or b"")["meta"]["id"] for record in records}) == 6


def test_what_cannot_have_a_canary_event_is_said_and_the_others_have_theirs(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    streams: Streams = {
        "bare": {"schema_title": "bare", "canary_events_enabled": True},
        "things": {"schema_title": "thing", "canary_events_enabled": True},
        "quiet": {"schema_title": "thing"},
    }
    config = str(configuration(tmp_path, streams, **settings))
    said = run(["canary", "--config", config])
    assert said.returncode == 1
    assert said.stdout.startswith("things: canary event ")
    assert "gateway canary: bare: " in said.stderr
    assert "there is none in /bare/1.0.0" in said.stderr
    checked = run(["check", "--config", config])
    assert checked.returncode == 0
    assert "warning: bare: canary_events_enabled is set" in checked.stdout
    for arguments, reason in ((["quiet"], "quiet has no canary_events_enabled"), (["absent"], "no stream 'absent'")):
        said = run(["canary", *arguments, "--config", config])
        assert said.returncode == 1
        assert reason in said.stderr


def test_no_stream_has_canary_events_and_a_log_that_is_away(tmp_path: Path, settings: dict[str, Any]) -> None:
    config = str(configuration(tmp_path, {"quiet": {"schema_title": "thing"}}, **settings))
    said = run(["canary", "--config", config])
    assert (said.returncode, said.stderr) == (1, "gateway canary: no stream has canary_events_enabled: true\n")
    (tmp_path / "file").write_text("")
    things = {"things": {"schema_title": "thing", "canary_events_enabled": True}}
    away = {**settings, "log": f"sqlite:///{tmp_path / 'file' / 'events.db'}"}
    config = str(configuration(tmp_path, things, **away))
    said = run(["canary", "--config", config])
    assert said.returncode == 1
    assert said.stderr.startswith("gateway canary: things: cannot open ")
