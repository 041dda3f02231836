"""The configuration file: what is read from it, and each mistake with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.catalog.load import load
from gateway.catalog.stream import Retention, Stream
from gateway.catalog.stream_part import OWN_TOPICS
from gateway.errors import ConfigurationError
from gateway.eventlog.kafka.writer import POSITIONS


def write(folder: Path, text: str) -> Path:
    path = folder / "gateway.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def mistakes(folder: Path, text: str) -> list[str]:
    """The mistakes without the path: `line: what`."""
    path = write(folder, text)
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    assert all(line.startswith(f"{path}:") for line in caught.value.mistakes)
    return [line.removeprefix(f"{path}:") for line in caught.value.mistakes]


def test_the_gateways_own_topics_are_no_streams(tmp_path: Path) -> None:
    assert (POSITIONS.topic,) == OWN_TOPICS
    for text in (
        "gateway.positions: {}",
        "a: {topics: [x, gateway.positions]}",
        "gateway.positions: {derive: {from: [a]}}",
    ):
        told = mistakes(tmp_path, f"streams:\n  {text}\n")
        assert "2: " in told[0]
        assert "the gateway keeps something of its own in the topic gateway.positions; choose another" in told[0]


def test_every_key_is_read(tmp_path: Path) -> None:
    text = """\
ring_bytes: 1000000
streams:
  a.change:
    title: Changes
    description: All of them.
    schema_title: a/change
    topics: [x.change, y.change]
    stream_aliases: [changes]
    canary_events_enabled: true
    resume: timestamp
    resume_overlap: 5s
    partitions: 3
    retention: {time: 7d, size: 1GB}
    timestamp_field: meta.dt
    message_key_fields: [wiki, page.id]
    public: false
    error_stream: errors
  errors: {schema_title: "/^error/[0-9]+$/"}
  bare:
  other: {retention: 36h, resume_overlap: 250, message_key_fields: {wiki_id: wiki}}
  big: {retention: 1.5KiB}
"""
    path = write(tmp_path, text)
    configuration = load(path)
    assert configuration.warnings == []
    assert configuration.settings == {"ring_bytes": (1_000_000, f"{path}:1")}
    streams = configuration.catalog.streams
    assert streams["a.change"] == Stream(
        name="a.change",
        topics=("x.change", "y.change"),
        aliases=("changes",),
        title="Changes",
        description="All of them.",
        schema_title="a/change",
        canary_events_enabled=True,
        resume="timestamp",
        resume_overlap=5000,
        partitions=3,
        retention=Retention(604_800_000, 10**9),
        timestamp_field="meta.dt",
        message_key_fields=("wiki", "page.id"),
        public=False,
        error_stream="errors",
    )
    assert streams["errors"].schema_title == "/^error/[0-9]+$/"
    assert streams["bare"] == Stream("bare", ("bare",), title="bare")
    assert streams["other"].retention == Retention(36 * 3_600_000)
    assert streams["other"].resume_overlap == 250
    assert streams["other"].message_key_fields == ("wiki",)
    assert streams["big"].retention == Retention(None, 1536)


@pytest.mark.parametrize(
    ("stream", "line", "told"),
    [
        ("topics: x", 3, "topics is"),
        ("topics: []", 3, "an empty list"),
        ("topics: [1]", 3, "the number 1"),
        ("topics:\n      - good\n      - so bad", 5, '"so bad" cannot be a topic'),
        ("topics: ['..']", 3, "cannot be a topic"),
        (f"topics: [{'x' * 250}]", 3, "cannot be a topic"),
        ("topics: [x, x]", 3, "twice"),
        ("stream_aliases: ['a,b']", 3, "cannot be an alias"),
        ("stream_aliases: [one]", 3, "the alias one is the name of the stream at line 2"),
        ("title: [x]", 3, "title is a list; it takes a string"),
        ("description: 3", 3, "in quotes"),
        ("schema_title: ../x", 3, "a title such as wiki/change"),
        ("schema_title: /x", 3, "a title such as wiki/change"),
        ("schema_title: /", 3, "a /regular expression/ of titles"),
        ("schema_title: //", 3, "a /regular expression/ of titles"),
        ("schema_title: /(/", 3, "linear time"),
        ("schema_title: /^(?!wiki)/", 3, "linear time"),
        ('schema_title: "/(a)\\\\1/"', 3, "linear time"),
        ("schema_title: '/(?:[a-z]{1,99}){99}/'", 3, "at most 65536 bytes"),
        ("public: perhaps", 3, "true or false"),
        ("error_stream: onne", 3, "is onne, and there is no stream of that name; did you mean one?"),
        ("error_stream: one", 3, "is one, which takes no events; give it a schema_title"),
        ("error_stream: [one]", 3, "the name of a stream"),
        ("canary_events_enabled: perhaps", 3, "true or false"),
        ("resume: never", 3, "offset or timestamp"),
        ("resume_overlap: -5", 3, "from 0 to"),
        ("resume_overlap: soon", 3, "ms, s, m, h, d, w or y"),
        ("resume_overlap: 2d", 3, "at most"),
        ("partitions: 0", 3, "from 1 to"),
        ("partitions: -1", 3, "from 1 to"),
        ("partitions: true", 3, "from 1 to"),
        ("partitions: 1.5", 3, "from 1 to"),
        ("partitions: 0b10", 3, '"0b10"'),
        ("partitions: 1:30", 3, '"1:30"'),
        ("partitions: 1_0", 3, '"1_0"'),
        ("retention: 7", 3, "7d"),
        ("retention: -7d", 3, "7d"),
        ("retention: 0d", 3, "7d"),
        ("retention: {time: 7d, sise: 1GB}", 3, "did you mean size?"),
        ("retention:\n      time: 1GB", 4, "time of the retention"),
        ("timestamp_field: a..b", 3, "a dotted path"),
        ("message_key_fields: wiki", 3, "a list of paths"),
        ("message_key_fields: [a., b]", 3, "dotted paths"),
        ("title: a\n    title: b", 4, "given twice, first at line 3"),
        ("title: !mine a", 3, "tag"),
        ("? [a, b]\n    : c", 3, "a key is a word"),
    ],
)
def test_mistakes_in_a_stream(tmp_path: Path, stream: str, line: int, told: str) -> None:
    (mistake,) = mistakes(tmp_path, f"streams:\n  one:\n    {stream}\n")
    assert mistake.startswith(f"{line}: ")
    assert told in mistake


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("", 1, "empty"),
        ("- a\n", 1, "a list"),
        ("port: 1\n", 1, "no streams"),
        ("port: 1\nstreams: {}\n", 2, "holds nothing"),
        ("streams: [a]\n", 1, "holds a list"),
        ("streams:\n  'a b': {}\n", 2, "cannot be the name of a stream"),
        ("streams:\n  'a*': {}\n", 2, "cannot be the name of a stream"),
        ("streams:\n  a: [b]\n", 2, "a is a list"),
        ("streams:\n  a: {}\n  a: {}\n", 3, "given twice, first at line 2"),
        ("streams:\n\ta: {}\n", 2, "a tab"),
        ("streams:\n  a: {b: c\n", 3, "not valid YAML"),
        ("streams: {a: {}}\n---\nx: 1\n", 2, "second YAML document"),
        ("streams: {a: {}}\nx: \x07\n", 2, "control character"),
        ("streams:\n  a: &a\n    b: *a\n", 3, "64 levels"),
        ("streams:\n  a: *none\n", 2, "undefined alias"),
        ("streams:\n  a: {stream_aliases: [z]}\n  b: {stream_aliases: [z]}\n", 3, "belongs to a already, at line 2"),
        ("streams:\n  a: {stream_aliases: [b]}\n  b: {}\n", 2, "the name of the stream at line 3"),
        ("streams:\n  a: {topics: [t]}\n  b: {topics: [t], resume: timestamp}\n", 3, "another resume"),
        ("streams:\n  a: {topics: [t]}\n  b: {topics: [t], partitions: 2}\n", 3, "another partitions"),
        ("streams:\n  a: {topics: [t]}\n  b: {topics: [t], public: false}\n", 3, "another public"),
        ("streams:\n  a: {topics: [t]}\n  b:\n    topics: [t]\n    retention: 1d\n", 4, "another retention"),
    ],
)
def test_mistakes_in_the_file(tmp_path: Path, text: str, line: int, told: str) -> None:
    (mistake,) = mistakes(tmp_path, text)
    assert mistake.startswith(f"{line}: ")
    assert told in mistake


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    found = mistakes(tmp_path, "streams:\n  a: {partitions: x}\n  b: {resume: x}\n  c d: {}\n")
    assert [mistake.split(":")[0] for mistake in sorted(found)] == ["2", "3", "4"]


@pytest.mark.long
def test_nested_aliases_cannot_multiply_without_bound(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    (mistake,) = mistakes(tmp_path, "\n".join(lines))
    assert "100000 values" in mistake


def test_anchors_and_merges_are_followed(tmp_path: Path) -> None:
    text = """\
streams:
  a: &base {retention: 7d, partitions: 2}
  b: {<<: *base, partitions: 3}
  c: {<<: [{partitions: 5}, *base]}
"""
    streams = load(write(tmp_path, text)).catalog.streams
    assert [streams[name].partitions for name in "abc"] == [2, 3, 5]
    assert {streams[name].retention for name in "abc"} == {Retention(604_800_000)}


def test_unknown_keys_of_a_stream_are_warnings(tmp_path: Path) -> None:
    text = "streams:\n  a:\n    topic_prefixes: x\n    destination_event_service: eventgate\n"
    path = write(tmp_path, text)
    first, second = load(path).warnings
    assert first.startswith(f"{path}:3: topic_prefixes of a is not used")
    assert second.startswith(f"{path}:4: destination_event_service")


def test_a_key_that_is_misspelt_is_a_mistake(tmp_path: Path) -> None:
    """A stream would be public otherwise."""
    path = write(tmp_path, "streams:\n  a:\n    pubic: false\n    topic: x\n")
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    assert [line.partition(" is not used")[0] for line in caught.value.mistakes] == [
        f"{path}:3: pubic of a",
        f"{path}:4: topic of a",
    ]
    assert "did you mean public?" in caught.value.mistakes[0]


def test_a_missing_file_says_how_to_write_one(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError,
        match=r"there is no such file; `gateway init` writes one with samples, or write one with at least:  streams:",
    ):
        load(tmp_path / "absent.yaml")


def test_the_minimal_file_of_the_message_works(tmp_path: Path) -> None:
    configuration = load(write(tmp_path, "streams: {my.stream: {description: What happens.}}"))
    assert configuration.catalog.streams["my.stream"].topics == ("my.stream",)


def test_a_file_that_is_no_utf8(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_bytes(b"streams:\n  a: {title: \xff}\n")
    with pytest.raises(ConfigurationError, match=":2: this is not UTF-8"):
        load(path)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load(tmp_path)


def test_the_configuration_of_the_project_has_no_mistake() -> None:
    configuration = load(Path(__file__).parents[2] / "config" / "gateway.yaml")
    assert configuration.warnings == []
    made = ["wiki.activity", "wiki.large-edits", "wiki.new-articles", "guestbook"]
    assert list(configuration.catalog.streams) == ["wiki.change", "wiki.page-create", *made, "gateway.errors"]
