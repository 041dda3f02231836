"""The operators, each by a few events."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.derive.engine import event_of
from gateway.derive.operator import DeriveBounds, TooMuchHeld
from gateway.derive.sessions import Sessions
from gateway.model.record import Record, TopicPartition
from gateway.times import iso_time
from tests.derive.events import SOURCE, at, configured, engine, give, record, refused, rows


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


def test_an_expression_sees_the_record_too(tmp_path: Path) -> None:
    catalog = configured(
        tmp_path,
        "a: {derive: {from: [wiki.change], select: {place: '[topic, partition, offset, timestamp]', key: key}}}",
    )
    made = engine(catalog, "a")
    give(made, [at("00:00:01")], offset=7)
    assert rows(made) == [{"place": ["wiki.change", 0, 7, 1_767_225_601_000], "key": None}]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("timestamp(event.meta.dt)", "2026-01-01T00:00:00.000Z"),
        ("duration('90s')", "90s"),
        ("uint(3)", 3),
        ("{'a': [1, 2.5, null]}", {"a": [1, 2.5, None]}),
        ("event.meta", {"dt": "2026-01-01T00:00:00.000Z"}),
        ("event.nothing", None),
        ("{1: 2}", None),
        ("b'x'", None),
        ("1.0 / 0.0", None),
        ("9223372036854775807 + 1", None),
        ("type(1)", None),
        ("[1, b'x']", None),
    ],
)
def test_a_value_is_told_as_json_has_it(tmp_path: Path, text: str, value: object) -> None:
    catalog = configured(tmp_path, f'a: {{derive: {{from: [wiki.change], select: {{v: "{text}"}}}}}}')
    made = engine(catalog, "a")
    give(made, [at("00:00:00")])
    assert rows(made) == [{} if value is None else {"v": value}]


def test_an_expression_that_takes_too_long_fails(tmp_path: Path) -> None:
    loop = "event.list.exists(a, event.list.exists(b, event.list.exists(c, a + b + c < 0)))"
    catalog = configured(
        tmp_path,
        f'a: {{derive: {{from: [wiki.change], where: "{loop}", select: {{v: event.list}}}}}}',
        f'b: {{derive: {{from: [wiki.change], select: {{v: "{loop}"}}}}}}',
    )
    expected: list[tuple[str, list[dict[str, object]]]] = [("a", []), ("b", [{}])]
    for name, wanted in expected:
        made = engine(catalog, name)
        give(made, [at("00:00:00", list=list(range(200)))])
        assert rows(made) == wanted


def test_canaries_move_the_clock_and_are_no_results(tmp_path: Path) -> None:
    catalog = configured(
        tmp_path,
        "a: {derive: {from: [wiki.change]}}",
        "b: {derive: {from: [wiki.change], window: {every: 1m}, select: {n: count()}}}",
    )
    canary = {"meta": {"dt": "2026-01-01T01:00:00.000Z", "domain": "canary"}}
    for name, wanted in (("a", [{}]), ("b", [{"n": 1}])):
        made = engine(catalog, name)
        give(made, [at("00:00:00"), canary])
        assert [{key: row[key] for key in row if key == "n"} for row in rows(made)] == wanted


def test_what_is_no_event_is_told_and_a_deletion_is_none(tmp_path: Path) -> None:
    catalog = configured(tmp_path, "a: {derive: {from: [wiki.change], select: {x: event.x}}}")
    made = engine(catalog, "a")
    values = [b"{", None, b"[]", b'{"x":1}', b'{"x":1,"meta":{"dt":"soon"}}', b'{"x":1,"meta":{"dt":1767225600}}']
    records = [Record(SOURCE, 0, offset, 5, None, value) for offset, value in enumerate(values)]
    made.take(TopicPartition(SOURCE, 0), [(one, event_of(one)) for one in records])
    assert refused(made) == [("invalid", 0), ("invalid", 2), ("invalid", 3), ("invalid", 4)]
    assert [one.reason for one in made.results.refused][2:] == ["it has no time", "it has no time"]
    assert [row.timestamp for row in made.results.rows] == [1_767_225_600_000]


@pytest.mark.parametrize("key", [None, 1.5, [1], {"a": 1}, "x" * 2_000, "ä" * 600, "\ud800"])
def test_what_is_no_key_is_told(tmp_path: Path, key: object) -> None:
    for declaration in (
        "window: {every: 1m}, by: {k: event.k}, select: {n: count()}",
        "latest: {k: event.k}",
        "dedup: {by: event.k, within: 1m}, select: {k: event.k}",
    ):
        made = engine(configured(tmp_path, f"a: {{derive: {{from: [wiki.change], {declaration}}}}}"), "a")
        event = at("00:00:00", k=key)
        one = Record(SOURCE, 0, 0, 0, None, json.dumps(event).encode())
        made.take(TopicPartition(SOURCE, 0), [(one, event_of(one))])
        assert refused(made) == [("invalid", 0)]
        assert "of the key" in made.results.refused[0].reason


def test_keys_of_other_types_are_other_keys(tmp_path: Path) -> None:
    catalog = configured(
        tmp_path, "a: {derive: {from: [wiki.change], by: {k: event.k}, window: {every: 1m}, select: {n: count()}}}"
    )
    made = engine(catalog, "a")
    keys = [1, True, "1", "true", 0, False, "0", 1]
    give(made, [*(at("00:00:00", k=key) for key in keys), at("00:10:00")])
    assert [(row["k"], type(row["k"]), row["n"]) for row in rows(made)].count((1, int, 2)) == 1
    assert len(rows(made)) == 7
    assert len({json.loads(row.value or b"")["meta"]["id"] for row in made.results.rows}) == 7


@pytest.mark.parametrize(
    "declaration",
    [
        "window: {every: 1m}, by: {k: event.k}, select: {n: count()}",
        "window: {size: 100m, every: 1m}, select: {n: count()}",
        "window: {gap: 1m}, by: {k: event.k}, select: {n: count()}",
        "window: {last: 1m}, select: {n: count()}",
        "dedup: {by: event.k, within: 1h}",
        "latest: {k: event.k}",
        "lookup: {x: {in: t, key: event.k}}, select: {x: x.x}",
    ],
)
def test_more_than_may_be_held_is_refused_with_its_count(tmp_path: Path, declaration: str) -> None:
    catalog = configured(
        tmp_path, "t: {message_key_fields: [k]}", f"a: {{derive: {{from: [wiki.change], {declaration}}}}}"
    )
    events = [at("00:00:00", k=number) for number in range(51)]
    give(engine(catalog, "a", bounds=DeriveBounds(derive_held=100)), events)
    with pytest.raises(TooMuchHeld, match=r"hold \d+ .* 50 are allowed \(derive_held\)"):
        give(engine(catalog, "a", bounds=DeriveBounds(derive_held=50)), events)


@pytest.mark.parametrize(
    "declaration",
    [
        "latest: {k: event.k}",
        "dedup: {by: event.k, within: 1h}",
        "dedup: {by: event.k, within: 1h}, late: 0s, select: {k: event.k}",
        "window: {every: 1m}, by: {k: event.k}, select: {n: count()}",
        "window: {every: 1m}, select: {m: max(event.text)}",
        "window: {gap: 1m}, by: {k: event.k}, select: {n: count()}",
        "window: {gap: 1m}, select: {m: min(event.text)}",
        "window: {last: 1m}, by: {k: event.k}, select: {n: count()}",
        "window: {last: 1m}, select: {m: max(event.text)}",
        "window: {last: 1m}, select: {m: sum(event.text)}",
    ],
)
def test_more_bytes_than_may_be_held_are_refused(tmp_path: Path, declaration: str) -> None:
    catalog = configured(tmp_path, f"a: {{derive: {{from: [wiki.change], {declaration}}}}}")
    bounds = DeriveBounds(derive_held_bytes=15_000)
    events = [at("00:00:00", k=f"{number:01000}", text=f"{10_000 - number:01000}") for number in range(4)]
    give(engine(catalog, "a", bounds=bounds), events)
    with pytest.raises(TooMuchHeld, match="derive_held_bytes"):
        give(
            engine(catalog, "a", bounds=bounds),
            [at("00:00:00", k=f"{number:01000}", text="x" * 16_000) for number in range(16)],
        )


def test_a_session_that_goes_on_for_ever_keeps_none_of_those_that_end(tmp_path: Path) -> None:
    declaration = "window: {gap: 1s}, by: {k: event.k}, select: {n: count()}, late: 1s"
    made = engine(configured(tmp_path, f"a: {{derive: {{from: [wiki.change], {declaration}}}}}"), "a")
    for number in range(3_000):
        clock = f"{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}"
        halves = [at(clock, k="always"), at(clock, k=number), at(clock.replace(":", ":", 1), k="always")]
        halves[2]["meta"]["dt"] = f"2026-01-01T{clock}.500Z"
        give(made, halves, offset=3 * number)
        made.forget()
        at_end = made.position({}).partitions[TopicPartition(SOURCE, 0)]
    assert at_end.since == 0
    assert made.held < 10
    (openings,) = (place.openings for place in made._places.values())
    assert len(openings._kept) < 200


def test_sessions_that_become_one_leave_nothing(tmp_path: Path) -> None:
    declaration = "window: {gap: 1s}, select: {n: count()}, late: 1d"
    made = engine(configured(tmp_path, f"a: {{derive: {{from: [wiki.change], {declaration}}}}}"), "a")
    begin = 1_767_225_600_000
    for number in range(2_000):
        # One that is apart from all before, and one between.
        times = (begin + number * 1_500, begin + number * 1_500 - 750)
        give(made, [{"meta": {"dt": iso_time(time)}} for time in times], offset=2 * number)
    assert made.held == 1
    operator = made._operator
    assert isinstance(operator, Sessions)
    assert len(operator._ends) < 200
    (openings,) = (place.openings for place in made._places.values())
    assert len(openings._kept) < 200


@pytest.mark.parametrize(
    "declaration",
    [
        "window: {every: 1m}, by: {k: event.k}, select: {n: count()}",
        "window: {gap: 1m}, by: {k: event.k, t: event.t}, select: {n: count(), m: max(event.t), l: min(event.t)}",
        "window: {every: 1m}, by: {t: event.t}, select: {m: max(event.t), l: min(event.t)}",
        "window: {last: 1m}, by: {k: event.k, t: event.t}, select: {n: count(), m: max(event.t), l: min(event.m)}",
        "dedup: {by: event.k, within: 1m}",
        "latest: {k: event.k}",
        "lookup: {x: {in: t, key: event.k}}, select: {x: x.x}",
    ],
)
def test_nothing_is_held_once_it_is_told(tmp_path: Path, declaration: str) -> None:
    catalog = configured(
        tmp_path, "t: {message_key_fields: [k]}", f"a: {{derive: {{from: [wiki.change], {declaration}}}}}"
    )
    made = engine(catalog, "a")
    times = [f"00:{minute:02}:{second:02}" for minute in range(5) for second in (1, 1, 7, 30)]
    give(made, [at(time, k=number % 3, t="x" * (number % 4), m={}) for number, time in enumerate(times)])
    assert made.held > 0
    canary = {"meta": {"dt": "2026-01-02T00:00:00.000Z", "domain": "canary"}}
    for topic in dict.fromkeys((SOURCE, "t" if "lookup" in declaration else SOURCE)):
        give(made, [canary], offset=100, topic=topic)
    assert made.held == made.held_bytes == 0
    at_end = made.position({}).partitions[TopicPartition(SOURCE, 0)]
    assert at_end.since == at_end.next == 101


def test_rows_that_the_schema_refuses_go_to_the_errors(tmp_path: Path) -> None:
    def faults(event: dict[str, object]) -> list[str]:
        return ["/n: too many"] if event.get("n") == 2 else []

    catalog = configured(
        tmp_path,
        "a: {derive: {from: [wiki.change], select: {n: event.n}}}",
        "b: {derive: {from: [wiki.change], window: {every: 1m}, select: {n: count()}}}",
    )
    made = engine(catalog, "a", uri="/row/1.0.0", faults=faults)
    give(made, [at("00:00:00", n=2), at("00:00:00", n=3)])
    assert (rows(made), refused(made)) == ([{"$schema": "/row/1.0.0", "n": 3}], [("invalid", 0)])
    made = engine(catalog, "b", uri="/row/1.0.0", faults=faults)
    give(made, [at("00:00:00"), at("00:00:00"), at("00:10:00")])
    assert (rows(made), refused(made)) == ([], [("invalid", None)])
    assert b'"n":2' in made.results.refused[0].value


def test_those_that_are_furthest_behind_are_known(tmp_path: Path) -> None:
    catalog = configured(tmp_path, "t: {}", "a: {derive: {from: [wiki.change, t], latest: {k: event.k}}}")
    made = engine(catalog, "a", 2)
    places = [TopicPartition(topic, number) for topic in (SOURCE, "t") for number in (0, 1)]
    assert made.behind(places) == []
    assert made.furthest_behind(places) == places
    for place, clock in zip(places, ("00:00:00", "00:00:30", "01:00:00", "05:00:00"), strict=True):
        give(made, [at(clock, k=1)], partition=place.partition, topic=place.topic)
    assert made.behind(places) == places[:3]
    assert made.furthest_behind(places) == places[:2]
    assert made.furthest_behind(places[2:]) == [places[2]]
    assert made.furthest_behind([]) == []


def test_a_source_that_is_merged_keeps_its_events(tmp_path: Path) -> None:
    catalog = configured(tmp_path, "t: {}", "a: {derive: {from: [wiki.change, t], where: event.n > 1}}")
    made = engine(catalog, "a")
    give(made, [at("00:00:00", n=1), at("00:00:01", n=2)])
    give(made, [at("00:00:00", n=3)], topic="t")
    assert [row["n"] for row in rows(made)] == [2, 3]
    assert made.results.rows[0].value == record(at("00:00:01", n=2), 0).value


def test_canaries_go_on_to_what_is_derived_from_a_derived_stream(tmp_path: Path) -> None:
    catalog = configured(
        tmp_path,
        "a: {derive: {from: [wiki.change], where: event.wanted, window: {every: 1m}, select: {n: count()}}}",
        "b: {derive: {from: [a], window: {every: 1h}, select: {minutes: count(), most: max(event.n)}}}",
    )
    first, second = engine(catalog, "a"), engine(catalog, "b")
    give(first, [at("00:00:00", wanted=True), at("00:00:30", wanted=True), at("00:03:00", wanted=False)])
    assert first.canary() is None
    give(first, [{"meta": {"dt": "2026-01-01T01:00:30.000Z", "domain": "canary"}}], offset=3)
    told = first.canary()
    assert told is not None
    assert told.timestamp == 1_767_225_600_000 + 3_620_000
    assert first.canary() is None
    made = [*first.results.rows, told]
    records = [Record("a", 0, offset, row.timestamp, row.key, row.value) for offset, row in enumerate(made)]
    second.take(TopicPartition("a", 0), [(one, event_of(one)) for one in records])
    assert [{name: row[name] for name in ("minutes", "most")} for row in rows(second)] == [{"minutes": 1, "most": 2}]


def test_how_long_a_silent_partition_holds_the_rows_back_is_known(tmp_path: Path) -> None:
    catalog = configured(
        tmp_path,
        "a: {derive: {from: [wiki.change], window: {every: 1m}, late: 10s, select: {n: count()}}}",
        "b: {derive: {from: [wiki.change]}}",
    )
    windows, selects = engine(catalog, "a", 2), engine(catalog, "b", 2)
    assert windows.held_back == 0
    for made in (windows, selects):
        give(made, [at("00:00:00")])
        give(made, [at("00:20:00")], offset=1)
    assert (windows.held_back, selects.held_back) == (20 * 60_000, 0)
    give(windows, [at("00:15:00")], partition=1)
    assert windows.held_back == 5 * 60_000
    give(windows, [at("00:20:00")], partition=1, offset=1)
    assert windows.held_back == 0


def test_an_object_with_a_number_that_json_has_not_is_left_out(tmp_path: Path) -> None:
    """As such a number alone is. Nobody could read `Infinity`."""
    catalog = configured(
        tmp_path, 'row: {derive: {from: [wiki.change], select: {n: event.n, o: event.o, l: "[event]"}}}'
    )
    made = engine(catalog, "row")
    objects = [
        b'{"a": 1e999, "s": "\\ud800"}',
        b'{"a": 1e999}',
        b'{"a": [1, {"b": [[-1e999]]}]}',
        b'{"a": [1, {"b": [[-1e99]]}], "s": "\\ud800"}',
    ]
    for number, one in enumerate(objects):
        text = b'{"meta": {"dt": "2026-01-01T00:00:00Z"}, "n": %d, "o": %b}' % (number, one)
        source = Record(SOURCE, 0, number, 0, None, text)
        made.take(TopicPartition(SOURCE, 0), [(source, event_of(source))])
    texts = [row.value or b"" for row in made.results.rows]
    assert not any(b"Infinity" in one or b"null" in one for one in texts)
    found = [json.loads(one) for one in texts]
    assert [one["n"] for one in found] == [0, 1, 2, 3]
    assert [one.keys() & {"o", "l"} for one in found] == [set(), set(), set(), {"o", "l"}]
    assert found[3]["o"] == {"a": [1, {"b": [[-1e99]]}], "s": "\ud800"}
