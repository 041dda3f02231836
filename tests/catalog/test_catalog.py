"""Names, aliases and globs."""

from __future__ import annotations

import fnmatch
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.catalog.catalog import Catalog, glob_matches
from gateway.catalog.stream import Stream
from gateway.errors import Problem
from tests.speed import slowness

CATALOG = Catalog(
    [
        Stream("wiki.change", ("eqiad.change", "codfw.change"), aliases=("changes",)),
        Stream("wiki.page-create", ("created",), aliases=("new-pages", "wiki-new")),
        Stream("news", ("created", "news")),
    ]
)


def names(asked: str) -> list[str]:
    return [stream.name for stream in CATALOG.resolve(asked)]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("news", ["news"]),
        ("changes", ["wiki.change"]),
        ("news,wiki.change", ["news", "wiki.change"]),
        ("changes,wiki.change,changes", ["wiki.change"]),
        ("wiki.*", ["wiki.change", "wiki.page-create"]),
        ("new*", ["wiki.page-create", "news"]),
        ("new?", ["news"]),
        ("*", ["wiki.change", "wiki.page-create", "news"]),
        ("news,*", ["news", "wiki.change", "wiki.page-create"]),
    ],
)
def test_resolves(asked: str, expected: list[str]) -> None:
    assert names(asked) == expected


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("wiki.chnage", "wiki.change"),
        ("wiki.change,newz", 'no stream "newz". Close to it: news'),
        ("", "empty"),
        ("news,", "empty"),
        ("zz*", 'No stream matches "zz*"'),
        ("wiki.[cp]*", "[cp]"),
        ("x" * 5000, "x" * 100 + "…"),
    ],
)
def test_unknown_names_are_404_and_named(asked: str, told: str) -> None:
    with pytest.raises(Problem) as caught:
        CATALOG.resolve(asked)
    assert caught.value.status == 404
    assert caught.value.parameter == "streams"
    assert told in caught.value.detail
    assert len(caught.value.detail) < 400


def test_number_of_names_is_bounded() -> None:
    assert len(CATALOG.resolve(",".join(["news"] * 100))) == 1
    with pytest.raises(Problem) as caught:
        CATALOG.resolve(",".join(["news"] * 101))
    assert caught.value.status == 400
    with pytest.raises(Problem):
        CATALOG.resolve("news,news,news", maximum=2)


def test_topics_are_in_order_and_once() -> None:
    assert CATALOG.topics == ("eqiad.change", "codfw.change", "created", "news")


def test_get_knows_names_and_aliases() -> None:
    assert CATALOG.get("changes") is CATALOG.streams["wiki.change"]
    assert CATALOG.get("wiki.*") is None


def test_a_name_is_given_once() -> None:
    with pytest.raises(ValueError, match="changes"):
        Catalog([*CATALOG.streams.values(), Stream("changes", ("x",))])


@given(st.text("ab*?", max_size=8), st.text("ab", max_size=8))
def test_globs_agree_with_fnmatch(pattern: str, name: str) -> None:
    assert glob_matches(pattern, name) == fnmatch.fnmatchcase(name, pattern)


def test_a_hostile_glob_is_quick() -> None:
    started = time.process_time()
    assert not glob_matches("*a" * 100 + "b", "a" * 249)
    assert time.process_time() - started < 0.5 * slowness()
