"""`gateway tail` against scripted servers: what it prints, keeps and tells."""

from __future__ import annotations

import io
import json
from functools import partial
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from gateway.client import ClientError, FilePositions, Query, Subscription, stream_address
from gateway.tail.output import JsonLines, Lines, Output
from gateway.tail.schemas import Schemas
from gateway.tail.status import StatusLine
from gateway.tail.tail import Tail
from tests.client.server import Server, answer, message, position, stream

END = b'event: end\ndata: {"reason":"until"}\n\n'
GAP = b'event: gap\nid: x\ndata: {"topic":"t","partition":0,"requested":1,"resumed":5,"reason":"expired"}\n\n'


class Clock:
    """Ten seconds pass at every look; the events are of the first hundred."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> int:
        return 100_000

    def monotonic(self) -> float:
        self.time += 10
        return self.time


class Screen:
    """A terminal, or a file, in memory."""

    def __init__(self, terminal: bool = False) -> None:
        self.file = io.StringIO()
        self.console = Console(file=self.file, force_terminal=terminal, width=60, highlight=False, color_system=None)

    @property
    def text(self) -> str:
        return self.file.getvalue()


async def no_sleep(seconds: float) -> None:
    """Time passes at once."""


async def run(
    server: Server,
    output: Output,
    screen: Screen,
    file: FilePositions | None = None,
    limit: int | None = None,
    token: str | None = None,
) -> None:
    subscribe = partial(Subscription, transport=server, sleep=no_sleep)
    status = StatusLine(screen.console, Clock())
    query = Query(limit=limit)
    await Tail("http://feed.test/v2/stream/t", query, output, status, Clock(), file, token, subscribe).run()


async def test_a_pipe_gets_the_bytes_and_a_file_the_position(tmp_path: Path) -> None:
    out, file = io.BytesIO(), FilePositions(tmp_path / "position")
    split = b"id: " + position(3).encode() + b'\ndata: {"n":\ndata: 3}\n\n'
    await run(Server(stream(message(1) + message(2), split, END)), JsonLines(out), Screen(), file)
    assert out.getvalue() == b'{"n": 1}\n{"n": 2}\n{"n": 3}\n'
    again = Server(answer(204))
    await run(again, JsonLines(out), Screen(), FilePositions(tmp_path / "position"))
    assert again.position(0) == position(3)


async def test_a_token_is_shown_at_each_connection() -> None:
    server, screen = Server(stream(message(1)), stream(message(2), END)), Screen()
    await run(server, JsonLines(io.BytesIO()), screen, token="secret")
    assert [request.headers["authorization"] for request in server.requests] == ["Bearer secret"] * 2
    assert "secret" not in screen.text


async def test_what_was_not_written_is_not_kept(tmp_path: Path) -> None:
    class Closed(io.BytesIO):
        def flush(self) -> None:
            if b'"n": 2' in self.getvalue():
                raise BrokenPipeError

    path = tmp_path / "position"
    with pytest.raises(BrokenPipeError):
        await run(Server(stream(message(1), message(2))), JsonLines(Closed()), Screen(), FilePositions(path))
    assert path.read_text() == position(1) + "\n"


async def test_it_tells_how_far_behind_it_is_why_it_waits_and_what_is_gone() -> None:
    screen = Screen()
    server = Server(stream(message(10), message(40), httpx.ReadError("reset")), stream(GAP + message(95), END))
    await run(server, JsonLines(io.BytesIO()), screen)
    told = screen.text.splitlines()
    assert told[0] == "catching up: 1 min 30 s behind, 1 event so far, 0 events/s"
    assert told[1] == "catching up: 1 min behind, 2 events so far, 0 events/s"
    assert told[2].startswith("http://feed.test/v2/stream/t: the connection broke: reset; next try in ")
    assert told[3:] == ["gap: t/0 goes on at 5; 1 was asked for (expired)"]


async def test_a_terminal_gets_lines_and_a_status_line_that_goes_away() -> None:
    screen = Screen(terminal=True)
    schemas = Schemas("http://127.0.0.1:1")
    first = message(1, title="One", meta={"stream": "s"})
    broken = b"data: \x1b[31mno event\n\n"
    server = Server(stream(first, broken, message(99, title="Two", meta={"stream": "s"}), END))
    await run(server, Lines(screen.console, Clock(), schemas), screen)
    assert "s  One  n=1\n" in screen.text
    assert "catching up: 1 min 39 s behind" in screen.text
    assert "\\x1b[31mno event\n" in screen.text
    assert "s  Two  n=99\n" in screen.text
    assert screen.text.endswith("\x1b[1A\x1b[2K"), "the status line is erased"


async def test_fields_are_the_columns() -> None:
    screen = Screen()
    lines = Lines(screen.console, Clock(), Schemas("http://127.0.0.1:1"), "n, gone")
    await run(Server(stream(message(99), END)), lines, screen)
    assert screen.text.rstrip().endswith("t  n=99  –")


async def test_a_limit_ends_it_and_an_error_says_why() -> None:
    out = io.BytesIO()
    await run(Server(stream(message(1) + message(2))), JsonLines(out), Screen(), limit=1)
    assert [json.loads(line)["n"] for line in out.getvalue().splitlines()] == [1]
    with pytest.raises(ClientError, match="answered 404: there is none"):
        await run(Server(answer(404, '{"detail":"there is none"}')), JsonLines(out), Screen())


@pytest.mark.parametrize(
    ("server", "streams", "address"),
    [
        ("http://h:1/", "a,b*", "http://h:1/v2/stream/a,b*"),
        ("https://h/base", "a?/é", "https://h/base/v2/stream/a%3F%2F%C3%A9"),
    ],
)
def test_addresses(server: str, streams: str, address: str) -> None:
    assert stream_address(server, streams) == address
