"""An index is whole, or names the file that is wrong."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.archive.index import NEVER, ArchivedFile, Damage, FileRow, PartitionIndex, index_of, lost, reach
from gateway.archive.layout import Place, Span, day_of, file_path, parts_by_day, row_groups, span_of_path
from gateway.model.record import Record, TopicPartition
from tests.archive.kit import DAY, START

PARTITION = TopicPartition("a-topic.with-1-dashes", 3)
PLACE = Place("identity", PARTITION)


def row(begin: int, end: int, high: int | None = START, records: int | None = None) -> FileRow:
    count = end - begin if records is None else records
    first, last = (begin, end - 1) if count else (None, None)
    path = file_path(Span("2026-09-21", PARTITION, begin, end))
    return FileRow(path, 1000, count, "identity", first, last, high if count else None)


def positions(start: int | None, end: int | None) -> dict[str, int | None]:
    return {PLACE.application("start"): start, PLACE.application("end"): end}


def whole(rows: list[FileRow], start: int, end: int) -> PartitionIndex:
    found = index_of(rows, positions(start, end).get)
    assert isinstance(found, dict)
    index = found[PLACE]
    assert isinstance(index, PartitionIndex), index
    return index


@given(
    st.from_regex(r"[A-Za-z0-9._-]{1,249}", fullmatch=True), st.integers(0, 9999), st.integers(0, 10**18), st.integers()
)
def test_a_path_says_which_range_it_stands_for(topic: str, number: int, begin: int, length: int) -> None:
    span = Span("2026-09-21", TopicPartition(topic, number), begin, begin + abs(length) % 10**9)
    assert span_of_path(file_path(span)) == span


def test_two_paths_of_one_range_differ() -> None:
    span = Span("2026-09-21", PARTITION, 0, 10)
    assert file_path(span) != file_path(span)


def test_an_offset_is_in_the_file_of_its_range() -> None:
    rows = [row(10, 20), row(0, 10), row(20, 35, records=1)]
    index = whole(rows, 0, 35)
    for offset, begin in ((0, 0), (9, 0), (10, 10), (19, 10), (20, 20), (34, 20)):
        file = index.at(offset)
        assert file is not None
        assert file.begin == begin
    assert index.at(35) is None
    assert index.at(-1) is None
    assert (index.start, index.end) == (0, 35)


def test_a_time_is_in_the_first_file_that_reaches_it() -> None:
    highs = [50, None, 20, 70, 60]
    index = whole([row(10 * n, 10 * n + 10, high, 0 if high is None else 10) for n, high in enumerate(highs)], 0, 50)
    for time in range(0, 80, 5):
        expected = next((10 * n for n, high in enumerate(highs) if high is not None and high >= time), None)
        file = index.reaching(time)
        assert (None if file is None else file.begin) == expected


def test_files_below_the_start_count_no_more() -> None:
    index = whole([row(0, 10), row(10, 20), row(40, 50)], 45, 50)
    assert index.start == 45
    assert index.at(44) is None
    assert index.at(45) is not None
    assert [file.begin for file in index.files] == [40]
    assert [file.begin for file in index.all_files] == [0, 10, 40], "they are in the table all the same"


@pytest.mark.parametrize(
    ("rows", "start", "end", "named", "told"),
    [
        ([row(0, 10), row(20, 30)], 0, 30, 1, "from offset 10 on, is missing"),
        ([row(10, 20)], 0, 20, 0, "from offset 0 on, is missing"),
        ([row(0, 10)], 0, 30, 0, "from offset 10 on are missing"),
        ([row(0, 10), row(5, 15)], 0, 15, 1, "overlaps"),
        ([row(0, 10), row(0, 10)], 0, 10, None, "overlaps"),
        ([row(0, 10)._replace(last=10)], 0, 10, 0, "not those of its range"),
        ([row(5, 10)._replace(first=4)], 5, 10, 0, "not those of its range"),
        ([row(0, 10)._replace(records=0)], 0, 10, 0, "wrongly"),
        ([row(0, 10)._replace(first=None, last=None, high=None)], 0, 10, 0, "wrongly"),
        ([row(0, 10)], None, None, 0, "no position"),
    ],
)
def test_damage_names_the_file(
    rows: list[FileRow], start: int | None, end: int | None, named: int | None, told: str
) -> None:
    found = index_of(rows, positions(start, end).get)
    assert isinstance(found, dict)
    damage = found[PLACE]
    assert isinstance(damage, Damage)
    assert told in damage.reason
    assert named is None or damage.path == rows[named].path


@pytest.mark.parametrize("path", ["part-00000-abc.zstd.parquet", "2026-09-21/x-0-1-2-ab.parquet", "../a.parquet"])
def test_a_foreign_file_is_damage_of_the_table(path: str) -> None:
    found = index_of([row(0, 10), row(10, 20)._replace(path=path)], positions(0, 20).get)
    assert found == Damage(path, "this file was not written by the gateway")


def test_a_file_without_statistics_is_damage_of_the_table() -> None:
    assert isinstance(index_of([row(0, 10)._replace(identity=None)], positions(0, 10).get), Damage)


def test_a_partition_whose_files_are_all_gone_is_damaged() -> None:
    assert isinstance(lost(PLACE, positions(0, 10).get), Damage)
    assert lost(PLACE, positions(None, None).get) is None
    assert lost(PLACE, positions(10, 10).get) is None


def test_an_archive_counts_where_it_reaches_the_log() -> None:
    index = whole([row(5, 10)], 5, 10)
    assert [reach(index, start) for start in (3, 5, 7, 10, 11)] == [3, 5, 5, 5, 11]


def at(time: int, offset: int = 0) -> Record:
    return Record(*PARTITION, offset, time, None, b"")


def test_late_records_do_not_go_back_to_an_old_day() -> None:
    times = [START, START - 3 * DAY, START + DAY, START, START + 2 * DAY]
    parts = list(parts_by_day([at(time) for time in times], "1970-01-01", START + 2 * DAY))
    days = [(day, [record.timestamp for record in records]) for day, records in parts]
    assert days == [("2026-09-21", times[:2]), ("2026-09-22", times[2:4]), ("2026-09-23", times[4:])]


@pytest.mark.parametrize("time", [-1, -(1 << 63), (1 << 63) - 1, START + 3 * DAY])
def test_odd_times_name_no_day(time: int) -> None:
    assert day_of(time, "2026-09-20", START) == "2026-09-20"


@given(st.lists(st.integers(-(1 << 63), (1 << 63) - 1)))
def test_days_only_rise(times: list[int]) -> None:
    parts = list(parts_by_day([at(time, offset) for offset, time in enumerate(times)], "1970-01-01", START))
    assert [record.offset for _, part in parts for record in part] == list(range(len(times)))
    assert all(before < after for (before, _), (after, _) in pairwise(parts))


@given(st.lists(st.integers(0, 900_000), max_size=30))
def test_a_row_group_is_bounded_but_for_its_last_record(sizes: list[int]) -> None:
    records = [at(0, offset)._replace(value=bytes(size)) for offset, size in enumerate(sizes)]
    groups = list(row_groups(records))
    assert [record for group in groups for record in group] == records
    assert all(sum(len(record.value or b"") for record in group[:-1]) < 1 << 20 for group in groups)
    assert all(len(group) <= 4096 for group in groups)


def test_a_file_without_records_reaches_no_time() -> None:
    file = ArchivedFile("x", 0, 10, "2026-09-21", 0, 1, NEVER)
    assert PartitionIndex([file], 0, 10).reaching(NEVER + 1) is None
