"""The measurement starts, counts right and loses nothing. What it measures is no matter here, and no time is held."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from loadtests.machine import free_port
from loadtests.scenario import Scenario
from loadtests.scenarios import SCENARIOS
from loadtests.server import Server, get
from tests.effort import SOAK_VARIABLE
from tests.loadtests.compiler import needs_compiler

LIKE_OTHERS = {"hundredthousand", "million", "rare", "tenthousand", "busystorm"}
"""Scenarios that differ from another in how many there are of something alone, of which a small run leaves nothing."""
TRIED = [one for one in SCENARIOS if one.name not in LIKE_OTHERS or SOAK_VARIABLE in os.environ]
ROOT = Path(__file__).parent.parent.parent
WAIT = 600


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, with its output."""
    return subprocess.run(
        [sys.executable, "-m", "loadtests.bench", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=WAIT,
        check=False,
    )


@pytest.mark.end_to_end
@pytest.mark.kafka
@needs_compiler
@pytest.mark.parametrize("scenario", TRIED, ids=[scenario.name for scenario in TRIED])
def test_a_scenario_runs_and_loses_nothing(kafka: str, tmp_path: Path, scenario: Scenario) -> None:
    name, quick = scenario.name, scenario.quick()
    result = bench(name, "--quick", "--kafka", kafka, "--output", str(tmp_path))
    measurements = json.loads((tmp_path / "results.json").read_text())["measurements"]
    assert {(one["scenario"], one["side"]) for one in measurements} == {(name, side.name) for side in scenario.sides}
    assert [one for one in measurements if one["error"] is not None] == []
    for one in measurements:
        if quick.kind != "idle" and not any(side.filters for side in quick.sides):
            assert one["values"]["deliveries"] == one["values"]["clients"] * quick.total
    # Not valid, since the machine has other things to do, is no fault.
    assert result.returncode == (0 if all(one["valid"] for one in measurements) else 1), result.stderr
    text = (tmp_path / "RESULTS.md").read_text()
    assert f"## {scenario.title}\n" in text


@pytest.mark.end_to_end
@pytest.mark.kafka
@needs_compiler
def test_a_report_of_several_scenarios_has_each_of_them_and_all_plots(kafka: str, tmp_path: Path) -> None:
    names = ("hundred", "idle")
    bench(*names, "--quick", "--kafka", kafka, "--output", str(tmp_path))
    text = (tmp_path / "RESULTS.md").read_text()
    for scenario in TRIED:
        assert (f"## {scenario.title}\n" in text) == (scenario.name in names)
    for plot in ("cpu.svg", "latency.svg", "memory.svg"):
        assert f"](./{plot})" in text
        assert (tmp_path / plot).read_text().startswith("<svg")


@pytest.mark.long
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "unknown: nonsense"),
        (["hundred", "--kafka", "192.0.2.1:9092"], "192.0.2.1 is not this machine"),
    ],
)
def test_mistakes_of_the_command_line_are_said(arguments: list[str], message: str) -> None:
    result = bench(*arguments)
    assert result.returncode != 0
    assert message in result.stderr


@pytest.mark.end_to_end
@needs_compiler
def test_what_takes_too_long_is_given_up() -> None:
    result = bench("hundred", "--minutes", "0.05")
    assert result.returncode == 1
    assert "taking too long" in result.stderr


@pytest.mark.long
def test_locust_finds_its_people() -> None:
    command = [sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py", "--list"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=WAIT, check=False)
    for person in ("Browser", "Bot", "Replayer", "SlowReader", "Storm", "Producer"):
        assert person in result.stdout.split()
    assert result.returncode == 0


class Intake(BaseHTTPRequestHandler):
    """Takes what is put in; every third request is refused."""

    bodies: ClassVar[list[Any]] = []
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(201 if len(self.bodies) % 3 else 400)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        """Nothing."""


@pytest.fixture
def intake() -> Iterator[int]:
    """Where events may be put in."""
    Intake.bodies.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Intake) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def locust(port: int, *options: str) -> list[str]:
    """The command, with producers for this port."""
    command = [sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py", "Producer", "--users", "5"]
    return [*command, "--spawn-rate", "5", "--stream", "some.stream", "--host", f"http://127.0.0.1:{port}", *options]


@pytest.mark.end_to_end
def test_producers_put_events_in_and_tell_of_those_that_are_refused(intake: int) -> None:
    # Longer than a busy machine keeps them waiting: each sends something every other second.
    command = locust(intake, "--headless", "--json", "--run-time", "15s")
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=WAIT, check=False)
    [entry] = json.loads(result.stdout)
    assert (entry["name"], entry["method"]) == ("Producer", "post")
    assert 0 < entry["num_failures"] < entry["num_requests"]
    events = [event for body in Intake.bodies for event in (body if isinstance(body, list) else [body])]
    assert {event["meta"]["stream"] for event in events} == {"some.stream"}
    assert all(event["$schema"].startswith("/") for event in events)


@pytest.mark.end_to_end
def test_locusts_page_shows_what_its_people_do(intake: int, tmp_path: Path) -> None:
    port = free_port()
    command = locust(intake, "--web-host", "127.0.0.1", "--web-port", str(port), "--autostart")
    with Server("Locust", command, port, tmp_path) as server:
        server.wait_until_ready("/")
        assert "<title>Locust" in get(port, "/")[1]
        requests: dict[str, int] = {}
        deadline = time.monotonic() + WAIT
        while not requests.get("Producer") and time.monotonic() < deadline:
            answer = json.loads(get(port, "/stats/requests")[1])
            requests = {entry["name"]: entry["num_requests"] for entry in answer["stats"]}
            time.sleep(0.1)
    assert requests["Producer"] > 0
