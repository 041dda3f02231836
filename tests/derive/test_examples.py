"""`gateway derive test`, `schema` and `explain`, and the declarations in `cases`, which every engine runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.commands.cli import main

CASES = Path(__file__).parent / "cases"
CONFIG = CASES / "gateway.yaml"
REPOSITORIES = [CASES / "schemas", Path(__file__).parents[2] / "config" / "schemas"]


def gateway(*arguments: str | Path, config: Path = CONFIG, first: Path | None = None) -> Result:
    schemas = [part for one in ([first] if first else []) + REPOSITORIES for part in ("--schemas", str(one))]
    return CliRunner().invoke(main, [*map(str, arguments), "--config", str(config), *schemas])


def test_every_case_is_as_it_says() -> None:
    result = gateway("derive", "test")
    assert result.exit_code == 0, result.output
    assert "12 tests, no mistakes" in result.output


def test_the_declarations_of_the_cases_are_right() -> None:
    result = gateway("check")
    assert result.exit_code == 0, result.output
    assert "11 streams, no mistakes" in result.output


@pytest.mark.parametrize("stream", ["wiki.enwiki-edits", "wiki.visits", "wiki.page-state", "wiki.change-with-page"])
def test_the_schema_of_a_case_is_the_one_that_is_inferred(stream: str) -> None:
    result = gateway("derive", "schema", stream, "--print")
    title = stream.rstrip("s") if stream in ("wiki.enwiki-edits", "wiki.visits") else stream
    assert result.output == (CASES / "schemas" / title.replace(".", "/") / "current.yaml").read_text()


def example(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "some.test.yaml"
    path.write_text("base: {wiki: enwiki, type: edit, bot: false}\ntests:\n" + "".join(f"- {line}\n" for line in lines))
    return path


def test_a_difference_is_told_with_what_came(tmp_path: Path) -> None:
    path = example(
        tmp_path,
        "{name: wrong row, stream: wiki.edits-per-minute, until: 2026-01-01T01:00:00Z,"
        " given: [{meta: {dt: '2026-01-01T00:00:00Z'}}], expect: [{edits: 2}]}",
        "{name: too few, stream: wiki.edits-per-minute, given: [{}], expect: [{}], late: 2}",
    )
    result = gateway("derive", "test", path)
    assert result.exit_code == 1
    assert f"FAIL  wrong row ({path}:3)" in result.output
    assert '"edits":1' in result.output
    assert "0 rows came, and 1 are expected" in result.output
    assert "late: 0, and 2 are expected" in result.output
    assert "errors: 1, and 0 are expected: it has no time" in result.output


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{name: x, stream: wiki.chnge, given: [], expect: []}", "wiki.chnge is no derived stream"),
        ("{name: x, stream: wiki.change, given: [], expect: []}", "wiki.change is no derived stream"),
        ("{name: x, stream: wiki.visits, given: [], expct: []}", "a test has no expct; did you mean expect?"),
        ("{name: x, stream: wiki.visits, given: []}", "the test has no expect"),
        ("{name: x, stream: wiki.visits, given: [1], expect: []}", "given holds the number 1"),
        ("{name: x, stream: wiki.visits, given: {wiki.visits: []}, expect: []}", "wiki.visits is not read by it"),
        (
            "{name: x, stream: wiki.visits, given: [{$partition: 100}], expect: []}",
            "$partition takes a number below 100",
        ),
        ("{name: x, stream: wiki.visits, given: [], expect: [], late: a}", 'late is "a"; it takes a number'),
        ("{name: x, stream: wiki.visits, given: [], expect: [], until: soon}", "until: 'soon' is not a time"),
    ],
)
def test_a_mistake_in_a_test_is_told_with_its_line(tmp_path: Path, line: str, told: str) -> None:
    path = example(tmp_path, line)
    result = gateway("derive", "test", path)
    assert result.exit_code == 1
    assert f"{path}:3: " in result.output
    assert told in result.output


def test_a_schema_is_written_once(tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text(
        "streams:\n  wiki.change: {schema_title: wiki/change}\n"
        "  a: {schema_title: own/row, derive: {from: [wiki.change], select: {user: event.user}}}\n"
    )
    repository = tmp_path / "schemas"
    repository.mkdir()
    result = gateway("derive", "schema", "a", config=config, first=repository)
    assert result.exit_code == 0, result.output
    assert "user" in (repository / "own" / "row" / "current.yaml").read_text()
    assert gateway("check", config=config, first=repository).exit_code == 0
    again = gateway("derive", "schema", "a", config=config, first=repository)
    assert (again.exit_code, "has a schema already" in again.output) == (1, True)


@pytest.mark.long
def test_what_a_declaration_needs_is_explained() -> None:
    said = gateway("derive", "explain", "wiki.edits-per-minute").output
    assert "70s of its sources are read again" in said
    assert "one for each partition, up to 8, in Kafka: its key holds that by which wiki.change is partitioned" in said
    assert "row         grown: integer, may be missing" in said
    said = gateway("derive", "explain", "wiki.busy-users").output
    assert "1: its key lacks wiki" in said
    assert "read by     wiki.change-with-page" in gateway("derive", "explain", "wiki.page-state").output
    assert gateway("derive", "explain", "wiki.change").exit_code == 1
