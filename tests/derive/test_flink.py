"""The script for Flink: what it says, and what it refuses. That Flink gives the same rows is `tests/conformance`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from gateway.catalog.derivation import Dedup, Derivation, Expression, Lookup, Members, Window
from gateway.catalog.stream import Stream
from gateway.commands.derive import derive
from gateway.derive.flink import Script
from gateway.derive.flink_tables import Broker, Source, Unsayable, interval
from gateway.derive.printed import broker_of
from tests.derive.expressions import SCHEMA

ROOT = Path(__file__).parents[2]
CASES = Path(__file__).parent / "cases"
PLAIN = Derivation(("change",), line=3)
COUNT: Members = (("edits", Expression("count()", 7)),)
PAGE: Members = (("edits", Expression("event.page_id", 7)),)


def cel(text: str) -> Expression:
    return Expression(text, 7)


def script(derivation: Derivation, document: dict[str, Any] = SCHEMA, **stream: Any) -> str:
    source = Source(Stream("change", ("a", "b"), **{"partitions": 4, **stream}), document)
    state = Source(Stream("state", ("state",), partitions=2), SCHEMA)
    made = Stream("rows", ("rows",), derive=derivation)
    return Script(made, [source, state], Broker("broker:9092"), {"required": ["edits"]}, "/rows/1.0.0").text()


def test_each_statement_ends_a_line() -> None:
    text = script(replace(PLAIN, window=Window("every", 60_000, 60_000), select=COUNT))
    statements = [one.strip() for one in text.split(";\n")]
    assert statements.pop() == ""
    words = [statement.splitlines()[-1 if statement.startswith("--") else 0].split()[0] for statement in statements]
    assert words[0] == "SET"
    assert words[-1] == "INSERT"
    assert set(words) == {"SET", "CREATE", "INSERT"}


def test_the_sink_writes_once_under_a_name_of_stream_and_version() -> None:
    text = script(replace(PLAIN, select=(("edits", cel("event.page_id")),), version=2))
    assert "'topic' = 'rows.v2'" in text
    assert "'sink.transactional-id-prefix' = 'gateway.rows.v2'" in text
    assert "'sink.delivery-guarantee' = 'exactly-once'" in text
    assert "'properties.isolation.level' = 'read_committed'" in text
    assert "'properties.transaction.timeout.ms' = '900000'" in text


def test_nothing_is_read_by_more_than_there_are_partitions_and_all_keep_their_order() -> None:
    lookup = Lookup("page", "state", (cel("event.user"),))
    text = script(replace(PLAIN, lookups=(lookup,), select=(("edits", cel("page.page_id")),)))
    assert text.count("'scan.parallelism' = '2'") == 2
    assert "SET 'table.exec.resource.default-parallelism' = '2';" in text
    assert "SET 'table.exec.source.idle-timeout' = '0 ms';" in text


def test_an_event_is_late_by_its_own_partition_before_a_window_sees_it() -> None:
    text = script(replace(PLAIN, window=Window("gap", 60_000), select=COUNT, late=5_000))
    assert "MAX(`$time`) OVER (PARTITION BY `$topic`, `$partition` ORDER BY `$arrival`" in text
    assert f"`$time` > `$newest` - {interval(5_000)}" in text
    # A millisecond later than what is late, so that nothing that counts is behind it.
    assert f"WATERMARK FOR `$time` AS `$time` - {interval(5_001)}" in text
    # Flink joins sessions that touch.
    assert f"DESCRIPTOR(`$time`), {interval(59_999)})" in text


def test_the_state_of_last_is_on_the_heap() -> None:
    window = Window("last", 60_000)
    assert "SET 'state.backend.type' = 'hashmap';" in script(replace(PLAIN, window=window, select=COUNT))
    assert "state.backend" not in script(replace(PLAIN, window=replace(window, kind="gap"), select=COUNT))


def test_a_row_without_a_required_member_is_none() -> None:
    assert "`page_id` IS NOT NULL" in script(replace(PLAIN, select=(("edits", cel("event.page_id")),)))


WINDOWS = [Window("every", 60_000, 60_000), Window("every", 60_000, 20_000), Window("gap", 60_000)]
LAST = Window("last", 60_000)
WIKI: Members = (("wiki", cel("event.wiki")),)


@pytest.mark.parametrize("window", [*WINDOWS, LAST])
def test_having_sees_the_columns_that_are_there(window: Window) -> None:
    select = (*COUNT, ("window_size", cel("max(event.page_id)")))
    having = cel('row.wiki != "a" && row.edits > 1 && row.window_size > 2')
    text = script(replace(PLAIN, by=WIKI, window=window, select=select, having=having))
    assert "(`$by_wiki` <> 'a')" in text
    assert "(`edits` > 1)" in text
    assert "(`window_size` > 2)" in text


@pytest.mark.parametrize("window", [*WINDOWS, LAST])
def test_a_figure_may_have_the_name_of_an_end(window: Window) -> None:
    text = script(replace(PLAIN, by=WIKI, window=window, select=(("end", cel("max(event.page_id)")),)))
    assert text.count(" AS `$end`") == 1
    assert "window_end` AS `end`" not in text
    assert "`$time` AS `end`" not in text


def test_rows_of_a_window_can_be_put_into_windows_again() -> None:
    times = {name: {"type": "string"} for name in ("window_start", "window_end", "window_time")}
    document = {"type": "object", "properties": {**SCHEMA["properties"], **times}}
    select = (*COUNT, ("newest", cel("max(event.window_start)")), ("window_time", cel("min(event.window_time)")))
    derivation = replace(PLAIN, by=(("end", cel("event.window_end")),), select=select)
    for window in WINDOWS:
        text = script(replace(derivation, window=window, where=cel('event.window_end != ""')), document)
        picked = text.partition("VIEW `picked` AS\n")[2].partition(";\n")[0]
        assert "*" not in picked
        assert "`window_start` AS `$window_start`" in picked
        assert "`window_end` AS `$by_end`\nFROM `timed`\nWHERE" in picked
        assert "(`window_end` <> '')" in picked
        assert "MAX(`$window_start`) AS `newest`, MIN(`$window_time`) AS `window_time`" in text
    text = script(replace(derivation, window=LAST, select=select[:2]), document)
    assert "MAX(`$window_start`) OVER `w` AS `newest`" in text


def test_names_and_texts_cannot_leave_their_place() -> None:
    odd = {"type": "object", "properties": {"a`b": {"type": "string"}, "meta": SCHEMA["properties"]["meta"]}}
    text = script(replace(PLAIN, select=(("edits", cel('event["a`b"] + "\'; DROP TABLE x;"')),)), odd)
    assert "`a``b` || '''; DROP TABLE x;'" in text


@pytest.mark.parametrize(
    ("derivation", "line", "reason"),
    [
        (PLAIN, 3, "give it a select"),
        (replace(PLAIN, dedup=Dedup((cel("event.title"),), 1_000)), 3, "give it a select"),
        (
            replace(PLAIN, select=(("a", cel("event.title.matches('a')")),)),
            7,
            "a of select: line 1, column 13: matches()",
        ),
        (
            replace(PLAIN, where=cel("event.title"), select=(("a", cel("event.title")),)),
            7,
            "where: it has to be true or false",
        ),
        (replace(PLAIN, select=(("a", cel("event.length")),)), 7, "an object"),
        (
            replace(PLAIN, by=(("a", cel("event.score")),), window=Window("gap", 9), select=COUNT),
            7,
            "a of by: a key is",
        ),
        (replace(PLAIN, window=Window("every", 10, 3), select=COUNT), 3, "multiple of every"),
        (replace(PLAIN, window=Window("gap", 10), select=COUNT, late=0), 3, "late: 0s"),
        (replace(PLAIN, window=Window("gap", 1), select=COUNT), 3, "gap of 1ms"),
        (
            replace(PLAIN, window=Window("gap", 9), select=(("a", cel("sum(event.score)")),)),
            7,
            "depends on their order",
        ),
        (
            replace(PLAIN, window=Window("gap", 9), select=COUNT, having=cel("row.edits > 'a'")),
            7,
            "having: line 1, column 11",
        ),
        (
            replace(PLAIN, window=Window("last", 9), select=(("window_time", cel("max(event.title)")),)),
            7,
            "window_time of select: Flink has",
        ),
        (replace(PLAIN, latest=(("a", cel("event.title")),), select=(("tags", cel("event.tags")),)), 3, "a list"),
    ],
)
def test_what_sql_cannot_say_is_refused_with_its_place(derivation: Derivation, line: int, reason: str) -> None:
    with pytest.raises(Unsayable) as caught:
        script(derivation)
    assert reason in str(caught.value)
    assert caught.value.line == line


def test_a_name_with_a_line_break_is_refused() -> None:
    meta = SCHEMA["properties"]["meta"]
    text = {"type": "string"}
    inside = {"a": {"type": "object", "properties": {"b;\nc": text}}, "meta": meta}
    for odd in ({"a;\nb": text, "meta": meta}, inside):
        with pytest.raises(Unsayable, match="change has a member whose name has a line break") as caught:
            script(replace(PLAIN, select=(("edits", cel("event.meta.dt")),)), {"type": "object", "properties": odd})
        assert caught.value.line == 3


def test_a_time_that_no_schema_has_is_refused() -> None:
    with pytest.raises(Unsayable, match=r"the time of change, meta\.dt, is in no schema"):
        script(replace(PLAIN, select=PAGE), {"type": "object", "properties": {"page_id": {"type": "integer"}}})
    with pytest.raises(Unsayable, match="neither a text nor a whole number"):
        script(replace(PLAIN, select=PAGE), timestamp_field="score")


def test_events_are_read_from_since_on_and_what_is_looked_into_from_its_start() -> None:
    lookup = Lookup("page", "state", (cel("event.user"),))
    derivation = replace(PLAIN, lookups=(lookup,), select=(("edits", cel("page.page_id")),))
    inputs = [Source(Stream(name, (name,)), SCHEMA) for name in ("change", "state")]
    text = Script(Stream("rows", ("rows",), derive=derivation), inputs, Broker("b"), None, None, 86_400_000).text()
    source, state = text.split("CREATE TABLE `state_0`")
    assert "'scan.startup.timestamp-millis' = '86400000'" in source
    assert "'scan.startup.mode' = 'earliest-offset'" in state


def test_it_is_explained_whether_flink_can_run_it() -> None:
    arguments = ["--config", str(CASES / "gateway.yaml"), "--schemas", str(CASES / "schemas")]
    arguments += ["--schemas", str(ROOT / "config/schemas")]
    shown = CliRunner().invoke(derive, ["explain", "wiki.visits", *arguments]).stdout
    assert "yes (gateway derive flink)" in shown
    shown = CliRunner().invoke(derive, ["explain", "wiki.once-an-hour", *arguments]).stdout
    assert "no: without select" in shown


def test_a_broker_is_told_without_its_secrets() -> None:
    given = {"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "sasl_plain_password": "secret"}
    found = broker_of("kafka://a:1,b:2", given)
    assert found == Broker("a:1,b:2", {"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN"})
    with pytest.raises(Unsayable, match="sqlite"):
        broker_of("sqlite:///events.db", {})


def run(*arguments: str) -> tuple[int, str, str]:
    schemas = ["--schemas", str(CASES / "schemas"), "--schemas", str(ROOT / "config/schemas")]
    common = ["--config", str(CASES / "gateway.yaml"), *schemas]
    result = CliRunner().invoke(derive, ["flink", *arguments, *common])
    return result.exit_code, result.stdout, result.stderr


def test_the_command_prints_the_script() -> None:
    status, output, errors = run("wiki.edits-per-minute", "--log", "kafka://broker:9092")
    assert (status, errors) == (0, "")
    assert output.startswith("-- wiki.edits-per-minute, version 1")
    assert "'properties.bootstrap.servers' = 'broker:9092'" in output


def test_the_command_tells_the_line_of_what_it_refuses() -> None:
    status, output, errors = run("wiki.once-an-hour", "--log", "kafka://broker:9092")
    assert (status, output) == (1, "")
    line = next(
        n for n, text in enumerate((CASES / "gateway.yaml").read_text().splitlines(), 1) if "once-an-hour" in text
    )
    assert f"gateway.yaml:{line + 1}: wiki.once-an-hour cannot be said in Flink SQL" in errors


def test_the_log_has_to_be_kafka() -> None:
    status, _, errors = run("wiki.edits-per-minute")
    assert status == 1
    assert "Flink reads Kafka" in errors


def test_the_manifest_for_the_operator_runs_the_runner_that_is_tested() -> None:
    manifest = yaml.safe_load((ROOT / "config/flink/kubernetes.yaml").read_text())
    assert manifest["kind"] == "FlinkDeployment"
    job = manifest["spec"]["job"]
    assert (ROOT / f"config/flink/{job['entryClass']}.java").exists()
    (mount,) = manifest["spec"]["podTemplate"]["spec"]["containers"][0]["volumeMounts"]
    assert job["args"] == [f"{mount['mountPath']}/script.sql"]
    image = (ROOT / "config/flink/Dockerfile").read_text()
    assert Path(job["jarURI"].removeprefix("local://")).name in image
    # The same Flink and connector in the image as in the tests.
    pom = (ROOT / "scripts/flink/pom.xml").read_text()
    assert "<version>2.3.0</version>" in pom
    assert "flink:2.3.0-" in image
    assert "flink-sql-connector-kafka:5.0.0-2.2" in image
    assert "<version>5.0.0-2.2</version>" in pom
