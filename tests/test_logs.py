"""The lines of the log: whatever a message holds, it stays on its line."""

from __future__ import annotations

import io
import json
import logging
import sys

import pytest

from gateway.logs import JsonFormatter, TextFormatter, configure_logging
from gateway.settings import Settings

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


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_log_is_written_to_standard_error(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    configure_logging(Settings(log_format=form, log_level="warning"))
    logging.getLogger("gateway").info("too little")
    logging.getLogger("gateway").warning("one\ntwo")
    (line,) = written.getvalue().splitlines()
    assert ("message" in line) == (form == "json")
    assert "one" in line
    assert "two" in line
