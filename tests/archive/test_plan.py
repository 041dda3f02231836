"""Which files are merged, and which are dropped."""

from __future__ import annotations

from gateway.archive.index import ArchivedFile
from gateway.archive.plan import compactable, outlived
from tests.archive.kit import DAY, START

MEGABYTE = 1 << 20


def files(*sizes: int, day: str = "2026-09-21", begin: int = 0) -> list[ArchivedFile]:
    return [ArchivedFile(f"{day}-{n}", begin + n, begin + n + 1, day, 1, size, 0) for n, size in enumerate(sizes)]


def merged(found: list[ArchivedFile], limit: int = 64, everything: bool = False) -> list[list[int]]:
    return [[file.size for file in run] for run in compactable(found, limit, everything)]


def test_files_of_the_newest_day_wait_for_company() -> None:
    assert merged(files(1, 1, 1, 1, 1)) == []
    assert merged(files(1, 1, 1, 1, 1, 1)) == [[1] * 6]
    assert merged(files(1, 1), everything=True) == [[1, 1]]


def test_a_large_file_is_not_written_again_for_a_few_small_ones() -> None:
    assert merged(files(20, 1, 1, 1, 1, 1)) == []
    assert merged(files(20, 1, 1, 1, 1, 1, 1)) == [[1] * 6]
    assert merged(files(6, 1, 1, 1, 1, 1, 1)) == [[6, 1, 1, 1, 1, 1, 1]]


def test_a_day_that_has_ended_becomes_large_files() -> None:
    found = [*files(1, 1), *files(1, 1, day="2026-09-22", begin=2)]
    assert merged(found) == [[1, 1]]
    assert merged([*files(40, 10, 10, 40), *files(1, day="2026-09-22", begin=4)]) == [[10, 10]]


def test_no_file_becomes_larger_than_it_may() -> None:
    found = files(*[10] * 20)
    assert all(sum(run) <= 64 for run in merged(found, everything=True))
    assert merged(files(40, 40, 40), everything=True) == []


def test_each_record_is_written_a_few_times() -> None:
    """A day of files every ten minutes, merged as they come."""
    sizes: list[int] = []
    written = 0
    for _ in range(144):
        sizes.append(1)
        found = files(*sizes)
        for run in reversed(compactable(found, 1000)):
            first = found.index(run[0])
            total = sum(file.size for file in run)
            sizes[first : first + len(run)] = [total]
            written += total
    assert len(sizes) < 14
    assert written < 6 * 144
    assert sum(sizes) == 144


def test_files_are_dropped_day_by_day_from_the_oldest() -> None:
    days = ("2026-09-01", "2026-09-05", "2026-09-03", "2026-09-21")
    found = [file for n, day in enumerate(days) for file in files(1, day=day, begin=n)]
    assert [file.day for file in outlived(found, 18 * DAY, START)] == ["2026-09-01"]
    assert [file.day for file in outlived(found, 10 * DAY, START)] == list(days[:3])
    assert outlived(found, 10**6 * DAY, START) == []
    # The newest file says where the archive ends.
    assert len(outlived(found, 1, START + 100 * DAY)) == 3
    assert outlived([], DAY, START) == []
