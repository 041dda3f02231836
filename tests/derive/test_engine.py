"""The operators, each by a few events."""

from __future__ import annotations

from pathlib import Path

from tests.derive.events import at, configured, engine, give, refused, rows


def test_a_row_has_what_is_selected_and_leaves_out_what_fails(tmp_path: Path) -> None:
    catalog = configured(
        tmp_path,
        "a: {derive: {from: [wiki.change], where: event.kind == 'edit',"
        " select: {title: event.title, size: event.n + 1}}}",
    )
    made = engine(catalog, "a")
    give(
        made,
        [at("00:00:00", kind="edit", title="T", n=1), at("00:00:00", kind="edit", n="x"), at("00:00:00", title="T")],
    )
    assert rows(made) == [{"title": "T", "size": 2}, {}]
    assert refused(made) == []


def test_a_minute_is_told_once_it_is_over_for_all_and_what_comes_then_is_late(tmp_path: Path) -> None:
    catalog = configured(
        tmp_path,
        "a: {derive: {from: [wiki.change], by: {wiki: event.wiki}, window: {every: 1m}, late: 10s,"
        " select: {edits: count(), bots: count(event.bot), grown: sum(event.n)}}}",
    )
    made = engine(catalog, "a", partitions=2)
    give(made, [at("00:00:10", wiki="x", bot=True, n=2), at("00:01:09", wiki="x"), at("00:00:59", wiki="x", n=3)])
    give(made, [at("00:01:10", wiki="x")], offset=3)
    assert rows(made) == []
    give(made, [at("00:00:20", wiki="x", n=5), at("00:02:30", wiki="x")], partition=1)
    assert rows(made) == [
        {
            "wiki": "x",
            "window_start": "2026-01-01T00:00:00.000Z",
            "window_end": "2026-01-01T00:01:00.000Z",
            "edits": 3,
            "bots": 1,
            "grown": 10,
        }
    ]
    assert refused(made) == []
    give(made, [at("00:00:59", wiki="x")], offset=4)
    assert refused(made) == [("late", 4)]
