"""Events as rows of CSV."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidFields
from gateway.filters.rows import Rows, compile_rows, rows_of
from gateway.model.event import parse_event


def row(text: str, columns: str) -> str:
    """The row of an event."""
    value = text.encode("utf-8", "surrogatepass")
    return compile_rows(columns).cut(value, parse_event(value)).decode()


CASES = [
    ('{"a": "x", "b": 5}', "b,a", "5,x"),
    ('{"a": "x,y"}', "a", '"x,y"'),
    ('{"a": "say \\"hi\\"", "b": "a\\r\\nb"}', "a,b", '"say ""hi""","a\r\nb"'),
    ('{"a": true, "b": false, "c": null}', "a,b,c,d", "true,false,,"),
    ('{"a": {"b": {"c": 1}}}', "a.b.c,a.b,a", '1,"{""c"":1}","{""b"":{""c"":1}}"'),
    ('{"a": [1, "x"], "b": [{"c": 1}, {"d": 2}, {"c": [3]}]}', "a,b.c", '"[1,""x""]","[1,[3]]"'),
    ('{"a": 1.10, "b": -0, "c": 1e400, "d": 123456789012345678901234567890}', "a,b,c,d",
     "1.10,-0,1e400,123456789012345678901234567890"),
    ('{"a": {"b": 1.10}}', "a", '"{""b"":1.10}"'),
    ('{"a": "ä€😀"}', "a", "ä€😀"),
    ('{"a": "\\ud800"}', "a", "\ufffd"),
    ('{"a": ""}', "a", '""'),
    ("{}", "a", '""'),
    ("{}", "a,b", ","),
    ('{"a": "  x  "}', "a", "  x  "),
    ('{"a": "=1+1"}', "a", "=1+1"),
]  # fmt: skip


@pytest.mark.parametrize(("event", "columns", "line"), CASES)
def test_a_row(event: str, columns: str, line: str) -> None:
    assert row(event, columns) == line + "\r\n"


def test_columns_are_in_the_order_asked_for_and_each_once() -> None:
    assert compile_rows("b, a,b,meta.dt").header == b"b,a,meta.dt\r\n"
    assert compile_rows('a"b').header == b'"a""b"\r\n'


def test_columns_are_told_from_fields() -> None:
    assert compile_rows("a").text != "a"
    assert compile_rows("a,b").text != compile_rows("b,a").text


@pytest.mark.parametrize("text", ["", "a..b", ",", ".".join("a" * 40)])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(InvalidFields):
        compile_rows(text)


def test_without_columns_it_says_what_to_do() -> None:
    with pytest.raises(InvalidFields, match="fields=title,user"):
        rows_of([])


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=8), min_size=2, max_size=5))
def test_any_reader_of_csv_reads_texts_back(texts: list[str]) -> None:
    columns = [f"c{number}" for number in range(len(texts))]
    event: dict[str, Any] = dict(zip(columns, texts, strict=True))
    made = Rows(columns)
    table = list(csv.reader(io.StringIO((made.header + made.cut(b"", event)).decode(), newline="")))
    assert table == [columns, texts]
