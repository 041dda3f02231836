"""The help of commands: whole sentences, groups, and no more options than one can read."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from click.shell_completion import get_completion_class
from click.testing import CliRunner

from gateway.commands.cli import main
from gateway.commands.demo import demo
from gateway.commands.options import heading_of
from gateway.settings.table import SETTINGS
from tests.commands.kit import commands_of


def help_of(*command: str) -> str:
    """The help, 80 characters wide."""
    result = CliRunner().invoke(main, [*command, "--help"], terminal_width=80)
    assert result.exit_code == 0
    return result.output


def groups(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """All commands that have others."""
    if not isinstance(command, click.Group):
        return []
    return [path, *(one for name, each in commands_of(command).items() for one in groups(each, (*path, name)))]


@pytest.mark.parametrize("path", groups(main), ids="-".join)
def test_no_sentence_is_cut_off(path: tuple[str, ...]) -> None:
    assert "..." not in help_of(*path).partition("Commands:")[2]


def test_the_options_of_serve_stand_in_groups() -> None:
    text = help_of("serve")
    headings = re.findall(r"^([A-Z][\w ]+):$", text, re.MULTILINE)
    assert headings[:3] == ["Options", "Log and streams", "Derived streams and views"]
    assert len(headings) >= 8
    sections = re.split(r"^[A-Z][\w ]+:$", text, flags=re.MULTILINE)[1:]
    assert max(section.count("\n  --") for section in sections) <= 25
    for setting in SETTINGS:
        assert setting.flag is None or f"  {setting.flag}" in text


@pytest.mark.parametrize(
    ("key", "heading"),
    [
        ("log", "Log and streams"),
        ("log_level", "Logs and traces"),
        ("limits", "Limits"),
        ("admin_port", "Addresses"),
        ("intake_token", "Tokens"),
        ("intake_max_bytes", "Events that come in"),
        ("workers", "Processes and memory"),
    ],
)
def test_the_group_of_a_setting(key: str, heading: str) -> None:
    assert heading_of(key) == heading


def test_the_demo_shows_three_options_and_takes_all() -> None:
    text = help_of("demo")
    assert re.findall(r"^  (--[\w-]+)", text, re.MULTILINE) == ["--from", "--port", "--admin-port"]
    hidden = {option for one in demo.params for option in one.opts}
    assert {setting.flag for setting in SETTINGS if setting.flag} <= hidden


def test_the_shell_completes_as_the_guide_says() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "START.md").read_text()
    for shell in ("bash", "zsh", "fish"):
        assert f"_GATEWAY_COMPLETE={shell}_source gateway" in guide
        kind = get_completion_class(shell)
        assert kind is not None
        found = kind(main, {}, "gateway", "_GATEWAY_COMPLETE").get_completions(["tail"], "--fi")
        assert [one.value for one in found] == ["--filter", "--fields"]
    found = kind(main, {}, "gateway", "_GATEWAY_COMPLETE").get_completions([], "st")
    assert [one.value for one in found] == ["streams"]
