"""`gateway tail` against scripted servers: what it prints, keeps and tells."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from gateway.client import ClientError, FilePositions, Query, Subscription, stream_address
from gateway.tail.output import JsonLines, Lines, Output, Table
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
    expression: str | None = None,
    quiet: bool = False,
    since: int | None = None,
) -> None:
    subscribe = partial(Subscription, transport=server, sleep=no_sleep)
    status = StatusLine(screen.console, Clock(), quiet)
    query = Query(since, limit=limit, filter=expression)
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
    assert told[3] == "gap: t/0 goes on at 5; 1 was asked for (expired)"
    assert told[4].startswith("3 events in ")
    assert len(told) == 5


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
    erased, _, last = screen.text.rpartition("\x1b[1A\x1b[2K")
    assert erased, "the status line is erased"
    assert last.startswith("3 events in ")


@pytest.mark.parametrize("terminal", [False, True])
async def test_json_and_csv_steer_no_terminal(terminal: bool) -> None:
    hostile = "\x1b]0;owned\x07\x9b2J\u202ea\nb,=1+1"
    events = b"data: " + json.dumps({"title": hostile}, ensure_ascii=False).encode() + b"\n\n"
    lines, table = io.BytesIO(), io.BytesIO()
    await run(Server(stream(events, END)), JsonLines(lines, terminal), Screen())
    await run(Server(stream(events, END)), Table(table, "title", terminal), Screen())
    assert json.loads(lines.getvalue()) == {"title": hostile}
    cell = next(csv.reader(table.getvalue().decode().splitlines(keepends=True)[1:]))[0]
    if terminal:
        shown = (lines.getvalue() + table.getvalue()).decode()
        assert all(line.isprintable() for line in shown.split("\n"))
    else:
        assert cell == hostile


async def test_a_clock_that_is_off_is_told_where_times_were_asked_for() -> None:
    screen = Screen()
    first = stream(message(1), END)
    first.headers["date"] = "Wed, 31 Dec 1969 22:01:40 GMT"
    await run(Server(first), JsonLines(io.BytesIO()), screen, since=1)
    assert screen.text.startswith(
        "warning: the clock of this machine is 2 h ahead of the server's, and spans such as 5m"
    )


async def test_fields_are_the_columns() -> None:
    screen = Screen()
    lines = Lines(screen.console, Clock(), Schemas("http://127.0.0.1:1"), "n, gone")
    await run(Server(stream(message(99), END)), lines, screen)
    assert screen.text.splitlines()[0].endswith("t  n=99  –")


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


async def test_a_warning_of_the_server_is_said_once() -> None:
    screen = Screen()
    headers = {"event-gateway": "since, until, limit, filter, fields, canary"}
    line = "filter: line 1, column 7: no schema of these streams has event.wikki; did you mean event.wiki?"
    server = Server(*(stream(message(n), headers=headers | {"gateway-warning": line}) for n in (1, 2)), stream(END))
    await run(server, JsonLines(io.BytesIO()), screen)
    assert screen.text.count(f"warning: {line}") == 1


def beat(number: int) -> bytes:
    """A heartbeat that moves the position."""
    return b"id: %b\n\n" % position(number).encode()


async def test_while_nothing_matches_a_terminal_says_of_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.tail.tail.TELL_SECONDS", 0.01)
    screen, told = Screen(terminal=True), asyncio.Event()
    show = StatusLine.show

    def seen(status: StatusLine, text: str, at_once: bool = False) -> None:
        show(status, text, at_once)
        if "361" in text:
            told.set()

    monkeypatch.setattr(StatusLine, "show", seen)

    async def body() -> AsyncIterator[bytes]:
        yield beat(100)
        yield beat(461)
        await told.wait()
        yield message(500) + END

    headers = {"content-type": "text/event-stream", "event-gateway": "since, until, limit, filter, fields, canary"}
    server = Server(httpx.Response(200, headers=headers, content=body()))
    async with asyncio.timeout(60):
        await run(server, JsonLines(io.BytesIO()), screen, expression="event.n == 500")
    assert "live · 0 of 361 events match" in screen.text
    assert "1 of 400 events in " in screen.text


async def test_the_summary_stands_at_the_end_of_a_range_too_and_quiet_is_quiet() -> None:
    for quiet in (False, True):
        screen = Screen()
        await run(Server(stream(message(99), END)), JsonLines(io.BytesIO()), screen, quiet=quiet)
        assert screen.text.startswith("1 event in ") != quiet
        assert bool(screen.text) != quiet


async def test_an_interruption_ends_on_a_line_of_its_own() -> None:
    screen = Screen(terminal=True)
    came = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield message(99)
        came.set()
        await asyncio.Event().wait()

    headers = {"content-type": "text/event-stream", "event-gateway": "since, until, limit, filter, fields, canary"}
    server = Server(httpx.Response(200, headers=headers, content=body()))
    task = asyncio.create_task(run(server, JsonLines(io.BytesIO()), screen))
    await came.wait()
    await asyncio.sleep(0)
    screen.file.write("^C")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert "\n" in screen.text.rpartition("^C")[2].partition(" in ")[0]
    assert screen.text.endswith(" s\n")


async def test_a_refusal_asks_if_it_is_running_until_it_was_there() -> None:
    screen = Screen()
    refused = httpx.ConnectError("refused")
    await run(Server(refused, stream(message(99)), refused, stream(END)), JsonLines(io.BytesIO()), screen)
    waits = [line for line in screen.text.splitlines() if "next try" in line]
    assert ["is it running?" in line for line in waits] == [True, False, False]


async def test_csv_has_the_columns_asked_for_or_those_of_the_first_event() -> None:
    out = io.BytesIO()
    await run(Server(stream(message(1, a="x,y"), message(2), END)), Table(out, "a, n"), Screen())
    assert out.getvalue() == b'a,n\r\n"x,y",1\r\n,2\r\n'
    out = io.BytesIO()
    first = message(1, meta={"stream": "s"}, a="x", b=[1])
    await run(Server(stream(first, b"data: none\n\n", message(2, c=5), END)), Table(out), Screen())
    assert out.getvalue() == b"n,a\r\n1,x\r\n2,\r\n"
