"""What the demo takes where nothing else is said."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from gateway.commands import demo
from gateway.commands.demo import DEMO_ARCHIVE, DEMO_LOG, configure_demo, demo_settings
from gateway.demo.sample import SAMPLE
from gateway.settings.configuration import Configured, configure

ITS_OWN = {
    "log": DEMO_LOG,
    "config": str(SAMPLE / "gateway.yaml"),
    "schema_repositories": (str(SAMPLE / "schemas"),),
    "derive_trials": "public",
    "archive": DEMO_ARCHIVE,
}
NONE_GIVEN = {"log": None, "config": None, "schema_repositories": (), "derive_trials": None, "archive": None}


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
        ({"log": "memory://"}, {}, {"log": "memory://", "archive": None}),
        ({}, {"GATEWAY_LOG": "memory://"}, {"log": None, "archive": None}),
        ({"log": "memory://", "archive": "here"}, {}, {"log": "memory://", "archive": "here"}),
        ({"archive": "here"}, {}, {"archive": "here"}),
        ({}, {"GATEWAY_ARCHIVE": "here"}, {"archive": None}),
        ({"config": "mine.yaml"}, {}, {"config": "mine.yaml", "schema_repositories": ()}),
        ({}, {"GATEWAY_CONFIG": "mine.yaml"}, {"config": None, "schema_repositories": ()}),
        ({"schema_repositories": ("a",)}, {}, {"schema_repositories": ("a",)}),
        ({}, {"GATEWAY_SCHEMAS": "a"}, {"schema_repositories": ()}),
        ({"derive_trials": "off"}, {}, {"derive_trials": "off"}),
        ({}, {"GATEWAY_DERIVE_TRIALS": "off"}, {"derive_trials": None}),
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
    assert given == {**NONE_GIVEN, "log": DEMO_LOG, "derive_trials": "public", "archive": DEMO_ARCHIVE}
    assert configure(given, {}).settings.log == DEMO_LOG


def test_a_configuration_says_who_may_try_declarations(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text("derive_trials: off\nstreams: {a: {description: b}}\n")
    given = demo_settings({**NONE_GIVEN, "config": str(path)}, {})
    assert configure(given, {}).settings.derive_trials == "off"


def archived(configured: Configured) -> list[str]:
    return [stream.name for stream in configured.catalog.streams.values() if stream.archive]


def test_the_stream_that_is_fed_is_archived() -> None:
    assert archived(configure_demo(ITS_OWN, {})) == ["wiki.change"]


def test_without_the_libraries_nothing_is_archived(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(demo, "missing_libraries", lambda: ["pyarrow"])
    monkeypatch.chdir(tmp_path)
    given = demo_settings(NONE_GIVEN, {})
    assert given == {**ITS_OWN, "archive": None}
    configured = configure_demo(given, {})
    assert archived(configured) == []
    # A checkout is told by its lock, which is there.
    assert "pip install --requirement requirements-archive.lock" in demo.advice_of(configured.settings)
    assert (SAMPLE.parent / "requirements-archive.lock").exists()
    monkeypatch.setattr(demo, "IS_CHECKOUT", False)
    assert "pip install 'event-gateway[archive]'" in demo.advice_of(configured.settings)
    # Nothing is to be said where somebody has said where the log is, or has the libraries.
    assert demo.advice_of(dataclasses.replace(configured.settings, log="sqlite:///other.db")) == ""
    monkeypatch.setattr(demo, "missing_libraries", list)
    assert demo.advice_of(configured.settings) == ""


STREAMS = "streams: {a: {schema_title: wiki/change}, b: {description: b%s}}\n"


@pytest.mark.parametrize(
    ("text", "environment", "wanted"),
    [
        (STREAMS % "", {}, ["a"]),
        # Somebody else's place, in which the demo writes nothing of its own accord.
        ("archive: s3://real/place\n" + STREAMS % "", {}, []),
        (STREAMS % "", {"GATEWAY_ARCHIVE": "s3://real/place"}, []),
        # What a configuration says of archives counts.
        (STREAMS % ", archive: true", {}, ["b"]),
    ],
)
def test_a_configuration_says_what_is_archived(
    text: str, environment: dict[str, str], wanted: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(text)
    given = demo_settings({**NONE_GIVEN, "config": str(path)}, environment)
    assert archived(configure_demo(given, environment)) == wanted
