"""The queue before the log: nobody waits, nothing grows, and what is missing is told."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable

import pytest

from gateway.observability import log_writer
from gateway.observability.log_writer import LINE_BYTES, QUEUE_BYTES, QUEUE_LINES, WRITE_BYTES, LineStream, LineWriter
from tests.kit.waiting import PATIENCE


class Reader:
    """What reads a log, when and how the test says. It reads one write, and one more for each `go`."""

    def __init__(self, *errors: int) -> None:
        self.lines: list[str] = []
        self.writes: list[int] = []
        self.errors = list(errors)
        self.gate = threading.Event()
        self.begun = threading.Event()

    def write(self, _: int, data: memoryview) -> int:
        self.begun.set()
        assert self.gate.wait(PATIENCE)
        if self.errors:
            raise OSError(self.errors.pop(0), "no")
        self.lines += bytes(data).decode().splitlines()
        self.writes.append(len(data))
        return len(data)


def test_lines_come_out_as_they_went_in_several_at_once() -> None:
    reader = Reader()
    writer = LineWriter(2, write=reader.write)
    writer.put("first")
    assert reader.begun.wait(PATIENCE)
    for number in range(1000):
        writer.put(f"line {number}")
    reader.gate.set()
    assert writer.flush(PATIENCE)
    assert reader.lines == ["first", *(f"line {number}" for number in range(1000))]
    assert len(reader.writes) < 10
    assert max(reader.writes) <= WRITE_BYTES


@pytest.mark.parametrize(("text", "most"), [("x", QUEUE_LINES), ("x" * 60_000, QUEUE_BYTES // 60_000)])
def test_what_nobody_reads_is_bounded_dropped_counted_and_told(text: str, most: int) -> None:
    reader, dropped = Reader(), [0]

    def drop(count: int) -> None:
        dropped[0] += count

    writer = LineWriter(2, form=lambda notice: f"! {notice}", on_drop=drop, write=reader.write)
    writer.put("first")
    assert reader.begun.wait(PATIENCE)
    for _ in range(most + 500):
        writer.put(text)
    assert dropped[0] in range(495, 506)
    assert writer._size <= QUEUE_BYTES
    assert not writer.flush(0.05)
    reader.gate.set()
    assert writer.flush(PATIENCE)
    while not reader.lines[-1].startswith("!"):
        threading.Event().wait(0.01)
    assert reader.lines.count(text) == most + 500 - dropped[0]
    assert reader.lines[-1].startswith(f"! dropped {dropped[0]} lines")


def test_after_a_loss_the_notice_stands_where_the_lines_are_missing() -> None:
    reader = Reader(errno.ENOSPC)
    writer = LineWriter(2, write=reader.write)
    writer.put("lost")
    reader.gate.set()
    assert writer.flush(PATIENCE)
    writer.put("kept")
    assert writer.flush(PATIENCE)
    assert reader.lines == ["dropped 1 line of the log, which nobody read", "kept"]


def test_a_notice_that_is_lost_is_told_again_with_what_was_lost_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_writer, "RETRY_SECONDS", 0.01)
    reader = Reader(*[errno.EPIPE] * 4)
    dropped: list[int] = []
    writer = LineWriter(2, on_drop=dropped.append, write=reader.write)
    reader.gate.set()
    for text in ("one", "two"):
        writer.put(text)
        assert writer.flush(PATIENCE)
    while not reader.lines:
        threading.Event().wait(0.01)
    assert reader.lines == ["dropped 2 lines of the log, which nobody read"]
    assert sum(dropped) == 2


def test_a_reader_that_is_gone_costs_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_writer, "RETRY_SECONDS", 60.0)
    tries = []

    def write(_: int, data: memoryview) -> int:
        tries.append(len(data))
        raise BrokenPipeError(errno.EPIPE, "gone")

    writer = LineWriter(2, write=write)
    writer.put("lost")
    assert writer.flush(PATIENCE)
    assert not threading.Event().wait(0.1)
    assert len(tries) == 1


def test_a_line_that_was_torn_ends_before_the_next() -> None:
    written = bytearray()
    full = [False]

    def write(_: int, data: memoryview) -> int:
        if full[0]:
            full[0] = False
            raise OSError(errno.ENOSPC, "full")
        part = bytes(data)[:3]
        full[0] = part == b"tor"
        written.extend(part)
        return len(part)

    writer = LineWriter(2, write=write)
    writer.put("torn apart")
    assert writer.flush(PATIENCE)
    writer.put("whole")
    assert writer.flush(PATIENCE)
    first, notice, last = written.decode().splitlines()
    assert (first, last) == ("tor", "whole")
    assert notice.startswith("dropped 1 line ")


def test_a_descriptor_that_does_not_block_is_waited_for() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    writer = LineWriter(writing)
    for _ in range(40):
        writer.put("x" * 10_000)
    assert not writer.flush(0.1)
    got = 0
    while got < 40 * 10_001:
        got += len(os.read(reading, 1 << 20))
    assert writer.flush(PATIENCE)
    os.close(reading)
    os.close(writing)


def test_a_long_line_is_cut_within_no_character() -> None:
    reader = Reader()
    reader.gate.set()
    writer = LineWriter(2, write=reader.write)
    writer.put("ä" * LINE_BYTES)
    assert writer.flush(PATIENCE)
    (line,) = reader.lines
    assert len(line.encode()) <= LINE_BYTES
    assert line.endswith("ä…")


def test_the_urgent_comes_first_and_always_fits() -> None:
    reader = Reader()
    writer = LineWriter(2, write=reader.write)
    writer.put("first")
    assert reader.begun.wait(PATIENCE)
    for _ in range(QUEUE_LINES):
        writer.put("x")
    writer.put("urgent", urgent=True)
    reader.gate.set()
    assert writer.flush(PATIENCE)
    assert reader.lines[:3] == ["first", "urgent", "x"]


def collected(text: Callable[[LineStream], object]) -> list[str]:
    """The lines of what is written to a stream so."""
    reader = Reader()
    reader.gate.set()
    writer = LineWriter(2, write=reader.write)
    text(LineStream(writer, 2))
    assert writer.flush(PATIENCE)
    return reader.lines


def test_what_is_printed_are_lines() -> None:
    def write(stream: LineStream) -> None:
        print("one", 2, file=stream, flush=True)
        print("three", end="", file=stream)
        print("", "and more\nfour", file=stream)
        print("never ended", end="", file=stream)

    assert collected(write) == ["one 2", "three and more", "four"]


def test_bytes_are_no_text() -> None:
    with pytest.raises(TypeError):
        LineStream(LineWriter(2), 2).write(b"x")  # type: ignore[arg-type]
