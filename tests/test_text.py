"""Text from untrusted clients, and numbers for people."""

from __future__ import annotations

import orjson
import pytest

from gateway.text import counted, printable, printable_json, shown_bytes, span


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("Zürich 東京 🎉", "Zürich 東京 🎉"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("two\nlines\r\t", "two\\x0alines\\x0d\\x09"),
        ("\x9b31m", "\\x9b31m"),
        ("right\u202eleft", "right\\u202eleft"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_steers_a_terminal_is_written_as_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b'{"a":"b"}', b'{"a":"b"}'),
        ('{"ä": "🎉"}'.encode(), '{"ä": "🎉"}'.encode()),
        ('{"a":"\x9b31m\x7f\u202e\U000e0041"}'.encode(), b'{"a":"\\u009b31m\\u007f\\u202e\\udb40\\udc41"}'),
        (b'\t{"a":\r1}', b'\t{"a":\r1}'),
        (b"\x1b[31mnone", b"\\u001b[31mnone"),
        (b"\xff\x1b", "\ufffd\\u001b".encode()),
    ],
)
def test_json_for_a_terminal_says_the_same(data: bytes, shown: bytes) -> None:
    assert printable_json(data) == shown
    if data.startswith((b"{", b"\t")):
        assert orjson.loads(shown) == orjson.loads(data)


def test_one_of_a_thing_has_no_s() -> None:
    assert [counted(number, "open stream") for number in (0, 1, 2, 1234)] == [
        "0 open streams",
        "1 open stream",
        "2 open streams",
        "1,234 open streams",
    ]


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 KB"), (2e9, "2.0 GB"), (3e15, "3000.0 TB")]
)
def test_bytes(count: float, shown: str) -> None:
    assert shown_bytes(count) == shown


@pytest.mark.parametrize(
    ("milliseconds", "said"),
    [(0, "0 s"), (-5, "0 s"), (59_999, "59 s"), (60_000, "1 min"), (3_723_000, "1 h 2 min"), (200_000_000, "2 d 7 h")],
)
def test_spans(milliseconds: int, said: str) -> None:
    assert span(milliseconds) == said
