"""What the demo takes where nothing else is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.commands.demo import DEMO_LOG, demo_settings
from gateway.demo.sample import SAMPLE
from gateway.settings.configuration import configure

ITS_OWN = {
    "log": DEMO_LOG,
    "config": str(SAMPLE / "gateway.yaml"),
    "schema_repositories": (str(SAMPLE / "schemas"),),
}
NONE_GIVEN = {"log": None, "config": None, "schema_repositories": ()}


@pytest.mark.parametrize("environment", [{}, dict.fromkeys(("GATEWAY_LOG", "GATEWAY_CONFIG", "GATEWAY_SCHEMAS"), "")])
def test_an_empty_variable_is_as_if_not_set(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = demo_settings(NONE_GIVEN, environment)
    assert given == ITS_OWN
    assert configure(given, environment).settings.log == DEMO_LOG


@pytest.mark.parametrize(
    ("flags", "environment", "changed"),
    [
        ({"log": "memory://"}, {}, {"log": "memory://"}),
        ({}, {"GATEWAY_LOG": "memory://"}, {"log": None}),
        ({"config": "mine.yaml"}, {}, {"config": "mine.yaml", "schema_repositories": ()}),
        ({}, {"GATEWAY_CONFIG": "mine.yaml"}, {"config": None, "schema_repositories": ()}),
        ({"schema_repositories": ("a",)}, {}, {"schema_repositories": ("a",)}),
        ({}, {"GATEWAY_SCHEMAS": "a"}, {"schema_repositories": ()}),
    ],
)
def test_what_is_said_counts(
    flags: dict[str, object],
    environment: dict[str, str],
    changed: dict[str, object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert demo_settings({**NONE_GIVEN, **flags}, environment) == {**ITS_OWN, **changed}


def test_the_streams_of_a_configuration_are_served_from_a_log_of_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "gateway.yaml").write_text("log: kafka://real:9092\nstreams: {a: {description: b}}\n")
    monkeypatch.chdir(tmp_path)
    given = demo_settings(NONE_GIVEN, {"GATEWAY_LOG": ""})
    assert given == {**NONE_GIVEN, "log": DEMO_LOG}
    assert configure(given, {}).settings.log == DEMO_LOG
