"""What a command's output does when it cannot be written, and when nobody reads it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.process.standard_streams import Descriptor, OutputFailed, text_stream, watch_reader

WAIT = 60.0


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        with suppress(OSError):  # The test may have closed it.
            os.close(end)


def failing(number: int) -> None:
    raise OutputFailed(number)


def gateway(*arguments: str, redirected: str = "", **variables: str) -> subprocess.CompletedProcess[bytes]:
    """The command in a shell, with these redirections."""
    return subprocess.run(
        ["/bin/sh", "-c", f'"$0" -m gateway "$@" {redirected}', sys.executable, *arguments],
        capture_output=True,
        env={"PATH": os.environ["PATH"], **variables},
        timeout=WAIT,
        check=False,
    )


def test_a_full_disk_is_told_once_and_nothing_fails_again() -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    stream = text_stream(Descriptor(descriptor, "full", failing), "utf-8")
    stream.write("something")
    with pytest.raises(OutputFailed, match="standard output: No space left on device") as failed:
        stream.flush()
    assert not failed.value.reader_gone
    stream.write("more")
    stream.close()
    os.close(descriptor)


def test_one_that_was_closed_from_the_start_fails_at_the_first_write() -> None:
    stream = text_stream(Descriptor(1, "closed", failing, failed=True), "utf-8", at_once=True)
    with pytest.raises(OutputFailed, match="it is closed, or not open for writing"):
        stream.write("line\n")


def test_a_reader_that_has_gone_is_told_apart(pipe: tuple[int, int]) -> None:
    read, write = pipe
    os.close(read)
    stream = text_stream(Descriptor(write, "pipe", failing), "utf-8", at_once=True)
    with pytest.raises(OutputFailed) as failed:
        stream.write("line\n")
    assert failed.value.reader_gone


def test_a_pipe_that_does_not_wait_is_waited_for(pipe: tuple[int, int]) -> None:
    read, write = pipe
    os.set_blocking(write, False)
    text = "0123456789\n" * 100_000
    stream = text_stream(Descriptor(write, "pipe", failing), "utf-8")

    def fill() -> None:
        stream.write(text)
        stream.flush()
        os.close(write)

    thread = threading.Thread(target=fill)
    thread.start()
    with os.fdopen(read, "rb", closefd=False) as file:
        assert file.read() == text.encode()
    thread.join(WAIT)


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("utf-8", "ä…\\udcff".encode()),
        ("iso8859-1", b"\xe4\\u2026\\udcff"),
        ("ascii", b"\\xe4\\u2026\\udcff"),
    ],
)
def test_letters_that_the_encoding_lacks_become_escapes(pipe: tuple[int, int], encoding: str, written: bytes) -> None:
    read, write = pipe
    stream = text_stream(Descriptor(write, "pipe", failing), encoding, at_once=True)
    assert stream.write("ä…\udcff\n") == 4
    assert os.read(read, 100) == written + b"\n"


def test_a_reader_that_goes_is_noticed_without_a_write(pipe: tuple[int, int]) -> None:
    read, write = pipe
    gone = threading.Event()
    watch_reader(write, gone.set)
    assert not gone.wait(0.05)
    os.close(read)
    assert gone.wait(WAIT)


def test_a_file_has_no_reader_that_goes(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        gone = threading.Event()
        watch_reader(file.fileno(), gone.set)
        assert not gone.wait(0.05)


@pytest.mark.long
@pytest.mark.parametrize(
    ("redirected", "status", "said"),
    [
        (">/dev/full", 1, b"gateway: standard output: No space left on device\n"),
        (">&-", 1, b"gateway: standard output: it is closed, or not open for writing\n"),
        ("1</dev/null", 1, b"gateway: standard output: it is closed, or not open for writing\n"),
        (">&- 2>&-", 1, b""),
    ],
)
def test_a_command_whose_output_takes_nothing(redirected: str, status: int, said: bytes) -> None:
    done = gateway("--version", redirected=redirected)
    assert (done.returncode, done.stderr) == (status, said)


@pytest.mark.long
def test_standard_error_that_takes_nothing_changes_no_status(tmp_path: Path) -> None:
    assert gateway("--version", redirected="2>/dev/full").returncode == 0
    done = gateway("check", "--config", str(tmp_path / "none"), redirected="2>/dev/full")
    assert done.returncode == 1
    assert b"there is no such file" in done.stdout


@pytest.mark.long
def test_a_locale_without_the_letters(tmp_path: Path) -> None:
    named = str(tmp_path / "ä…")
    done = gateway("check", "--config", named, LC_ALL="POSIX")
    assert b"\\xe4\\u2026: there is no such file" in done.stdout


@pytest.mark.long
@pytest.mark.parametrize("arguments", [("token", "hash"), ("produce", "wiki.change")])
def test_an_input_that_is_closed(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    gateway("init", str(tmp_path))
    options = ("--log", f"sqlite:///{tmp_path}/events.db") if arguments[0] == "produce" else ()
    named = ("--config", str(tmp_path / "config" / "gateway.yaml"), *options) if options else ()
    done = gateway(*arguments, *named, redirected="<&-")
    assert done.returncode == 1
    assert b"standard input is closed" in done.stderr
