"""Templates: no value leaves its place."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.catalog.derivation import Expression
from gateway.derive.expression import value
from gateway.model.record import Record
from gateway.rules.template import (
    LONGEST_HEADER,
    LONGEST_TARGET,
    Unfillable,
    header_of,
    json_of,
    read_header_value,
    read_template,
    read_url,
    target_of,
)

RECORD = Record("topic", 3, 7, 1_000, b"key", b"{}")
TEXTS = st.text(st.characters(exclude_categories=()), max_size=20) | st.sampled_from(
    [
        ".",
        "..",
        "/",
        "//",
        "../..",
        "%2e",
        "?a=b",
        "#",
        "@evil.example",
        "\r\nx: y",
        "{event.b}",
        "\\",
        ":8080",
        " ",
        "%",
    ]
)


def target(url: str, **event: Any) -> str:
    """Path and query for an event."""
    return target_of(read_url(url, 1).target, value)(event, RECORD)


def header(text: str, **event: Any) -> bytes:
    """A header for an event."""
    return header_of(read_header_value(text, 1), value)(event, RECORD)


@pytest.mark.parametrize(
    ("given_", "filled"),
    [
        ("Main Page", "/purge/Main%20Page/x"),
        ("A/B", "/purge/A%2FB/x"),
        ("...", "/purge/.../x"),
        ("..A/B..", "/purge/..A%2FB../x"),
        ("%2E%2E", "/purge/%252E%252E/x"),
        ("a?b#c%", "/purge/a%3Fb%23c%25/x"),
        ("Zürich", "/purge/Z%C3%BCrich/x"),
        (7, "/purge/7/x"),
        (1.5, "/purge/1.5/x"),
        (True, "/purge/true/x"),
    ],
)
def test_a_value_is_one_part_of_a_path(given_: Any, filled: str) -> None:
    assert target("https://h.example/purge/{event.a}/x", a=given_) == filled


@pytest.mark.parametrize("none", [None, [], {}, "", "\ud800"])
def test_a_value_without_a_text_fills_no_path(none: Any) -> None:
    with pytest.raises(Unfillable):
        target("https://h.example/purge/{event.a}", a=none)
    with pytest.raises(Unfillable):
        target("https://h.example/purge/{event.missing}")


@pytest.mark.parametrize(
    ("path", "given_"),
    [
        ("{event.a}", "."), ("{event.a}", ".."), ("x/{event.a}", ".."), ("{event.a}{event.a}/x", "."),
        (".{event.a}/x", "."), ("%2e{event.a}/x", "."), ("%2E{event.b}{event.a}", "."),
        # Some servers decode a slash before they look for such parts.
        ("{event.a}/x", "../../admin"), ("{event.a}/x", "a/.."), ("{event.a}/x", "..\\admin"), ("a%2F{event.a}", ".."),
    ],
)  # fmt: skip
def test_no_value_leads_to_another_path(path: str, given_: str) -> None:
    """Neither as it is nor encoded: servers decode it, and then remove it with the part before it."""
    with pytest.raises(Unfillable, match=r"would be \. or \.\., which leads to another path"):
        target(f"https://h.example/purge/{path}", a=given_, b="")


def test_dots_in_a_query_are_a_value_like_others() -> None:
    assert target("https://h.example/x?{event.a}=..", a="..") == "/x?..=.."


@given(TEXTS, TEXTS)
def test_no_value_leaves_its_place(first: str, second: str) -> None:
    try:
        filled = target("https://h.example/p/{event.a}/q?k={event.b}&l=1", a=first, b=second)
    except Unfillable:
        dots = {".", ".."} & set(first.replace("\\", "/").split("/"))
        assert not first or dots or any("\ud800" <= character <= "\udfff" for character in first + second)
        return
    assert filled.isascii()
    assert filled.isprintable()
    parts = urlsplit(f"https://h.example{filled}")
    assert (parts.scheme, parts.netloc, parts.fragment) == ("https", "h.example", "")
    segments = parts.path.split("/")
    assert [segments[1], segments[3], len(segments)] == ["p", "q", 4]
    assert unquote(segments[2]) == first
    assert not {".", ".."} & set(unquote(parts.path).split("/"))
    assert parse_qsl(parts.query, keep_blank_values=True, errors="strict") == [("k", second), ("l", "1")]


@given(TEXTS)
def test_no_value_begins_another_header(text: str) -> None:
    try:
        filled = header("id {event.a}", a=text)
    except Unfillable:
        return
    assert filled.startswith(b"id")
    assert all(0x20 <= byte < 0x7F for byte in filled)
    assert filled == filled.strip()


def test_what_is_too_long_is_not_filled_in() -> None:
    with pytest.raises(Unfillable, match="are allowed"):
        target("https://h.example/{event.a}", a="x" * LONGEST_TARGET)
    with pytest.raises(Unfillable, match="are allowed"):
        header("{event.a}", a="x" * (LONGEST_HEADER + 1))


@pytest.mark.parametrize(
    "url",
    [
        "https://{event.host}/x", "{event.scheme}://h.example/", "https://h.example:{event.port}/", "/x", "h.example/x",
        "ftp://h.example/", "https://user:word@h.example/", "https://h.example/../x", "https://h.example/./x",
        "https://h.example/%2e%2E/x", "https://h.example/a%2F../x",
        "https://h.example/{event.a", "https://h.example/}", "https://h.example/a b", "https://h.example/#x",
        "https://h.example{event.a}/", "https://h.example:99999/", "https:///x", "https://h.example/%zz",
        "https://h.example\\@evil.example/", "https://h.example/x\r\ny", "https://{event.a}.example/",
    ],
)  # fmt: skip
def test_an_address_is_written_out_up_to_its_path(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # the words are those of the declaration's test
        read_url(url, 1)


def test_scheme_host_and_port_are_read() -> None:
    url = read_url("HTTPS://Bücher.example:8443?x={event.a}", 1)
    assert (url.scheme, url.host, url.port, url.authority) == (
        "https", "xn--bcher-kva.example", 8443, "xn--bcher-kva.example:8443",
    )  # fmt: skip
    assert read_url("http://[::1]/", 1).authority == "[::1]"


def test_braces_within_an_expression_do_not_end_it() -> None:
    template = read_template('{{{event.a == "}" ? {"x": "y"}.x : "\\"}"}}}', 1)
    assert template.parts == ("{", Expression('event.a == "}" ? {"x": "y"}.x : "\\"}"'), "}")


def test_a_document_is_made_of_expressions() -> None:
    tree = {
        "title": Expression("event.title"),
        "n": 1,
        "list": [Expression("event.x"), None],
        "gone": Expression("event.x"),
    }
    assert orjson.loads(json_of(tree, value)({"title": "T"}, RECORD)) == {"title": "T", "n": 1, "list": [None, None]}
    assert json_of(Expression("event"), value)({"a": "ü"}, RECORD) == '{"a":"ü"}'.encode()
    with pytest.raises(Unfillable):
        json_of(Expression("event.x"), value)({}, RECORD)
