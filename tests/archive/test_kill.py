"""Archivers of their own processes, two at a time, killed with SIGKILL in the middle of files, commits and merges."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from deltalake import DeltaTable

from gateway.archive.upkeep import checked
from gateway.eventlog.sqlite.log import SqliteLog
from gateway.model.record import NewRecord, TopicPartition
from tests.archive.kit import Desk, dataset, event
from tests.archive.process import TOPICS
from tests.archive.test_archiver import as_records, place_of, read
from tests.services.programs import ROOT

ROUNDS = 40


def run(path: Path, seed: int) -> tuple[int, bool]:
    """Two processes until one has archived all; how many were killed, and whether it is done."""
    chance = random.Random(seed)
    killed = 0
    for _ in range(ROUNDS):
        likelihood = str(chance.choice((0.02, 0.05, 0.2)))
        command = [sys.executable, "-m", "tests.archive.process", str(path)]
        pair = [
            subprocess.Popen([*command, str(chance.randrange(1 << 30)), likelihood], cwd=ROOT, stderr=subprocess.PIPE)
            for _ in range(2)
        ]
        told = [(process.communicate(timeout=60)[1].decode(), process.returncode) for process in pair]
        assert all(code in (0, 3, -signal.SIGKILL) for _, code in told), told
        killed += sum(code == -signal.SIGKILL for _, code in told)
        if any(code == 0 for _, code in told):
            return killed, True
    return killed, False


@pytest.mark.end_to_end
@pytest.mark.long
@pytest.mark.parametrize("seed", [1])
async def test_every_record_is_archived_once(seed: int, tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "events.db")
    await log.open()
    given: dict[TopicPartition, list[NewRecord]] = {}
    for topic, partitions in zip(TOPICS, (2, 1), strict=True):
        await log.create(topic, partitions)
        for number in range(partitions):
            new = [event(n, partition=number, key=b"k") for n in range(6000)]
            given[TopicPartition(topic, number)] = new
            await log.append(topic, new)
    killed, done = run(tmp_path, seed)
    assert done
    assert killed > 2
    desk = Desk(tmp_path / "table", log)
    for partition, new in given.items():
        assert read(desk, await place_of(log, partition)) == as_records(partition, new)
    assert dataset(desk.uri).count_rows() == 18_000
    assert checked(desk.archive)[0] == []
    # What the killed ones have left goes with time, and nothing else.
    left = [path for path in Path(desk.uri).rglob("*.parquet") if "_delta_log" not in path.parts]  # noqa: ASYNC240
    assert len(left) >= len(DeltaTable(desk.uri).file_uris())
    await log.close()
