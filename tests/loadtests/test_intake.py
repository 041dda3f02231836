"""The measurement of the intake measures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loadtests.intake import EMPTY_ID, Requests, cost, parse, templates

ROOT = Path(__file__).parents[2]


def test_each_event_of_each_request_has_an_id_of_its_own() -> None:
    requests = Requests(templates("wiki/change", None), 3)
    bodies = [requests.next().partition(b"\r\n\r\n")[2] for _ in range(4)]
    events = [event for body in bodies for event in json.loads(body)]
    assert requests.events == len(events) == 12
    assert len({event["meta"]["id"] for event in events}) == 12
    assert EMPTY_ID.decode() not in str(events)
    assert {event["meta"]["stream"] for event in events} == {"load"}


def test_what_is_shown() -> None:
    found = cost(10, 1000, 2.0, 0.5, [0.001] * 98 + [0.5] * 2)
    assert (found.events_per_second, found.us_per_event, found.busy_percent) == (500.0, 500.0, 25.0)
    assert (found.p50_ms, found.p99_ms) == (1.0, 500.0)
    assert parse([]).batch == [1, 100]


@pytest.mark.end_to_end
def test_a_short_run_over_the_embedded_log() -> None:
    command = [sys.executable, "-m", "loadtests.intake", "--log", "sqlite", "--seconds", "0.3", "--rate", "20"]
    command += ["--batch", "1", "--batch", "10", "--connections", "4"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    assert [one["batch"] for one in found] == [1, 10, 1]
    assert all(one["events"] > 0 and one["p99_ms"] > 0 for one in found)
