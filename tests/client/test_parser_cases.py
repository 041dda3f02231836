"""The cases in which parsers of event streams differ, as a table: those that the web platform's tests of EventSource
look at (WHATWG HTML, sections 9.2.5 and 9.2.6), each in one piece and in pieces of some small sizes."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from gateway.client.parser import EventStreamParser

LONG = "*" * 20_000
NO_ENDS = "a\x0bb\x0cc\x1cd\x85e\u2028f\u2029g"


class Case(NamedTuple):
    """A stream, the events in it as (name, data, id), and what the parser knows at its end."""

    name: str
    text: str
    events: list[tuple[str, str, str]]
    last_event_id: str = ""
    retry: int | None = None


def said(*data: str, identifier: str = "") -> list[tuple[str, str, str]]:
    """Events called `message`."""
    return [("message", text, identifier) for text in data]


CASES = [
    Case("nothing", "", []),
    Case("a byte order mark before the first line", "\ufeffdata:a\n\n", said("a")),
    Case("a second byte order mark is part of the field's name", "\ufeff\ufeffdata:a\n\ndata:b\n\n", said("b")),
    Case("a byte order mark behind the first line", "data:a\n\n\ufeffdata:b\n\ndata:c\n\n", said("a", "c")),
    Case("a byte order mark before a comment", "\ufeff: hello\ndata:a\n\n", said("a")),
    Case("every end of a line", "data:a\r\ndata:b\ndata:c\rdata:d\r\r", said("a\nb\nc\nd")),
    Case("blank lines of every kind", "data:a\r\n\r\ndata:b\n\ndata:c\r\rdata:d\n\r\n", said("a", "b", "c", "d")),
    Case("CR LF is one end and not a blank line", "data:a\r\ndata:b\r\n\r\n", said("a\nb")),
    Case("LF CR is two", "data:a\n\rdata:b\n\r", said("a", "b")),
    Case("many blank lines are no events", "\n\r\n\rdata:a\n\n\n\n\n", said("a")),
    Case("no other character ends a line", f"data:{NO_ENDS}\n\n", said(NO_ENDS)),
    Case("comments", f"data:a\r:\0\n:\r\ndata:b\n:{LONG}\rdata:c\n:data:no\n: :\ndata:d\n\n", said("a\nb\nc\nd")),
    Case("comments alone are no event", ": a\n\n:b\n\n", []),
    Case("what is not ended by a blank line is none", "retry:7\ndata:a\n\nid:1\nevent:e\ndata:b\n", said("a"), retry=7),
    Case("what breaks off within a line is none", "data:a\n\ndata:b", said("a")),
    Case("a retry counts at once", "retry:7\n", [], retry=7),
    Case("data that is empty", "data:\n\ndata\n\ndata: \n\n", said("", "", "")),
    Case("lines that are empty", "data\ndata\n\ndata:\ndata:\ndata:\n\ndata:a\ndata\n\n", said("\n", "\n\n", "a\n")),
    Case("one space is left out, and no more", "data: a\ndata:  b\ndata:c \n\n", said("a\n b\nc ")),
    Case("a tab is no space", "data:\ta\n\n", said("\ta")),
    Case("a no-break space is none either", "data:\u00a0a\n\n", said("\u00a0a")),
    Case("a colon in a value", "data:a:b\ndata::\n\n", said("a:b\n:")),
    Case("names are in small letters", "Data:1\nDATA:2\ndata:3\n\n", said("3")),
    Case("names are taken as they are", " data:1\ndata :2\ndata\0:3\n\0data:4\nda-ta:5\ndata_6\ndata:7\n\n", said("7")),
    Case("unknown fields", "foo:bar\njust words\nda\ndatas:1\ndata:a\nx\n\n", said("a")),
    Case("unknown fields alone are no event", "foo:bar\n\nwords\n\n", []),
    Case("NUL in data", "data:\0\ndata:a\0b\n\n", said("\0\na\0b")),
    Case("letters of every width", "data:é€𝄞\u0301\n\n", said("é€𝄞\u0301")),
    Case("data of a long line", f"data:{LONG}\n\n", said(LONG)),
    Case("a name", "event:a\ndata:1\n\ndata:2\n\n", [("a", "1", ""), ("message", "2", "")]),
    Case("the last name counts", "event:a\nevent:b\ndata:1\n\n", [("b", "1", "")]),
    Case("an empty name is the default", "event:a\nevent:\ndata:1\n\nevent\ndata:2\n\n", said("1", "2")),
    Case("a name of spaces is one", "event:  \ndata:1\n\n", [(" ", "1", "")]),
    Case("a name without data is forgotten", "event:a\n\ndata:1\n\n", said("1")),
    Case("a name behind the data", "data:1\nevent:a\n\n", [("a", "1", "")]),
    Case("an id lasts", "id:1\ndata:a\n\ndata:b\n\n", said("a", "b", identifier="1"), "1"),
    Case("an id behind the data", "data:a\nid:1\n\n", said("a", identifier="1"), "1"),
    Case("the last id counts", "id:1\nid:2\ndata:a\n\n", said("a", identifier="2"), "2"),
    Case("an id alone moves the position", "id:1\n\n", [], "1"),
    Case("an id alone is that of the next event", "id:1\n\ndata:a\n\n", said("a", identifier="1"), "1"),
    Case("an id that is empty ends it", "id:1\ndata:a\n\nid:\ndata:b\n\n", [*said("a", identifier="1"), *said("b")]),
    Case("an id without a colon too", "id:1\ndata:a\n\nid\ndata:b\n\n", [*said("a", identifier="1"), *said("b")]),
    Case("an id with NUL is none", "id:1\ndata:a\n\nid:2\0\ndata:b\n\n", said("a", "b", identifier="1"), "1"),
    Case("an id that is NUL is none", "id:1\nid:\0\ndata:a\n\n", said("a", identifier="1"), "1"),
    Case("an id keeps its spaces", "id:  1 \ndata:a\n\n", said("a", identifier=" 1 "), " 1 "),
    Case("an id of letters", "id:…é\ndata:a\n\n", said("a", identifier="…é"), "…é"),
    Case("the id of what is not ended is none", "id:1\ndata:a\n\nid:2\ndata:b\n", said("a", identifier="1"), "1"),
    Case("the last retry counts", "retry:1\nretry:2\n\nretry:3\n\n", [], retry=3),
    Case("a retry of no digits alone", "retry:7\nretry:1x\nretry:-1\nretry:1.5\nretry: 2 \nretry:٣\n\n", [], retry=7),
    Case("a retry that is empty", "retry:7\nretry:\nretry\nretry: \n\n", [], retry=7),
    Case("a retry with leading zeros", "retry:0007\n\n", [], retry=7),
    Case("a retry of nothing", "retry:0\n\n", [], retry=0),
    Case("a retry beyond all reason", f"retry:7\nretry:{'9' * 400}\n\n", [], retry=7),
    Case("a retry does not need an event", "retry:7\n\ndata:a\n\n", said("a"), retry=7),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("size", [1, 2, 3, 5, 10**6])
def test_case(case: Case, size: int) -> None:
    content = case.text.encode()
    parser = EventStreamParser()
    found = [event for start in range(0, len(content), size) for event in parser.feed(content[start : start + size])]
    assert [(event.event, event.data.decode(), event.id) for event in found] == case.events
    assert parser.last_event_id == case.last_event_id
    assert parser.retry == case.retry


def test_bytes_that_are_no_text_end_nothing() -> None:
    parser = EventStreamParser()
    [event] = parser.feed(b"event: \xff\nid: \xc3\ndata: \xff\xfe\xc3\n\n")
    assert (event.event, event.id, event.data) == ("\ufffd", "\ufffd", b"\xff\xfe\xc3")
