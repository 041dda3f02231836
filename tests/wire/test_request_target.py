"""What a request asks for, and of whom."""

from __future__ import annotations

import pytest

from gateway.errors import Problem
from gateway.wire.request_target import Target, check_host, split_target


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        (b"/", Target(b"/", b"")),
        (b"/a%2Fb?x=1?y=2", Target(b"/a%2Fb", b"x=1?y=2")),
        (b"//a", Target(b"//a", b"")),
        (b"/a#b?c", Target(b"/a", b"")),
        (b"/" + b"a" * 200_000, Target(b"/" + b"a" * 200_000, b"")),
        (b"http://one.example:8080/a?b", Target(b"/a", b"b", b"one.example:8080")),
        (b"HTTPS://one.example?b", Target(b"/", b"b", b"one.example")),
        (b"http://[::1]:80", Target(b"/", b"", b"[::1]:80")),
    ],
)
def test_a_target(target: bytes, parts: Target) -> None:
    assert split_target(b"GET", target) == parts


def test_a_question_to_the_server_as_a_whole() -> None:
    assert split_target(b"OPTIONS", b"*") == Target(b"/", b"")


@pytest.mark.parametrize(
    ("method", "target"),
    [
        (b"GET", b"*"),
        (b"GET", b"healthz"),
        (b"GET", b"ftp://one.example/"),
        (b"GET", b"http:///a"),
        (b"GET", b"http://somebody@one.example/"),
        (b"GET", b"http://one.example:x/"),
        (b"GET", "/é".encode()),
        (b"CONNECT", b"one.example:443"),
    ],
)
def test_what_is_no_target(method: bytes, target: bytes) -> None:
    with pytest.raises(Problem) as caught:
        split_target(method, target)
    assert caught.value.status == 400


@pytest.mark.parametrize("host", [b"one.example", b"one.example:8080", b"127.0.0.1", b"[::1]:1", b"", b"a_b", b"a%20b"])
def test_a_host(host: bytes) -> None:
    check_host("1.1", [host])


@pytest.mark.parametrize(
    ("version", "hosts"),
    [
        ("1.1", []),
        ("1.1", [b"a", b"a"]),
        ("1.0", [b"a", b"b"]),
        ("1.1", [b"a b"]),
        ("1.1", [b"a/b"]),
        ("1.1", [b"a@b"]),
        ("1.1", [b"a?b"]),
        ("1.1", [b"a:b"]),
        ("1.1", [b"a:123456"]),
        ("1.1", [b"[::1"]),
        ("1.1", ["é".encode()]),
    ],
)
def test_what_is_no_host(version: str, hosts: list[bytes]) -> None:
    with pytest.raises(Problem, match="Host") as caught:
        check_host(version, hosts)
    assert caught.value.status == 400


def test_an_old_request_needs_no_host() -> None:
    check_host("1.0", [])
