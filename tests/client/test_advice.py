"""What a server says of a query: a warning object, told once, and what a hostile one may send."""

from __future__ import annotations

import httpx
import pytest

from gateway.advice.advice import Advice
from gateway.client import Query, QueryWarning
from gateway.client.advice import LONGEST_WARNING, MOST_WARNINGS, clock_warning, read_warnings
from tests.client.server import ALL, Server, collect, message, never, numbers, stream, subscribe

LINE = "filter: line 2, column 7: no schema of these streams has event.wikki; did you mean event.wiki?"
END = b'event: end\ndata: {"reason":"limit"}\n\n'


def test_a_warning_has_its_parts() -> None:
    (found,) = read_warnings([LINE])
    assert isinstance(found, UserWarning)
    assert (found.parameter, found.line, found.column) == ("filter", 2, 7)
    assert found.detail == "no schema of these streams has event.wikki; did you mean event.wiki?"
    assert str(found) == LINE


def test_a_warning_in_another_form_is_text() -> None:
    (found,) = read_warnings(["beware"])
    assert (found.parameter, found.line, found.column, found.detail) == ("", 0, 0, "beware")


@pytest.mark.parametrize("detail", ["plain", "ä", "😀 and \\ and \\u0041", "日本"])
def test_what_the_server_writes_is_read_back(detail: str) -> None:
    (found,) = read_warnings([Advice("fields", 1, 2, detail).header.decode()])
    assert found.detail == detail


def test_a_hostile_server_is_bounded_and_printable() -> None:
    found = read_warnings([f"{number}\\u001b[31m" + "x" * 5_000 for number in range(100)])
    assert len(found) == MOST_WARNINGS
    assert all(len(str(one)) <= LONGEST_WARNING + 20 and str(one).isprintable() for one in found)
    assert str(read_warnings(["\\ud800"])[0]) == "\ufffd"


def _warned(*lines: str) -> list[tuple[str, str]]:
    return [*ALL.items(), *(("gateway-warning", line) for line in lines)]


async def test_each_thing_is_told_once_however_often_it_connects() -> None:
    first, second = (stream(message(number)) for number in (1, 2))
    first.headers = httpx.Headers([("content-type", "text/event-stream"), *_warned(LINE, "other")])
    second.headers = httpx.Headers([("content-type", "text/event-stream"), *_warned(LINE, "third")])
    told: list[QueryWarning] = []
    subscription, _ = subscribe(Server(first, second, stream(END)), on_warning=told.append)
    assert numbers(await collect(subscription, never)) == [1, 2]
    assert [str(one) for one in told] == [LINE, "other", "third"]


async def test_without_a_listener_it_is_a_warning_of_python() -> None:
    subscription, _ = subscribe(Server(httpx.Response(204, headers=httpx.Headers(_warned(LINE)))))
    with pytest.warns(QueryWarning, match=r"event\.wikki"):
        await collect(subscription, never)


@pytest.mark.parametrize(
    ("date", "said"),
    [
        ("Thu, 01 Jan 1970 01:00:00 GMT", None),
        ("Thu, 01 Jan 1970 01:00:59 GMT", None),
        ("Thu, 01 Jan 1970 01:01:00 GMT", "is 1 min behind the server's"),
        ("Thu, 01 Jan 1970 00:00:00 GMT", "is 1 h ahead of the server's"),
        ("", None),
        ("today", None),
        ("Thu, 01 Jan 1970 99:00:00 GMT", None),
        ("Thu, 01 Jan 1970 01:00:00 +9999999999999", None),
    ],
)
def test_a_clock_that_is_off(date: str, said: str | None) -> None:
    found = clock_warning(date, 3_600_000)
    assert (said is None) == (found is None)
    assert said is None or said in str(found)


async def test_the_clock_is_told_once_and_only_where_times_were_asked_for() -> None:
    def answers() -> Server:
        found = [stream(message(1)), stream(message(2), END)]
        for one in found:
            one.headers["date"] = "Thu, 01 Jan 1970 00:00:00 GMT"
        return Server(*found)

    told: list[QueryWarning] = []
    subscription, _ = subscribe(answers(), Query(since=1), on_warning=told.append)
    await collect(subscription, never)
    assert len(told) == 1
    subscription, _ = subscribe(answers(), Query(fields="n"), on_warning=told.append)
    await collect(subscription, never)
    assert len(told) == 1
