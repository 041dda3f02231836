"""A declaration that is tried: what is said of it, and what comes of some records. Without a process."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.catalog.catalog import Catalog
from gateway.catalog.derivation import Derivation
from gateway.catalog.stream import Stream
from gateway.derive import trial as module
from gateway.derive.operator import DeriveBounds
from gateway.derive.trial import Trial
from gateway.model.record import Record, TopicPartition
from gateway.schemas.repository import SchemaRepository
from tests.derive.events import SOURCE, at, record
from tests.derive.test_examples import gateway

SCHEMAS = SchemaRepository([Path(__file__).parents[2] / "config" / "schemas"])
CHANGE = Stream(SOURCE, (SOURCE,), ("changes",), schema_title="wiki/change")
BARE = Stream("bare", ("bare",))
PER_MINUTE = """
per-minute:
  schema_title: per-minute
  derive:
    from: [bare]
    by: {wiki: event.wiki}
    window: {every: 1m}
    late: 10s
    select: {edits: count()}
"""


def tried(text: str | bytes, *streams: Stream) -> Trial:
    catalog = Catalog([CHANGE, BARE, *streams])
    return Trial(text.encode() if isinstance(text, str) else text, catalog, SCHEMAS)


def run(trial: Trial, *records: Iterable[Record], partitions: int = 1) -> dict[str, Any]:
    """What comes of the records, a batch after another. As a client would read it."""
    trial.begin(TopicPartition(topic, number) for topics in trial.inputs.values() for topic in topics
                for number in range(partitions))  # fmt: skip
    for batch in map(list, records):
        trial.take(TopicPartition(batch[0].topic, batch[0].partition), batch)
    found: dict[str, Any] = orjson.loads(orjson.dumps(trial.result()))
    for row in found["rows"]:
        row["value"] = None if row["value"] is None else json.loads(row["value"])
    return found


def edits(*clocks: str, partition: int = 0, first: int = 0) -> list[Record]:
    events = [at(clock, wiki="enwiki") for clock in clocks]
    return [record(one, first + number, partition, "bare") for number, one in enumerate(events)]


def mistakes(text: str | bytes, *streams: Stream) -> list[tuple[int, str]]:
    trial = tried(text, *streams)
    assert trial.derivation is None or not trial.said["mistakes"]
    return [(one["line"], one["text"]) for one in trial.said["mistakes"]]


def test_the_rows_are_those_of_the_engine_and_what_is_refused_has_its_place() -> None:
    trial = tried(PER_MINUTE)
    assert (trial.said["mistakes"], trial.said["operator"]) == ([], "window")
    bad = Record("bare", 0, 4, 0, None, b"{")
    found = run(trial, edits("10:00:05", "10:00:55", "10:03:00", "10:01:00"), [bad])
    (row,) = found["rows"]
    assert row["time"] == "2026-01-01T10:01:00.000Z"
    assert row["value"]["edits"] == 2
    assert found["counts"] == {"rows": 1, "late": 1, "errors": 1, "records": 5, "waiting": 1}
    assert [(one["kind"], one["place"]["offset"]) for one in found["refused"]] == [("invalid", 4), ("late", 3)]
    assert (found["from"], found["to"]) == ("1970-01-01T00:00:00.000Z", "2026-01-01T10:03:00.000Z")
    assert found["stopped"] is None


def test_a_silent_partition_holds_back_no_trial() -> None:
    found = run(tried(PER_MINUTE), edits("10:00:05", "10:05:00"), partitions=3)
    assert [row["value"]["edits"] for row in found["rows"]] == [1]


def test_the_schema_is_the_one_that_is_written_later() -> None:
    wanted = gateway("derive", "schema", "wiki.enwiki-edits", "--print").output
    text = """
      wiki.enwiki-edits:
        schema_title: wiki/enwiki-edit
        derive:
          from: [wiki.change]
          where: event.wiki == "enwiki" && event.type == "edit" && !event.bot
          select:
            title: event.title
            user: event.user
            revision: event.revision.new
            delta: event.length.new - event.length.old
    """
    trial = tried(text)
    assert trial.said["mistakes"] == []
    assert trial.said["schema"].partition("$id")[2] == wanted.partition("$id")[2]
    (warning,) = trial.said["warnings"]
    assert "in no schema repository yet" in warning["text"]


def test_each_mistake_has_its_line_and_an_expression_its_column() -> None:
    text = """
streams:
  mine:
    schema_title: mine
    derive:
      from: [wiki.change]
      where: event.type == "edit" &&
      select:
        title: event.titel
        size: event.length.new - event.user
"""
    found = dict(mistakes(text))
    assert "column" in found[7]
    assert "titel" in found[9]
    assert 10 in found
    found = dict(mistakes("mine:\n  derive:\n    form: [bare]"))
    assert "did you mean from?" in found[3]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: {derive: {from: [bare]}}\nb: {derive: {from: [bare]}}", 2, "a second stream"),
        ("derive: {from: [bare]}", 1, "the name of the stream is missing"),
        ("- a", 1, "here is a list"),
        ("", 1, "here is nothing"),
        ("streams:", 1, "here is nothing"),
        ("mine: {}", 1, "mine has no derive"),
        ("\nmine: [", 2, "not valid YAML"),
        (b"mine:\n  derive: {from: [\xff]}", 2, "this is not UTF-8"),
        ("changes: {derive: {from: [bare]}}", 1, "an alias of wiki.change"),
        ("mine: {derive: {from: [bare], select: {a: event.a}}}", 1, "no schema_title"),
        ("mine: {derive: {from: [mine]}}", 1, "made of itself"),
        ("bad name: {derive: {from: [bare]}}", 1, "cannot be the name of a stream"),
        ("mine: {error_stream: nothing, derive: {from: [bare]}}", 1, "no stream of that name"),
        ("mine: {derive: {from: [wiki.chnge]}}", 1, "did you mean wiki.change?"),
        ("mine: &a {derive: *a}", 1, "more than 64 levels"),
    ],
)
def test_what_cannot_be_tried_is_told(text: str | bytes, line: int, words: str) -> None:
    found = mistakes(text)
    assert any(at_line == line and words in told for at_line, told in found), found


def test_a_circle_is_told_from_the_declaration_that_is_tried() -> None:
    other = Stream("other", ("other",), derive=Derivation(("mine",), line=77))
    ((line, told),) = mistakes("\nmine: {derive: {from: [other]}}", other)
    assert (line, told) == (2, "mine is made of itself: mine → other → mine; events would go round for ever")


def test_what_is_hidden_is_told_of_by_nothing() -> None:
    """The catalogue is what the visitor may read: there is a stream in it that is made of one which is not."""
    made = Stream("made", ("made",), schema_title="made", derive=Derivation(("secret", "bare"), line=5))
    for source in ("made", "secret", "secre"):
        trial = tried(f"mine: {{derive: {{from: [{source}]}}}}", made)
        said = str(trial.said)
        assert (source == "made") == (not trial.said["mistakes"])
        assert said.replace(f"reads {source}", "").count("secret") == 0


def test_a_stream_that_is_there_can_be_declared_anew() -> None:
    made = Stream("per-minute", ("per-minute",), schema_title="per-minute", derive=Derivation((SOURCE,)))
    again = Stream("again", ("again",), derive=Derivation(("per-minute",)))
    assert run(tried(PER_MINUTE, made, again), edits("10:00:05", "10:05:00"))["counts"]["rows"] == 1


def test_deletions_and_streams_that_are_looked_into() -> None:
    latest = tried("now: {schema_title: now, derive: {from: [bare], latest: [event.wiki], delete: event.gone}}")
    gone = [record(at("10:00:00", wiki="enwiki", gone=True), 0, 0, "bare"), *edits("10:30:00", first=1)]
    assert run(latest, gone)["rows"] == [{"time": "2026-01-01T10:00:00.000Z", "key": "enwiki", "value": None}]
    looking = tried(
        "mine: {schema_title: mine, derive: {from: [wiki.change], lookup: {last: {in: bare, key: event.wiki}},"
        " select: {seen: last.wiki}}}"
    )
    assert looking.inputs == {"sources": [SOURCE], "lookups": ["bare"]}
    row = record(at("10:00:00", wiki="enwiki"), 0, 0, "bare")._replace(key=b"enwiki")
    change = record(at("10:01:00", wiki="enwiki"), 0)
    found = run(looking, [row], [change, record(at("10:30:00", wiki="x"), 1)])
    assert [one["value"]["seen"] for one in found["rows"]] == ["enwiki"]
    assert found["from"] == "2026-01-01T10:01:00.000Z"


def test_bounds_end_a_trial_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CPU_SECONDS", -1.0)
    found = run(tried(PER_MINUTE), edits("10:00:05"))
    assert found["counts"]["records"] == 0
    assert "processor time" in found["stopped"]
    monkeypatch.undo()
    monkeypatch.setattr(module, "BOUNDS", DeriveBounds(derive_held=1))
    found = run(tried(PER_MINUTE), edits("10:00:05", "10:01:05", "10:02:05"), edits("10:03:00", first=3))
    assert "derive_held" in found["stopped"]


def test_a_schema_that_is_too_long_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_SCHEMA", 10)
    trial = tried(PER_MINUTE)
    assert (trial.said["schema"], trial.said["mistakes"]) == (None, [])
    assert "too long" in trial.said["warnings"][-1]["text"]


def test_the_newest_rows_are_shown_and_all_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    every = "mine: {derive: {from: [bare]}}"
    records = [record(at("10:00:00", number=number), number, 0, "bare") for number in range(200)]
    found = run(tried(every), records[:150], records[150:])
    assert found["counts"]["rows"] == 200
    numbers = [row["value"]["number"] for row in found["rows"]]
    assert numbers == list(range(199, 199 - module.SHOWN_ROWS, -1))
    large = record(at("10:00:01", number=0, text="x" * module.SHOWN_BYTES), 200, 0, "bare")
    found = run(tried(every), [*records[:3], large])
    assert [row["value"]["number"] for row in found["rows"]] == [2, 1, 0]
    assert found["counts"]["rows"] == 4


def test_no_text_of_a_stranger_breaks_the_answer() -> None:
    trial = tried(b'mine: {derive: {from: [bare], select: {a: "\\"\\ud800\\" + 1"}}}')
    orjson.dumps(trial.said)
    trial = tried('mine: {schema_title: mine, derive: {from: [bare], select: {a: event.a + ""}}}')
    odd = Record("bare", 0, 0, 2**62, b"\xff\xd8", b'{"meta": {"dt": "2026-01-01T00:00:00Z"}, "a": "\\ud800"}')
    (row,) = run(trial, [odd])["rows"]
    assert row["value"]["a"] == "?"


def test_the_text_of_a_row_is_the_stored_one_without_line_breaks_and_lone_surrogates() -> None:
    head = b'{"meta": {"dt": "2026-01-01T00:00:00Z"},'
    trial = tried("mine: {derive: {from: [bare]}}")
    trial.begin([TopicPartition("bare", 0)])
    members = [
        b'\r\n "a": 1}',
        b' "a": 1e999, "b": 123456789012345678901234567890}',
        rb' "a": 1e999, "b": "\ud800\ud83d\ude00\\ud800\uDEAD\n"}',
    ]
    trial.take(
        TopicPartition("bare", 0),
        [Record("bare", 0, number, 0, None, head + one) for number, one in enumerate(members)],
    )
    texts = [row["value"].removeprefix(head.decode()) for row in reversed(trial.result()["rows"])]
    assert texts == [
        '   "a": 1}',
        ' "a": 1e999, "b": 123456789012345678901234567890}',
        r' "a": 1e999, "b": "?\ud83d\ude00\\ud800?\n"}',
    ]
