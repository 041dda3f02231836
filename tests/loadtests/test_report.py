"""What runs say together, and what is written of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from loadtests import report
from loadtests.crowd import Heard
from loadtests.machine import MeasurementError, loopback_only
from loadtests.measurement import Figure, Measurement, distribution, medians, percentiles
from loadtests.peers.scenarios import SCENARIOS as BESIDE_PEERS
from loadtests.runs import check, check_compressed
from loadtests.scenario import Scenario
from loadtests.scenarios import SCENARIOS


def run(side: str, repeat: int, **values: float) -> Measurement:
    return Measurement("one", side, repeat, values)


RUNS = [
    run("floor", 0, cpu=1.0), run("gateway", 0, cpu=2.0),
    run("floor", 1, cpu=10.0), run("gateway", 1, cpu=11.0),
    run("floor", 2, cpu=4.0), run("gateway", 2, cpu=12.0),
]  # fmt: skip


def test_a_ratio_is_the_median_of_those_within_a_repeat() -> None:
    assert Figure("", "cpu", over="floor").of(RUNS) == 2.0
    assert Figure("", "cpu", over="floor", how="difference").of(RUNS) == 1.0
    assert Figure("", "cpu").of(RUNS) == 11.0
    assert medians(RUNS[::2]) == {"cpu": 4.0}


def test_a_run_with_an_error_is_not_counted() -> None:
    void = run("gateway", 0, cpu=100.0)
    void.error = "lost"
    assert Figure("", "cpu").of([void]) is None
    assert Figure("", "cpu", over="floor").of([void, run("floor", 0, cpu=1.0)]) is None
    assert not void.valid


@pytest.mark.parametrize(
    ("figure", "value", "held"),
    [
        (Figure("", "x", limit=2), 2.0, True),
        (Figure("", "x", limit=2), 2.1, False),
        (Figure("", "x", limit=2, least=True), 2.1, True),
        (Figure("", "x", limit=2, least=True), 1.9, False),
        (Figure("", "x", limit=2), None, None),
        (Figure("", "x"), 1.0, None),
    ],
)
def test_a_target_is_held_or_not(figure: Figure, value: float | None, held: bool | None) -> None:
    assert figure.held(value) is held


def test_percentiles_are_in_milliseconds() -> None:
    delays = [number * 1_000_000 for number in range(1000)]
    assert percentiles(delays) == {"p50_ms": 500, "p99_ms": 990, "p999_ms": 999}
    assert distribution(delays)[::50] == [0, 499, 999]
    assert percentiles([]) == {}


def heard(events: list[int], gaps: int = 0, repeated: int = 0, counted: bool = True) -> Heard:
    count = len(events)
    return Heard(events, [gaps] * count, [repeated] * count, [1000] * count, [counted] * count)


def test_complete_streams_pass() -> None:
    check(heard([3, 3]), [3, 3])
    check_compressed(Heard(received=[1000, 1100], counted=[True, False]))


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (heard([3, 2]), "client 1: 2 of 3 events"),
        (heard([3, 4]), "client 1: 4 of 3 events"),
        (heard([3, 3], gaps=1), "client 0: 1 missing"),
        (heard([3, 3], repeated=2), "client 0: 0 missing, 2 repeated"),
        (heard([3, 3], counted=False), "no client was checked"),
    ],
)
def test_what_was_lost_or_repeated_makes_a_run_void(found: Heard, message: str) -> None:
    with pytest.raises(MeasurementError, match=message):
        check(found, [3, 3])


def test_what_came_too_late_is_told_from_what_was_lost() -> None:
    late = heard([3, 2])
    late.in_time = False
    with pytest.raises(MeasurementError, match="not finished in time"):
        check(late, [3, 3])


def test_a_compressed_stream_that_ends_early_makes_a_run_void() -> None:
    with pytest.raises(MeasurementError, match="client 1: 500 bytes"):
        check_compressed(Heard(received=[1000, 500], counted=[True, False]))


@pytest.mark.parametrize("hosts", ["192.0.2.1:9092", "127.0.0.1:9092,192.0.2.1:9092", "127.0.0.1", "localhost"])
def test_nothing_but_this_machine_is_talked_to(hosts: str) -> None:
    with pytest.raises(MeasurementError):
        loopback_only(hosts)


def test_this_machine_is_talked_to() -> None:
    assert loopback_only("127.0.0.1:9092,localhost:9093") == "127.0.0.1:9092,localhost:9093"


def measured(name: str) -> tuple[Scenario, list[Measurement]]:
    scenario = next(scenario for scenario in SCENARIOS if scenario.name == name)
    values = {"cpu_us_per_delivery": 3.0, "system_us_per_delivery": 2.0, "bytes_per_delivery": 1300.0, "p99_ms": 1.0}
    values |= {"pace_percent": 99.0, "deliveries": 600_000.0}
    return scenario, [Measurement(name, side.name, 0, dict(values), delays_ms=[1, 2]) for side in scenario.sides]


def test_a_report_says_what_was_measured_and_what_is_not_valid(tmp_path: Path) -> None:
    scenario, runs = measured("hundred")
    runs[1].doubts.append("saturated")
    report.write(tmp_path / "plots", tmp_path / "RESULTS.md", [scenario], runs)
    text = (tmp_path / "RESULTS.md").read_text()
    assert "held (not valid)" in text
    assert "Not valid: gateway, repeat 1: saturated" in text
    assert "The kernel's part of the server's CPU: 67% (gateway)." in text
    assert re.search(r"\| 100 events/s +\| +hundred \| +3 \| +60 \| +1,300 \| +104 \| +21 \|", text)
    for name in ("cpu.svg", "latency.svg"):
        assert ElementTree.parse(tmp_path / "plots" / name).getroot().tag.endswith("svg")
        assert f"](plots/{name})" in text


def test_a_report_has_the_profile_the_peers_and_nothing_left_to_fill_in(tmp_path: Path) -> None:
    scenario, runs = measured("hundred")
    runs[1].profile = {"python": {"asyncio write": 61.0, "rare": 0.4}, "kernel": {"user": 30.0, "tcp_sendmsg": 12.0}}
    report.write(tmp_path, tmp_path / "RESULTS.md", [scenario], runs)
    assert "Not measured." in (tmp_path / "RESULTS.md").read_text()
    held = next(one for one in BESIDE_PEERS if one.name == "held")
    values = {"cpu_us_per_delivery": 30.0, "system_us_per_delivery": 20.0, "deliveries": 5000.0}
    beside = [
        Measurement("held", side.name, 0, {**values, "pace_percent": 50 if side.name == "nchan" else 99})
        for side in held.sides
    ]
    report.write(tmp_path, tmp_path / "RESULTS.md", [held], beside, name=report.PEERS)
    text = (tmp_path / "RESULTS.md").read_text()
    assert "Profile (gateway): `asyncio write` 61%." in text
    assert "In the kernel, of all: `tcp_sendmsg` 12%." in text
    assert re.search(r"\| kafka-sse +\| +100 clients × 60 events/s +\| +30 \| +10 \|", text)
    assert not re.search(r"\| nchan +\| +100 clients", text), "it did not keep its pace"
    assert "](./peers-cpu.svg)" in text
    assert "`python -m loadtests.peers --scenario held`" in text
    assert "$" not in text


def test_a_report_keeps_other_scenarios(tmp_path: Path) -> None:
    for name in ("hundred", "rare", "hundred"):
        scenario, runs = measured(name)
        report.write(tmp_path, tmp_path / "RESULTS.md", [scenario], runs)
    document = json.loads((tmp_path / "results.json").read_text())
    assert sorted(each["name"] for each in document["scenarios"]) == ["hundred", "rare"]
    assert len(report.load(document)) == 4
    assert (tmp_path / "RESULTS.md").read_text().count("python -m loadtests.bench rare") == 1


def test_a_report_of_another_kind_of_run_is_replaced(tmp_path: Path) -> None:
    for name, quick in (("hundred", True), ("rare", False)):
        scenario, runs = measured(name)
        report.write(tmp_path, tmp_path / "RESULTS.md", [scenario], runs, quick)
    document = json.loads((tmp_path / "results.json").read_text())
    assert [each["name"] for each in document["scenarios"]] == ["rare"]


def test_scenarios_are_told_apart() -> None:
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)
    for scenario in SCENARIOS:
        sides = [side.name for side in scenario.sides]
        assert len(set(sides)) == len(sides)
        for figure in scenario.figures:
            assert figure.side in sides
            assert figure.over is None or figure.over in sides
        assert scenario.limited_by
