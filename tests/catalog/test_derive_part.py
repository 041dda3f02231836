"""`derive` in the configuration: what is read, and each mistake with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.catalog.derivation import Dedup, Derivation, Expression, Lookup, Window
from gateway.catalog.lineage import circles, descendants
from gateway.catalog.load import load
from gateway.catalog.stream import Retention
from gateway.errors import ConfigurationError


def write(folder: Path, *lines: str) -> Path:
    path = folder / "gateway.yaml"
    path.write_text("streams:\n  s: {partitions: 4}\n  t: {}\n" + "".join(f"  {line}\n" for line in lines))
    return path


def derivation(folder: Path, text: str) -> Derivation:
    found = load(write(folder, f"a: {{schema_title: a, derive: {text}}}")).catalog.streams["a"].derive
    assert found is not None
    return found


def mistakes(folder: Path, *lines: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(write(folder, *lines))
    return [line.removeprefix(f"{folder / 'gateway.yaml'}:") for line in caught.value.mistakes]


def test_each_operator_is_read(tmp_path: Path) -> None:
    select = {"n": "count()"}
    rows = (("n", Expression("count()")),)
    assert derivation(tmp_path, f"{{from: [s, t], where: true, select: {select}}}") == Derivation(
        ("s", "t"), Expression("true"), rows
    )
    for text, window in (
        ("every: 1m", Window("every", 60_000, 60_000)),
        ("size: 10m, every: 1m", Window("every", 600_000, 60_000)),
        ("gap: 30m", Window("gap", 1_800_000)),
        ("last: 10m", Window("last", 600_000)),
    ):
        read = derivation(
            tmp_path,
            f"{{from: [s], window: {{{text}}}, by: {{k: event.k}}, late: 5s, having: row.n > 1, select: {select}}}",
        )
        assert read == Derivation(
            ("s",), None, rows, (("k", Expression("event.k")),), window, 5_000, Expression("row.n > 1")
        )
    read = derivation(tmp_path, "{from: [s], latest: [event.a, event.b.id], delete: event.gone, version: 2, since: 1d}")
    assert read.latest == (("a", Expression("event.a")), ("id", Expression("event.b.id")))
    assert (read.delete, read.version, read.since) == (Expression("event.gone"), 2, 86_400_000)
    read = derivation(tmp_path, "{from: [s], lookup: {p: {in: t, key: [event.a]}}, select: {x: p.y}}")
    assert read.lookups == (Lookup("p", "t", (Expression("event.a"),)),)
    read = derivation(tmp_path, "{from: [s], dedup: {by: event.meta.id, within: 1h}}")
    assert read.dedup == Dedup((Expression("event.meta.id"),), 3_600_000)


def test_a_derived_stream_has_a_topic_of_its_version_and_the_partitions_of_its_source(tmp_path: Path) -> None:
    streams = load(
        write(
            tmp_path,
            "a: {derive: {from: [s]}}",
            "b: {derive: {from: [a], version: 2}}",
            "c: {partitions: 2, derive: {from: [b]}}",
        )
    ).catalog.streams
    assert [(streams[name].topics, streams[name].partitions) for name in "abc"] == [
        (("a",), 4),
        (("b.v2",), 4),
        (("c",), 2),
    ]
    assert descendants("s", streams) == ("a", "b", "c")
    assert descendants("b", streams) == ("c",)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1", "derive is the number 1"),
        ("{}", "derive has no from"),
        ("{from: []}", "from is an empty list"),
        ("{from: s}", 'from is "s"'),
        ("{from: [s, s]}", "from holds s twice"),
        ("{from: [s, 1]}", "from holds the number 1"),
        ("{from: [s], wehre: x}", "derive has no wehre; did you mean where?"),
        ("{from: [s], where: [x]}", "where is a list"),
        ("{from: [s], select: x}", 'select is "x"; it takes a mapping'),
        ("{from: [s], select: {a-b: x}}", '"a-b" cannot be the name of a member'),
        ("{from: [s], select: {meta: x}}", "select has meta, which a row has of itself"),
        ("{from: [s], window: {every: 1m}}", "a window has no select"),
        ("{from: [s], window: {evry: 1m}, select: {n: count()}}", "window has evry; it takes {every: 1m}"),
        ("{from: [s], window: {every: 1x}, select: {n: count()}}", 'every of the window is "1x"'),
        ("{from: [s], window: {size: 1m, every: 2m}, select: {n: count()}}", "the window's size is from one to 1000"),
        ("{from: [s], window: {size: 400d, every: 1s}, select: {n: count()}}", "the window's size is from one to 1000"),
        ("{from: [s], by: {k: event.k}, select: {n: event.n}}", "by belongs to window, which is not there"),
        ("{from: [s], having: row.n > 1, select: {n: event.n}}", "having belongs to window"),
        ("{from: [s], delete: true}", "delete belongs to latest"),
        ("{from: [s], late: 1s}", "late belongs to window, latest, lookup, dedup"),
        ("{from: [s], window: {gap: 1m}, latest: [event.a], select: {n: count()}}", "derive has window and latest"),
        ("{from: [s], window: {gap: 1m}, by: {n: event.n}, select: {n: count()}}", "select has n, and so has by"),
        ("{from: [s], latest: ['event.a + 1']}", 'latest holds "event.a + 1"'),
        ("{from: [s], lookup: {p: {in: t}}, select: {n: p.n}}", "the lookup p is a mapping; it takes {in: a.stream"),
        ("{from: [s], lookup: {event: {in: t, key: x}}, select: {n: p.n}}", '"event" cannot be the name of a lookup'),
        ("{from: [s], lookup: {p: {in: s, key: x}}, select: {n: p.n}}", "s is a source, and cannot be looked into"),
        ("{from: [s], lookup: {p: {in: t, key: x}}}", "a lookup has no select"),
        ("{from: [s], dedup: {by: event.id}}", "dedup is a mapping; it takes {by: event.meta.id"),
        ("{from: [s], version: 0}", "version is the number 0"),
        ("{from: [s], version: true}", "version is true"),
        ("{from: [s], since: soon}", 'since is "soon"'),
        ("{from: [s], allow_unknown: 1}", "allow_unknown is the number 1"),
        ("{from: [sa]}", "derive reads sa, and there is no stream of that name"),
        ("{from: [a]}", "a is made of itself: a → a"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    found = mistakes(tmp_path, f"a: {{schema_title: a, derive: {text}}}")
    assert found
    assert found[0].startswith("4: ")
    assert told in found[0]


def test_what_is_made_of_itself_by_way_of_others_is_told(tmp_path: Path) -> None:
    found = mistakes(tmp_path, "a: {derive: {from: [c]}}", "b: {derive: {from: [s, a]}}", "c: {derive: {from: [b]}}")
    assert found == ["4: a is made of itself: a → c → b → a; events would go round for ever"]


def test_errors_that_come_back_are_told(tmp_path: Path) -> None:
    found = mistakes(tmp_path, "e: {schema_title: e}", "a: {error_stream: e, derive: {from: [e]}}")
    assert found == ["5: a is made of itself: a → e → a; events would go round for ever"]
    load(
        write(tmp_path, "e: {schema_title: e}", "a: {derive: {from: [e]}}", "b: {error_stream: e, derive: {from: [s]}}")
    )
    streams = load(write(tmp_path, "e: {schema_title: e}", "a: {derive: {from: [e]}}")).catalog.streams
    assert circles(streams) == []
    assert [text.split(";")[0] for _, text in circles(streams, "e")] == ["a is made of itself: a → e → a"]


def test_a_topic_is_not_read_in_two_ways(tmp_path: Path) -> None:
    found = mistakes(
        tmp_path,
        "u: {topics: [s, t], partitions: 4}",
        "a: {schema_title: a, derive: {from: [s], lookup: {p: {in: u, key: x}}, select: {x: p.x}}}",
    )
    assert "5: a: s is a topic of u and of a source" in found


def test_the_topic_and_key_of_a_derived_stream_are_its_own(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "a: {derive: {from: [s]}}", "b: {topics: [a]}") == [
        "4: the topic a is that of the derived stream a, and of b too; another name, or another version, gives it a "
        "topic of its own",
    ]
    assert mistakes(tmp_path, "a: {topics: [x], derive: {from: [s]}}") == [
        "4: a: a derived stream has the topic a; leave topics out"
    ]
    found = mistakes(tmp_path, "a: {timestamp_field: x, message_key_fields: [x], derive: {from: [s]}}")
    assert ["has no place beside derive" in line for line in found] == [True, True]
    assert "a: it has no schema_title" in mistakes(tmp_path, "a: {derive: {from: [s], select: {x: event.x}}}")[0]


def test_the_topic_of_a_latest_is_compacted(tmp_path: Path) -> None:
    lines = [
        "a: {schema_title: a, derive: {from: [s], latest: [event.a]}, retention: 7d}",
        "b: {derive: {from: [s]}, retention: 7d}",
    ]
    streams = load(write(tmp_path, *lines)).catalog.streams
    assert streams["a"].retention == Retention(7 * 86_400_000, None, compacted=True)
    assert streams["b"].retention == Retention(7 * 86_400_000)
