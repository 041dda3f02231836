"""What settings say about memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.app.machine import memory_limit
from gateway.catalog.catalog import Catalog
from gateway.catalog.load import load
from gateway.catalog.view import View
from gateway.definitions import Definitions
from gateway.derive.operator import DeriveBounds
from gateway.schemas.repository import SchemaRepository
from gateway.settings.relations import (
    ARCHIVE_BYTES,
    ARCHIVING_BYTES,
    BUILDING_BYTES,
    CACHES,
    HELD_BYTES,
    HELD_FACTOR,
    ID_BYTES,
    PARSED_FACTOR,
    PROCESSING_BYTES,
    READ_BYTES,
    READER_BYTES,
    RULE_BYTES,
    VIEW_BYTES,
    memory_bound,
    processing_bound,
    told_memory,
)
from gateway.settings.table import Settings
from gateway.state import lookup, store
from gateway.state.reduce import LONGEST_VALUE
from gateway.state.serving import CACHE_BYTES, THREADS
from gateway.state.store import STEP_BYTES


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


def declaring(folder: Path) -> Definitions:
    """Two derived streams of one topic, and a rule."""
    path = folder / "gateway.yaml"
    row = "schema_title: row, derive: {from: [source], select: {n: event.n}}"
    path.write_text(f"streams:\n  source: {{}}\n  a: {{{row}}}\n  b: {{{row}}}\n")
    return Definitions(load(path).catalog, SchemaRepository([]), rules={"a": ("rule",), "b": ("rule",)})


def test_what_derived_streams_and_rules_may_hold_is_counted(tmp_path: Path) -> None:
    settings, definitions = Settings(), declaring(tmp_path)
    bounds = settings.of(DeriveBounds)
    each = bounds.derive_held * HELD_BYTES + bounds.derive_held_bytes * HELD_FACTOR
    bound = processing_bound(settings, definitions)
    assert bound == PROCESSING_BYTES + 2 * each + READ_BYTES + RULE_BYTES
    told, hint = told_memory(settings, memory_bound(settings) + bound, definitions)
    assert f"derived streams, rules, views and archives use at most about {bound >> 20} MB" in told
    assert hint is None
    _, hint = told_memory(settings, memory_bound(settings) + bound - 1, definitions)
    assert hint is not None
    assert hint.endswith("derive_held or derive_held_bytes, or give it more")


def test_views_are_counted_where_they_are_built_and_where_they_are_served() -> None:
    settings = replace(Settings(), workers=2)
    views = tuple(View(name, "s", "s", ("key",)) for name in "abc")
    nothing = Definitions(Catalog([]), SchemaRepository([]))
    definitions = replace(nothing, views=views)
    building, one = processing_bound(settings, definitions), memory_bound(settings) + 3 * VIEW_BYTES
    assert building == PROCESSING_BYTES + 3 * BUILDING_BYTES
    told, hint = told_memory(settings, 2 * one + building, definitions)
    assert f"a process uses at most about {one >> 20} MB" in told
    assert hint is None
    assert told_memory(settings, 2 * one + building - 1, definitions)[1] is not None
    assert processing_bound(replace(settings, processing="off"), definitions) == 0


def test_streams_that_are_archived_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text("streams:\n  a: {archive: true}\n  b: {keep: 5y}\n  c: {}\n")
    definitions = Definitions(load(path).catalog, SchemaRepository([]))
    assert processing_bound(Settings(), definitions) == PROCESSING_BYTES + ARCHIVE_BYTES + 2 * ARCHIVING_BYTES
    assert processing_bound(replace(Settings(), processing="off"), definitions) == 0


def test_the_parts_of_a_view_fit_into_its_bounds() -> None:
    assert VIEW_BYTES > (THREADS + 1) * lookup.CACHE_KIBIBYTES * 1024 + CACHE_BYTES
    parsed = PARSED_FACTOR * 2 * LONGEST_VALUE
    assert store.CACHE_KIBIBYTES * 1024 + READ_BYTES + 2 * STEP_BYTES + parsed < BUILDING_BYTES


def test_what_is_derived_elsewhere_is_not_counted(tmp_path: Path) -> None:
    definitions = declaring(tmp_path)
    assert processing_bound(replace(Settings(), processing="off"), definitions) == 0
    nothing = Definitions(Catalog([]), SchemaRepository([]))
    assert processing_bound(Settings(), nothing) == 0
    assert "derived" not in told_memory(Settings(), None, nothing)[0]


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
