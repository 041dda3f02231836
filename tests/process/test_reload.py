"""What a reload finds, takes over, and refuses."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import pickle
import re
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.app.composition import define
from gateway.app.gateway import Gateway
from gateway.errors import ConfigurationError, RestartNeeded
from gateway.eventlog.memory.log import MemoryLog
from gateway.process.processing import Declared
from gateway.process.reload import _RELOADABLE, OwnReload, Reloader, _differences
from gateway.settings.configuration import configure
from gateway.settings.table import Settings
from tests.access import kit as access


class Workspace:
    """A configuration that is written again and again, and the process that reads it."""

    def __init__(self, directory: Path, streams: dict[str, Any], **flags: Any) -> None:
        self.directory = directory
        self.path = directory / "gateway.yaml"
        (directory / "schemas").mkdir()
        self.schema("thing", "1.0.0")
        self.write(streams)
        self.source = partial(configure, {"config": str(self.path), **flags}, {})
        configured = self.source()
        self.settings = configured.settings
        self.definitions, _ = define(configured)
        self.reloader = Reloader(self.source, self.settings, self.definitions)

    def write(self, streams: dict[str, Any], **settings: Any) -> None:
        """Write the file, one stream a line."""
        lines = [f"schema_repositories: [{self.directory}/schemas]"]
        lines += [f"{key}: {json.dumps(value)}" for key, value in settings.items()]
        lines += ["streams:", *(f"  {name}: {json.dumps(stream)}" for name, stream in streams.items())]
        self.path.write_text("\n".join(lines) + "\n")

    def schema(self, title: str, version: str, **more: Any) -> Path:
        """Write a schema."""
        path = self.directory / "schemas" / title / f"{version}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"type": "object", **more}))
        return path

    def reload(self) -> dict[str, Any]:
        """Read and take over."""
        found = self.reloader.read()
        self.reloader.take(found)
        return found.document

    def refused(self) -> list[str]:
        """The mistakes, without the directory."""
        with pytest.raises(ConfigurationError) as caught:
            self.reloader.read()
        return [mistake.replace(f"{self.directory}/", "") for mistake in caught.value.mistakes]


NOTHING: dict[str, list[str]] = {"added": [], "removed": [], "changed": []}


def test_nothing_has_changed(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, {"one": {"schema_title": "thing"}})
    for _ in range(2):
        settings: dict[str, list[str]] = {"changed": [], "restart": []}
        assert workspace.reload() == {
            "streams": NOTHING,
            "schemas": NOTHING,
            "rules": NOTHING,
            "views": NOTHING,
            "settings": settings,
            "warnings": [],
        }


def test_what_has_changed_is_told_once(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, {"one": {}, "two": {}, "three": {}})
    workspace.write({"one": {"title": "One"}, "three": {}, "four": {"public": False, "schema_title": "/thing/"}})
    workspace.schema("thing", "2.0.0")
    document = workspace.reload()
    assert document["streams"] == {"added": ["four"], "removed": ["two"], "changed": ["one"]}
    assert document["schemas"] == {**NOTHING, "added": ["/thing/2.0.0"]}
    document = workspace.reload()
    assert document["streams"] == document["schemas"] == NOTHING


def test_settings_are_taken_over_or_wait_for_a_restart(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, {"one": {"schema_title": "thing"}}, port="8081")
    kafka = {"security_protocol": "SASL_SSL", "sasl_plain_username": "u", "sasl_plain_password": "secret"}
    workspace.write({"one": {"schema_title": "thing"}}, error_stream="one", heartbeat=7, kafka=kafka, port=9)
    document = workspace.reload()
    assert document["settings"] == {"changed": ["error_stream"], "restart": ["heartbeat", "kafka"]}
    assert "secret" not in json.dumps(document)
    # What waits goes on waiting; what was taken over is in force. The flag goes before the file.
    assert workspace.reload()["settings"] == {"changed": [], "restart": ["heartbeat", "kafka"]}
    workspace.write({"one": {"schema_title": "thing"}})
    assert workspace.reload()["settings"] == {"changed": ["error_stream"], "restart": []}


def test_a_stream_and_the_setting_that_names_it_are_taken_over_together(tmp_path: Path) -> None:
    reports = {"schema_title": "thing"}
    workspace = Workspace(tmp_path, {"old.reports": reports})
    workspace.write({"old.reports": reports}, report_stream="old.reports", error_stream="old.reports")
    assert workspace.reload()["settings"] == {"changed": ["error_stream", "report_stream"], "restart": []}
    workspace.write({"new.reports": reports}, report_stream="new.reports", error_stream="new.reports")
    found = workspace.reloader.read()
    assert found.document["settings"] == {"changed": ["error_stream", "report_stream"], "restart": []}
    assert (found.definitions.report_stream, found.definitions.error_stream) == ("new.reports", "new.reports")
    workspace.write({"new.reports": reports}, report_stream="old.reports")
    assert "report_stream is old.reports" in workspace.refused()[0]


def test_keys_come_into_force_with_all_that_tokens_are_held_against(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_bytes(access.document(access.public_jwk("first")))
    workspace = Workspace(tmp_path, {"one": {}})
    tokens: dict[str, Any] = {"jwks": str(tmp_path / "keys.json")}
    workspace.write({"one": {}}, **tokens)
    assert "jwks needs token_audience and token_issuer" in workspace.refused()[0]
    tokens |= {"token_issuer": "https://a.example", "token_audience": "b", "intake_token": "required"}
    tokens |= {"token_algorithms": ["ES256"], "token_cookie": "pass", "token_read_claim": "scope"}
    workspace.write({"one": {}}, **tokens)
    found = workspace.reloader.read()
    assert sorted(found.document["settings"]["changed"]) == sorted(tokens)
    assert found.document["settings"]["restart"] == []
    terms = found.definitions.trust.terms
    assert (terms.rules.issuer, terms.rules.audience, terms.rules.read_claim) == ("https://a.example", "b", "scope")
    assert (terms.rules.algorithms, terms.cookie, terms.needed_to_write) == (("ES256",), "pass", True)


def test_every_setting_of_tokens_and_streams_is_in_a_group() -> None:
    """`jwks_refresh` alone holds beside any."""
    names = [field.name for field in dataclasses.fields(Settings)]
    together = {name for name in names if re.search("token|^jwks$|_stream$|^schema_rep", name)}
    assert set(_RELOADABLE) == together


def test_streams_of_another_log_wait_for_it(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, {"one": {}})
    workspace.write({"one": {}}, log="kafka://elsewhere:9092")
    assert workspace.reload()["settings"]["restart"] == ["log"]
    workspace.write({"one": {}, "two": {}}, log="kafka://elsewhere:9092")
    with pytest.raises(RestartNeeded, match="log has changed, and so have the streams: "):
        workspace.reloader.read()
    workspace.write({"one": {}, "two": {}})
    assert workspace.reload()["streams"]["added"] == ["two"]


def test_warnings_are_of_what_is_in_force(tmp_path: Path) -> None:
    """A bound that waits for a restart does not hold yet."""
    workspace = Workspace(tmp_path, {"one": {}}, last_event_id_max="300")
    workspace.source = partial(configure, {"config": str(workspace.path)}, {})
    workspace.reloader._source = workspace.source
    workspace.write({"one": {"partitions": 200}})
    document = workspace.reload()
    assert document["settings"]["restart"] == ["last_event_id_max"]
    assert "more than last_event_id_max (300)" in document["warnings"][0]


def test_invalid_events_of_a_private_stream_in_a_public_one_are_warned_of(tmp_path: Path) -> None:
    taking = {"schema_title": "thing"}
    workspace = Workspace(tmp_path, {"one": {}})
    private = {**taking, "public": False}
    streams = {"errors": taking, "sealed": private, "own": private | {"error_stream": "hidden"}, "hidden": private}
    workspace.write(streams | {"open": taking, "bare": {"public": False}}, error_stream="errors")
    warnings = [line for line in workspace.reload()["warnings"] if "is private" in line]
    assert [line.partition(":")[0] for line in warnings] == ["sealed", "hidden"]
    assert "go to errors, which is public" in warnings[0]
    workspace.write(streams | {"errors": private}, error_stream="errors")
    assert not [line for line in workspace.reload()["warnings"] if "is private" in line]


def test_what_a_process_cannot_change_while_it_runs(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, {"one": {"topics": ["a"]}, "two": {"topics": ["b"], "resume": "timestamp"}})
    workspace.write({"one": {"topics": ["a", "b"]}, "two": {"topics": ["c"], "resume": "timestamp"}})
    with pytest.raises(RestartNeeded, match="yaml:3: one: the topic b is read for a resume by timestamp; restart"):
        workspace.reloader.read()
    # Neither a topic that no stream has named for a while.
    workspace.write({"two": {"topics": ["b"], "resume": "timestamp"}})
    workspace.reload()
    workspace.write({"one": {"topics": ["a"], "resume": "timestamp"}})
    assert workspace.refused() == [
        "gateway.yaml:3: one: the topic a is read for a resume by offset; restart the gateway to change that"
    ]
    workspace.write({"one": {"topics": ["a"]}, "new": {"resume": "timestamp"}})
    assert workspace.reload()["streams"] == {"added": ["one", "new"], "removed": ["two"], "changed": []}


def test_the_form_of_a_topic_that_is_read_stays(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, {"one": {"topics": ["a"], "format": "cloudevents"}})
    workspace.write({"one": {"topics": ["a"]}})
    assert workspace.refused() == [
        "gateway.yaml:3: one: the topic a is read in another format; restart the gateway to change that"
    ]
    workspace.write({"one": {"topics": ["a"], "format": "cloudevents"}, "two": {"format": "cloudevents"}})
    workspace.reload()


def test_the_form_of_a_topic_stays_though_no_stream_names_it_for_a_while(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, {"one": {"topics": ["a"], "format": "cloudevents"}, "two": {"topics": ["b"]}})
    workspace.write({"three": {}})
    workspace.reload()
    workspace.write({"three": {}, "one": {"topics": ["a"]}, "two": {"topics": ["b"], "format": "cloudevents"}})
    assert [line.partition(": ")[2] for line in workspace.refused()] == [
        f"{name}: the topic {topic} is read in another format; restart the gateway to change that"
        for name, topic in (("one", "a"), ("two", "b"))
    ]
    workspace.write({"one": {"topics": ["a"], "format": "cloudevents"}, "two": {"topics": ["b"]}})
    assert workspace.reload()["streams"] == {"added": ["one", "two"], "removed": ["three"], "changed": []}


def test_the_first_form_but_json_waits_for_a_restart(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, {"one": {"topics": ["a"]}})
    workspace.write({"one": {"topics": ["a"]}, "two": {"topics": ["b"], "format": "cloudevents"}})
    assert [line.partition(": ")[2] for line in workspace.refused()] == [
        "two: the topic b is read in another format; restart the gateway to change that"
    ]


def test_every_mistake_is_told_and_nothing_is_taken_over(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, {"one": {"schema_title": "thing"}})
    workspace.write({"one": {"resume": "x"}, "two": {"public": 3}}, heartbeat="x", port=1)
    assert [line.split(": ")[0] for line in workspace.refused()] == [f"gateway.yaml:{line}" for line in (5, 6, 2)]
    workspace.write({"one": {"schema_title": "thnig"}, "two": {"schema_title": "/nothing/"}})
    assert [line.split(": ")[0] for line in workspace.refused()] == ["gateway.yaml:3", "gateway.yaml:4"]
    workspace.write({"one": {"schema_title": "thing", "error_stream": "two"}, "two": {}})
    assert workspace.refused() == [
        "gateway.yaml:3: one: error_stream is two, which takes no events; give it a schema_title"
    ]
    workspace.write({"one": {"schema_title": "thing"}}, error_stream="oen")
    assert "gateway.yaml:2: error_stream is oen" in workspace.refused()[0]
    workspace.write({"one": {"schema_title": "thing"}})
    workspace.schema("thing", "1.1.0", type="nothing")
    workspace.schema("other", "1.0.0", pattern="(?=x)")
    assert [line.split(": ")[0] for line in workspace.refused()] == [
        "schemas/other/1.0.0.json",
        "schemas/thing/1.1.0.json",
    ]
    workspace.path.unlink()
    assert "there is no such file" in workspace.refused()[0]


def test_a_released_schema_that_changed_is_a_warning(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, {"one": {"schema_title": "thing"}})
    workspace.schema("new", "current", **{"$id": "/new/1.0.0"})
    assert workspace.reload()["warnings"] == []
    path = workspace.schema("thing", "1.0.0", description="another")
    workspace.schema("new", "current", **{"$id": "/new/1.0.0", "description": "another"})
    document = workspace.reload()
    assert document["schemas"]["changed"] == ["/new/1.0.0", "/thing/1.0.0"]
    (warning,) = document["warnings"]
    assert warning.startswith(f"{path}: it is released, and has changed since it was loaded")


NAMED = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 2))


@given(NAMED, NAMED)
def test_differences_lead_from_the_old_to_the_new(old: dict[str, int], new: dict[str, int]) -> None:
    found = _differences(old, new)
    rebuilt = {name: value for name, value in old.items() if name not in found["removed"]}
    rebuilt |= {name: new[name] for name in found["added"] + found["changed"]}
    assert rebuilt == new
    assert sum(map(len, found.values())) == sum(old.get(name) != new.get(name) for name in {*old, *new})


def test_definitions_go_to_another_process(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, {"one": {"schema_title": "/^thing$/", "public": False}, "two": {}})
    workspace.schema("thing", "1.2.0", required=["x"], examples=[{"x": 1}])
    workspace.write({"one": {"schema_title": "/^thing$/", "public": False}, "two": {}}, error_stream="one")
    found = workspace.reloader.read().definitions
    copy = pickle.loads(pickle.dumps(found))
    assert copy.catalog.streams == found.catalog.streams
    assert list(copy.public_catalog.streams) == ["two"]
    assert copy.error_stream_of(None) == found.catalog.streams["one"]
    for uri, schema in found.schemas.all().items():
        same = copy.schemas.named(uri)
        assert same == schema
        assert bool(same.faults({})) is (uri == "/thing/1.2.0")
    assert copy.schemas.taken_by(copy.catalog.streams["one"]).version == "1.2.0"


@pytest.mark.parametrize("kind", [ConfigurationError, RestartNeeded])
def test_mistakes_go_to_another_process(kind: type[ConfigurationError]) -> None:
    copy = pickle.loads(pickle.dumps(kind(["one", "two"])))
    assert type(copy) is kind
    assert copy.mistakes == ["one", "two"]
    assert str(copy) == "one\ntwo"


async def test_the_reload_of_one_process(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway")
    workspace = Workspace(tmp_path, {"one": {}})
    log = MemoryLog()
    gateway = Gateway(workspace.settings, workspace.definitions, log)
    hub = asyncio.create_task(gateway.hub.run())
    reload = OwnReload(gateway, workspace.reloader)
    workspace.write({"one": {}, "two": {}}, retry=700)
    first, second = await asyncio.gather(reload(), reload())
    assert (first["streams"]["added"], second["streams"]["added"]) == (["two"], [])
    assert first["workers"] == ["reloaded"]
    assert list(gateway.current.public_catalog.streams) == ["one", "two"]
    in_force = gateway.current.definitions
    workspace.write({"one": {"resume": "x"}})
    with pytest.raises(ConfigurationError):
        await reload()
    assert gateway.current.definitions is in_force
    told = [record.getMessage() for record in caplog.records if record.name == "gateway"]
    assert "reloaded: streams added (two)" in told
    assert "reloaded: nothing has changed" in told
    assert "these changed settings wait for a restart: retry" in told
    assert "nothing was reloaded; the previous configuration stays in force" in told
    assert any(line.startswith(f"{workspace.path}:3: one: resume is") for line in told)
    hub.cancel()
    await asyncio.gather(hub, return_exceptions=True)


DERIVED: dict[str, Any] = {"one": {}, "two": {"schema_title": "thing", "derive": {"from": ["one"]}}}


def with_where(where: str, **more: Any) -> dict[str, Any]:
    return {"one": {}, "two": {"schema_title": "thing", "derive": {"from": ["one"], "where": where, **more}}}


def test_a_derived_stream_that_changed_needs_another_version(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, with_where("true"))
    workspace.write(with_where("false"))
    with pytest.raises(RestartNeeded):
        workspace.reloader.read()
    (mistake,) = workspace.refused()
    assert mistake.startswith("gateway.yaml:4: two: what it is made of has changed, and its version is still 1")
    # It is compared with what is in force, which has not changed by that.
    workspace.write(with_where("true"))
    assert workspace.reload()["streams"] == NOTHING
    workspace.write(with_where("false", version=2))
    assert workspace.reload()["streams"] == NOTHING | {"changed": ["two"]}


def test_what_changes_no_rows_needs_no_other_version(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, with_where("true"))
    workspace.write(with_where("true", since="30d"))
    assert workspace.reload()["streams"]["changed"] == ["two"]
    workspace.write({"one": {}})
    assert workspace.reload()["streams"]["removed"] == ["two"]
    # One that was not there is begun, whatever it was before that: its position says whether it may.
    workspace.write(with_where("false"))
    assert workspace.reload()["streams"]["added"] == ["two"]


@pytest.mark.long
async def test_one_server_hands_what_is_declared_to_the_one_that_processes(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, {"one": {}})
    gateway = Gateway(workspace.settings, workspace.definitions, MemoryLog())
    taken: list[bool] = []

    async def process(declared: Declared) -> list[str]:
        taken.append(declared.is_empty)
        return [] if declared.is_empty else ["reloaded"]

    reload = OwnReload(gateway, workspace.reloader, process)
    assert (await reload())["workers"] == ["reloaded"]
    workspace.write(DERIVED)
    assert (await reload())["workers"] == ["reloaded", "reloaded"]
    assert taken == [True, False]


def test_rules_that_have_changed_are_told(tmp_path: Path) -> None:
    streams = {"one": {}, "two": {"schema_title": "thing"}, "dead": {"schema_title": "gateway/error"}}
    workspace = Workspace(tmp_path, {"one": {}})
    error = workspace.directory / "schemas" / "gateway" / "error"
    shutil.copytree(Path(__file__).parents[2] / "config" / "schemas" / "gateway" / "error", error)
    fragment = workspace.directory / "schemas" / "fragment"
    shutil.copytree(Path(__file__).parents[2] / "config" / "schemas" / "fragment", fragment)
    rule = {"on": ["one"], "do": [{"request": {"url": "http://a.example/{event.x}"}}], "dead_stream": "dead"}
    workspace.write(streams, rules={"first": rule, "same": rule})
    assert workspace.reload()["rules"]["added"] == ["first", "same"]
    workspace.write(streams, rules={"same": rule, "new": rule})
    assert workspace.reload()["rules"] == {"added": ["new"], "removed": ["first"], "changed": []}
    workspace.write(streams, rules={"same": rule | {"where": "event.x == 1"}, "new": rule})
    assert workspace.reload()["rules"] == {"added": [], "removed": [], "changed": ["same"]}
