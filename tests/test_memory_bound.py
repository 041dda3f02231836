"""What settings say about memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.app.machine import memory_limit
from gateway.settings.relations import CACHES, ID_BYTES, READER_BYTES, memory_bound, told_memory
from gateway.settings.table import Settings


@pytest.mark.parametrize("key", CACHES)
def test_each_cache_is_a_part_of_the_memory(key: str) -> None:
    settings = Settings()
    more = replace(settings, **{key: getattr(settings, key) + 12345})
    assert memory_bound(more) - memory_bound(settings) == 12345


def test_readers_of_history_are_a_part_of_the_memory() -> None:
    settings = Settings()
    more = replace(settings, replay_readers=settings.replay_readers + 1)
    assert memory_bound(more) - memory_bound(settings) == READER_BYTES


def test_the_ids_of_events_that_may_be_sent_again_are_counted() -> None:
    settings = Settings()
    fewer = replace(settings, idempotency_events=settings.idempotency_events - 1000)
    assert memory_bound(settings) - memory_bound(fewer) == 1000 * ID_BYTES
    assert memory_bound(replace(settings, idempotency_window=0)) == memory_bound(
        replace(settings, idempotency_events=0)
    )


def test_all_workers_count_and_a_machine_with_less_is_told() -> None:
    settings = replace(Settings(), workers=3)
    bound = memory_bound(settings)
    told, hint = told_memory(settings, 3 * bound)
    assert f"{bound >> 20} MB" in told
    assert f"{3 * bound >> 20} MB" in told
    assert hint is None
    _, hint = told_memory(settings, 3 * bound - 1)
    assert hint is not None
    assert "ring_bytes" in hint


def machine(folder: Path, total: int, groups: str, limits: dict[str, str]) -> Path:
    (folder / "proc/self").mkdir(parents=True)
    (folder / "proc/meminfo").write_text(f"MemTotal:       {total // 1024} kB\nMemFree: 1 kB\n")
    (folder / "proc/self/cgroup").write_text(groups)
    for path, limit in limits.items():
        file = folder / "sys/fs/cgroup" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(limit)
    return folder


@pytest.mark.parametrize(
    ("groups", "limits", "least"),
    [
        ("0::/\n", {}, 4 << 30),
        ("0::/\n", {"memory.max": "max\n"}, 4 << 30),
        ("0::/\n", {"memory.max": "1073741824\n"}, 1 << 30),
        ("0::/a/b\n", {"a/memory.max": "1048576\n", "a/b/memory.max": "2097152\n"}, 1 << 20),
        ("0::/of/the/host\n", {"memory.max": "1048576\n"}, 1 << 20),
        ("5:cpu,memory:/a\n", {"memory/a/memory.limit_in_bytes": "1048576\n"}, 1 << 20),
        ("5:memory:/\n", {"memory/memory.limit_in_bytes": "9223372036854771712\n"}, 4 << 30),
        ("nonsense\n", {"memory.max": "nonsense"}, 4 << 30),
    ],
)
def test_the_least_limit_of_machine_and_control_groups(
    tmp_path: Path, groups: str, limits: dict[str, str], least: int
) -> None:
    assert memory_limit(machine(tmp_path, 4 << 30, groups, limits)) == least


def test_a_system_that_tells_nothing(tmp_path: Path) -> None:
    assert memory_limit(tmp_path) is None
