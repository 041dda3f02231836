"""The lines of the log: whatever a message holds, it stays on its line."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest

from gateway.observability.logs import STATEMENT_LINES, JsonFormatter, Output, TextFormatter, configure_logging
from gateway.times import read_time
from tests.kit.waiting import PATIENCE

CONTROLS = tuple(map(chr, (*range(32), *range(127, 160), 0x2028, 0x2029)))


def record(message: str, *arguments: object, error: BaseException | None = None) -> logging.LogRecord:
    """What a logger hands to a formatter."""
    caught = (type(error), error, error.__traceback__) if error is not None else None
    return logging.LogRecord("gateway", logging.WARNING, __file__, 1, message, arguments, caught)


@pytest.mark.parametrize("character", [*CONTROLS, "\ud800"])
def test_a_control_character_breaks_no_line_of_text(character: str) -> None:
    text = TextFormatter().format(record("a name: %s!", f"x{character}y"))
    assert text.splitlines() == [text]
    assert text.endswith("y!")
    assert character not in text
    assert text.isprintable()
    text.encode()


@pytest.mark.parametrize("character", [*CONTROLS, "\ud800"])
def test_a_control_character_breaks_no_json_line(character: str) -> None:
    line = JsonFormatter().format(record("a name: %s!", f"x{character}y"))
    assert "\n" not in line
    assert "\r" not in line
    document = json.loads(line)
    assert document["level"] == "warning"
    assert document["logger"] == "gateway"
    if character.isascii():
        assert document["message"] == f"a name: x{character}y!"


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/Los_Angeles"])
@pytest.mark.parametrize("logger", ["gateway", "uvicorn.access", "uvicorn.error", "aiokafka"])
def test_every_time_is_one_wherever_it_is_read(zone: str, logger: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        for form in ("text", "json"):
            before = time.time_ns() // 1_000_000
            with configured(log_format=form) as (_, written):
                logging.getLogger(logger).error("it happened")
                (line,) = written().splitlines()
            told = json.loads(line)["time"] if form == "json" else line.partition(" ")[0]
            assert told.endswith("Z")
            assert before - 1 <= read_time(told) <= time.time_ns() // 1_000_000
    finally:
        monkeypatch.undo()
        time.tzset()


def test_ordinary_text_is_left_alone() -> None:
    text = TextFormatter().format(record("Grüße, 世界 \N{GRINNING FACE} 100%"))
    assert text.endswith(" warning Grüße, 世界 \N{GRINNING FACE} 100%")


def raised(text: str) -> Exception:
    """An exception that has been raised."""
    try:
        raise ValueError(text)
    except ValueError as error:
        return error


def test_the_text_of_an_exception_cannot_pass_for_a_line_of_its_own() -> None:
    error = raised("bad\n12:00:00 info    forged\r12:00:00 info    forged\x1b[2J")
    first, *others = TextFormatter().format(record("it failed", error=error)).splitlines()
    assert first.endswith("it failed")
    assert "Traceback" in others[0]
    assert all(line.startswith("  ") for line in others)
    assert sum("forged" in line for line in others) == 1


def test_an_exception_in_json_is_a_member() -> None:
    line = JsonFormatter().format(record("it failed", error=raised("bad\n\ud800")))
    assert "\n" not in line
    assert "ValueError: bad" in json.loads(line)["exception"]


@contextmanager
def configured(**settings: Any) -> Iterator[tuple[Output, Callable[[], str]]]:
    """A log that is written to a pipe, and what has been read of it."""
    reading, writing = os.pipe()
    output = configure_logging(settings.get("log_format", "text"), settings.get("log_level", "info"), writing)

    def written() -> str:
        output.flush(PATIENCE)
        os.set_blocking(reading, False)
        try:
            return os.read(reading, 1 << 20).decode()
        except BlockingIOError:
            return ""

    yield output, written
    output.flush()
    logging.captureWarnings(False)
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_log_is_written_in_its_form(form: str) -> None:
    with configured(log_format=form, log_level="warning") as (_, written):
        logging.getLogger("gateway").info("too little")
        logging.getLogger("gateway").warning("one\ntwo")
        (line,) = written().splitlines()
    assert ("message" in line) == (form == "json")
    assert "one" in line
    assert "two" in line


def test_one_place_in_the_code_does_not_fill_the_log() -> None:
    with configured(log_level="info") as (_, written):
        for number in range(10 * STATEMENT_LINES):
            logging.getLogger("gateway").warning("again %d", number)
        logging.getLogger("gateway").warning("another place")
        for number in range(10 * STATEMENT_LINES):
            logging.getLogger("uvicorn.access").info("a request %d", number)
        lines = written().splitlines()
    again = [line for line in lines if "again" in line]
    assert len(again) == STATEMENT_LINES
    assert "are left out" in again[-1]
    assert sum("another place" in line for line in lines) == 1
    assert sum("a request" in line for line in lines) == 10 * STATEMENT_LINES


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_last_words_need_no_lock_of_the_log(form: str) -> None:
    with configured(log_format=form) as (output, written):
        with output.handler.lock or nullcontext():
            thread = threading.Thread(target=output.last_words, args=("it ends", "here:\n  a.py:1 f"))
            thread.start()
            thread.join(PATIENCE)
            assert not thread.is_alive()
        text = written()
    assert "it ends" in text
    assert "a.py:1 f" in text


def test_warnings_are_lines_of_the_log() -> None:
    with configured() as (_, written):
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(False)
            logging.captureWarnings(True)
            warnings.warn("look out", UserWarning, stacklevel=1)
        assert "look out" in written()
