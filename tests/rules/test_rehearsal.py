"""Tests of rules, as their users write them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from gateway.catalog.document import Findings
from gateway.commands.cli import main
from gateway.eventlog.sqlite.log import SqliteLog
from gateway.model.record import NewRecord
from gateway.rules.rehearsal import differences, read_rehearsals, rehearse
from gateway.rules.tries import Tries
from tests.rules.kit import CATALOG, PURGE, SCHEMAS, rule_of

ROOT = Path(__file__).parents[2]
TESTS = """
base: {meta: {id: a, dt: "2026-01-01T00:00:00Z"}, title: T, deep: {a: 1, b: 2}}
tests:
- name: a page is purged
  rule: purge
  given: [{}, {title: A/B}, {meta: {domain: canary}}]
  expect:
  - request: {method: POST, url: "http://cache.example/purge/T"}
  - request: {url: "http://cache.example/purge/A%2FB", headers: {x-triggered-by: "purge:wiki.page-create/0/1"}}
- name: it is tried three times
  rule: purge
  given: [{}]
  answers: [503, timeout, 500]
  expect: [{request: {}}, {request: {}}, {request: {}}, {dead: {reason: "it answers 500, at try 3 of 3"}}]
- name: what has no title is dead
  rule: purge
  given: [{title: null}]
  expect: [{dead: {}}]
"""


def outcomes(text: str) -> list[list[str]]:
    """The differences of each test."""
    findings = Findings(Path("file"))
    tests = read_rehearsals(text, {"purge": rule_of()}, findings)
    assert not findings.mistakes
    return [differences(test.expect, rehearse(test, CATALOG, SCHEMAS)) for test in tests]


def test_what_comes_is_as_expected() -> None:
    assert outcomes(TESTS) == [[], [], []]


def test_a_secret_of_a_file_is_shown_by_the_name_of_its_key(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("Bearer sesame")
    headers = f"headers: {{Authorization_file: {tmp_path}/token, a: b}}"
    rule = rule_of(PURGE.replace('{event.title}"}', '{event.title}", ' + headers + "}"))
    expect = "[{request: {headers: {authorization: (authorization_file), a: b}}}]"
    text = f"tests: [{{rule: purge, given: [{{title: T}}], expect: {expect}}}]"
    (test,) = read_rehearsals(text, {"purge": rule}, Findings(Path("file")))
    found = rehearse(test, CATALOG, SCHEMAS)
    assert not differences(test.expect, found)
    assert "sesame" not in str(differences([], found))


@pytest.mark.parametrize(
    ("was", "instead", "told"),
    [
        ("purge/T", "purge/U", "outcome 1: expected"),
        ("[{dead: {}}]", "[]", "0 outcomes are expected, and there are 1"),
        ("[{dead: {}}]", "[{dead: {}}, {request: {}}]", "missing: "),
        ("method: POST", "method: PUT", "outcome 1: expected"),
        ("answers: [503, timeout, 500]", "answers: [503]", "4 outcomes are expected, and there are 2"),
    ],
)
def test_a_difference_is_told(was: str, instead: str, told: str) -> None:
    assert was in TESTS
    assert any(line.startswith(told) for lines in outcomes(TESTS.replace(was, instead)) for line in lines)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[]", "there are no tests"),
        ("tests: []", "there are no tests"),
        ("bases: {}\ntests: [{}]", "there is no bases; did you mean base?"),
        ("tests: [{rule: purg, given: [], expect: []}]", "the rule of the test is purg; there are purge"),
        ("tests: [{rule: purge, given: {}, expect: []}]", "given takes a list of events"),
        ("tests: [{rule: purge, given: [], expect: [{a: 1}]}]", "expect takes a list of outcomes"),
        ("tests: [{rule: purge, given: [], answers: [soon], expect: []}]", "answers takes a list of statuses"),
        ("tests: [{rule: purge, givn: [], expect: []}]", "a test has no givn; did you mean given?"),
        ("tests: [1]", "the rule of the test is None"),
    ],
)
def test_a_mistake_in_a_test_is_told(text: str, told: str) -> None:
    findings = Findings(Path("file"))
    read_rehearsals(text, {"purge": rule_of()}, findings)
    assert any(told in mistake for mistake in findings.mistakes), findings.mistakes


CONFIGURATION = f"""
schema_repositories: [{ROOT / "config" / "schemas"}]
streams:
  wiki.page-create: {{schema_title: wiki/page-create}}
  wiki.purge-dead: {{schema_title: gateway/error}}
rules:
""" + "\n".join(f"  {line}" for line in (PURGE + "  allow_unknown: true").strip().split("\n"))


@pytest.mark.long
def test_the_command_runs_what_stands_beside_the_configuration(tmp_path: Path) -> None:
    config, tests = tmp_path / "gateway.yaml", tmp_path / "purge.rules.yaml"
    config.write_text(CONFIGURATION)
    arguments = ["rules", "test", "--config", str(config)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert "there are no tests; write some into" in result.output
    tests.write_text(TESTS)
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert f"ok  a page is purged ({tests}:4)" in result.output
    assert result.output.endswith("3 tests\n")
    tests.write_text(TESTS.replace("purge/T", "purge/U"))
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert f"FAILED  a page is purged ({tests}:4)" in result.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["dead", "purg"], "there is no rule purg; there are purge"),
        (["run", "purge", "other"], "there is no rule other; there are purge"),
        (["replay", "purge", "--log", "nowhere"], "nowhere"),
        (["test", "absent.yaml"], "absent.yaml: the file cannot be read"),
    ],
)
def test_a_command_says_what_is_wrong(arguments: list[str], told: str, tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text(CONFIGURATION)
    result = CliRunner().invoke(main, ["rules", *arguments, "--config", str(config)])
    assert result.exit_code == 1
    assert told in result.output


async def _put_dead(path: Path, value: bytes) -> None:
    log = SqliteLog(path)
    await log.open()
    await log.create("wiki.purge-dead")
    tries = Tries("purge", "wiki.page-create", 0, 0, 1)
    await log.append("wiki.purge-dead", [NewRecord(value, headers=(tries.header(),))])
    await log.close()


@pytest.mark.parametrize("terminal", [True, False])
def test_dead_events_steer_no_terminal(terminal: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs get the stored bytes, on one line."""
    config, text = tmp_path / "gateway.yaml", "a\x9b2J\u202eb"
    config.write_text(CONFIGURATION + f"\nlog: sqlite:///{tmp_path}/events.db\n")
    asyncio.run(_put_dead(tmp_path / "events.db", f'{{"raw_event":\n"{text}"}}'.encode()))
    output = SimpleNamespace(stdout=SimpleNamespace(isatty=lambda: terminal))
    monkeypatch.setattr("gateway.commands.rules.sys", output)
    result = CliRunner().invoke(main, ["rules", "dead", "purge", "--config", str(config)])
    assert result.exit_code == 0, result.output
    shown = r"a\u009b2J\u202eb" if terminal else text
    assert result.stdout_bytes == f'{{"raw_event": "{shown}"}}\n'.encode()


def test_check_reads_rules(tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text(CONFIGURATION)
    assert CliRunner().invoke(main, ["check", "--config", str(config)]).exit_code == 0
    config.write_text(CONFIGURATION.replace("after: [30s, 5m]", "after: [5m, 30s]"))
    result = CliRunner().invoke(main, ["check", "--config", str(config)])
    assert result.exit_code == 1
    assert f"{config}:12: purge: after has 30s behind 5m" in result.output
    config.write_text(CONFIGURATION.replace("schema_title: gateway/error", "schema_title: wiki/page-create"))
    result = CliRunner().invoke(main, ["check", "--config", str(config)])
    assert f"{config}:7: purge: wiki.purge-dead takes no dead events" in result.output
