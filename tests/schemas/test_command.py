"""`gateway schemas` as it is typed."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.commands.cli import main

PROJECT = Path(__file__).parents[2]


def run(*arguments: str, **variables: str) -> Result:
    environment = {"GATEWAY_SCHEMAS": None, "GATEWAY_CONFIG": None, "CI": None, **variables}
    return CliRunner(env=environment).invoke(main, ["schemas", *arguments], catch_exceptions=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository with one schema that is being written."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "current.yaml").write_text("$id: /a/1.0.0\nproperties: {x: {type: string}}\n")
    return tmp_path


def test_the_schemas_of_the_project_have_no_mistakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    # Without a configuration that says otherwise, these.
    result = run("check")
    assert result.exit_code == 0, result.output
    assert "released versions, no mistakes" in result.stdout.splitlines()[-1]


def test_from_the_first_version_to_a_major_one(folder: Path) -> None:
    result = run("bump", "a", "--schemas", str(folder))
    assert result.exit_code == 0
    assert result.output.splitlines() == ["a 1.0.0", f"written: {folder}/a/1.0.0.yaml"]
    (folder / "a" / "current.yaml").write_text("$id: /a/1.0.0\nproperties: {x: {type: integer}}\n")
    result = run("check", GATEWAY_SCHEMAS=str(folder))
    assert result.exit_code == 1
    assert "  ! /x: the type changed: string → integer" in result.stderr.splitlines()
    result = run("bump", "/a", "--schemas", str(folder))
    assert result.exit_code == 1
    assert "it takes --major" in result.stderr
    result = run("bump", "a", "--major", "--schemas", str(folder))
    assert result.exit_code == 0
    assert result.output.splitlines()[:2] == ["a 1.0.0 → 2.0.0", "  ! /x: the type changed: string → integer"]
    result = run("check", "a", "--schemas", str(folder))
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "2 released versions, no mistakes, but for what is said above"


@pytest.mark.parametrize(
    ("arguments", "variables", "status"),
    [
        ((), {}, 0),
        ((), {"CI": ""}, 0),
        ((), {"CI": "false"}, 0),
        ((), {"CI": "true"}, 1),
        ((), {"CI": "1"}, 1),
        (("--strict",), {}, 1),
        (("--no-strict",), {"CI": "true"}, 0),
    ],
)
def test_a_history_that_cannot_be_read_is_told_and_where_it_counts_a_mistake(
    folder: Path, arguments: tuple[str, ...], variables: dict[str, str], status: int
) -> None:
    result = run("check", *arguments, "--schemas", str(folder), **variables)
    assert result.exit_code == status
    assert f"{folder}: its history could not be read, so nobody knows whether a version has changed" in result.stderr
    assert ("no mistakes, but for what is said above" in result.stdout) == (status == 0)


def test_what_is_not_there(folder: Path) -> None:
    for arguments in (("check", "b"), ("bump", "b")):
        result = run(*arguments, "--schemas", str(folder))
        assert result.exit_code == 1
        assert "b" in result.stderr
    result = run("check", "--schemas", str(folder / "absent"))
    assert result.exit_code == 1
    assert "there is no such directory" in result.stderr
    result = run("check", "--config", str(folder / "absent.yaml"))
    assert result.exit_code == 1
    assert "absent.yaml" in result.stderr


def test_a_server_does_not_start_with_schemas_that_cannot_be_read(folder: Path) -> None:
    (folder / "a" / "1.0.0.yaml").write_text("type: objekt\n")
    (folder / "gateway.yaml").write_text("streams: {a: {topics: [a]}}\n")
    environment = {"GATEWAY_CONFIG": str(folder / "gateway.yaml"), "GATEWAY_SCHEMAS": str(folder)}
    result = CliRunner(env=environment).invoke(main, ["serve"], catch_exceptions=False)
    assert result.exit_code == 1
    assert "a/1.0.0.yaml: this is not a valid JSON Schema: at /type" in result.stderr
