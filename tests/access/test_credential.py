"""Where the token of a request stands."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access.credential import PARAMETER, Credential, find, take_out
from gateway.errors import Problem

Headers = list[tuple[bytes, bytes]]
AUTHORIZATION = (b"authorization", b"Bearer from-header")
COOKIE = (b"cookie", b"a=b; token=from-cookie; c=d")


def look(headers: Headers, in_query: tuple[str, ...] = (), cookie: str | None = "token") -> Credential | None:
    return find(headers, in_query, cookie, 100)


@pytest.mark.parametrize(
    ("headers", "in_query", "expected"),
    [
        ([], (), None),
        ([AUTHORIZATION], (), ("from-header", "header")),
        ([(b"authorization", b"bEaReR  from-header ")], (), ("from-header", "header")),
        ([AUTHORIZATION, COOKIE], (), ("from-header", "header")),
        ([COOKIE], (), ("from-cookie", "cookie")),
        ([COOKIE], ("from-query",), ("from-query", "query")),
        ([], ("",), None),
        ([AUTHORIZATION], ("",), ("from-header", "header")),
        # A proxy's password is nobody's business here.
        ([(b"authorization", b"Basic dXNlcjpwYXNz")], (), None),
        ([(b"authorization", b"Basic dXNlcjpwYXNz")], ("from-query",), ("from-query", "query")),
        ([(b"authorization", b"")], (), None),
        ([(b"authorization", b"Bearerfrom-header")], (), None),
        ([(b"cookie", b'token="quoted"')], (), ("quoted", "cookie")),
        ([(b"cookie", b"tokens=x; Token=y; xtoken=z")], (), None),
        ([(b"cookie", b"token=first; token=second")], (), ("first", "cookie")),
        ([(b"cookie", b"token=")], (), None),
    ],
)
def test_the_token_is_found(headers: Headers, in_query: tuple[str, ...], expected: tuple[str, str] | None) -> None:
    assert look(headers, in_query) == expected


@pytest.mark.parametrize(
    ("site", "counts"),
    [(b"same-origin", True), (b"none", True), (b"same-site", False), (b"cross-site", False), (b"", False)],
)
def test_a_cookie_counts_where_no_other_site_caused_the_request(site: bytes, counts: bool) -> None:
    assert (look([COOKIE, (b"sec-fetch-site", site)]) is not None) == counts


def test_no_cookie_counts_without_a_name_for_it() -> None:
    assert look([COOKIE], cookie=None) is None


@pytest.mark.parametrize(
    ("headers", "in_query", "detail"),
    [
        ([AUTHORIZATION, AUTHORIZATION], (), "`Authorization` is given more than once"),
        ([AUTHORIZATION, (b"authorization", b"Basic x")], (), "`Authorization` is given more than once"),
        ([], ("a", "b"), "`access_token` is given more than once"),
        ([], ("a", "a"), "`access_token` is given more than once"),
        ([AUTHORIZATION], ("a",), "send only one of them"),
    ],
)
def test_more_than_one_token_is_refused(headers: Headers, in_query: tuple[str, ...], detail: str) -> None:
    with pytest.raises(Problem) as caught:
        look(headers, in_query)
    assert caught.value.status == 400
    assert caught.value.headers["www-authenticate"] == 'Bearer error="invalid_request"'
    assert detail in caught.value.detail


@pytest.mark.parametrize("token", ["x" * 101, "a b", "é", "a\r\nset-cookie: b", "=", "a=b", '"a"', "a,b", "\x00"])
def test_what_cannot_be_a_token_is_refused(token: str) -> None:
    with pytest.raises(Problem) as caught:
        look([], (token,))
    assert caught.value.status == 401
    assert caught.value.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert token not in caught.value.detail or len(token) == 1


def test_an_empty_bearer_is_no_token() -> None:
    with pytest.raises(Problem) as caught:
        look([(b"authorization", b"Bearer ")])
    assert caught.value.status == 401


@pytest.mark.parametrize(
    "name",
    ["access_token", "access%5Ftoken", "%61ccess_token", "acc%65ss_token", "%61%63%63%65%73%73%5f%74%6f%6b%65%6e"],
)
def test_a_token_is_taken_out_however_it_is_written(name: str) -> None:
    query = f"a=%20b+c&{name}=my%2Dto+ken&&d".encode()
    assert take_out(query) == (b"a=%20b+c&&d", ("my-to ken",))


NAMES = st.sampled_from([PARAMETER, "since", "filter", "access", "Access_Token", ""]) | st.text(max_size=5)


@pytest.mark.long
@given(st.lists(st.tuples(NAMES, st.text(max_size=8))))
def test_nothing_else_is_taken_out(pairs: list[tuple[str, str]]) -> None:
    pairs = [(name.encode(errors="replace").decode(), value.encode(errors="replace").decode()) for name, value in pairs]
    query = urlencode(pairs).encode()
    rest, tokens = take_out(query)
    assert parse_qsl(rest.decode(), keep_blank_values=True) == [pair for pair in pairs if pair[0] != PARAMETER]
    assert len(tokens) == sum(name == PARAMETER for name, _ in pairs)


@given(st.binary(max_size=100))
def test_any_query_is_read(query: bytes) -> None:
    rest, tokens = take_out(query)
    assert rest == query or tokens
    assert take_out(rest) == (rest, ())


@given(st.lists(st.tuples(st.sampled_from([b"authorization", b"cookie", b"sec-fetch-site"]), st.binary(max_size=40))))
def test_any_headers_are_read_or_refused(headers: Headers) -> None:
    try:
        found = look(headers)
    except Problem:
        pass
    else:
        assert found is None or quote(found.token, safe="=._~+/-") == found.token
