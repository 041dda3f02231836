"""Names that are meant by patterns and by what is close to them."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.catalog.catalog import Catalog, glob_matches
from gateway.catalog.names import Names, pattern_of
from gateway.catalog.stream import Stream
from gateway.errors import Problem
from tests.speed import slowness

MANY = [f"stream.{number:05d}.{'abcdefgh' * 4}" for number in range(10_000)]


@given(st.text("ab*?.", max_size=12), st.text("ab.\n[", max_size=12))
def test_a_pattern_means_the_same_as_the_slow_one(glob: str, name: str) -> None:
    assert (pattern_of(glob).fullmatch(name) is not None) == glob_matches(glob, name)


def test_no_name_takes_long() -> None:
    catalog = Catalog(Stream(name, (name,), (f"{name}.alias",)) for name in MANY)
    hostile = ["abcdefgh" * 12, "*a" * 50_000, "*" * 100_000 + "zz", "*a*b*c*d*e*f*g*h*zz", "stream." + "?" * 60]
    for names in (*hostile, ",".join(f"*{number}*zz" for number in range(100))):
        begun = time.thread_time()
        with pytest.raises(Problem):
            catalog.resolve(names)
        assert time.thread_time() - begun < 0.2 * slowness(), names[:40]


def test_close_names_are_found_among_many() -> None:
    names = Names(MANY)
    assert names.close_to(MANY[5000] + "x")[0] == MANY[5000]
    assert names.close_to("x" + MANY[5000])
    assert Names(["page.edit", "page.create"]).close_to("page.edti")[0] == "page.edit"
