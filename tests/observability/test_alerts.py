"""The alerts as Prometheus has them: its promtool checks the rules, and evaluates each over series that we give."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway.observability import telemetry
from tests.conftest import absent
from tests.observability.test_dashboard import PLACE, QUERIES, rules
from tests.services.programs import ROOT, run

ONE, TWO, ELSE = ('{job="events", instance="one"}', '{job="events", instance="two"}', '{job="else", instance="three"}')
RATE = {"$__rate_interval": "5m"}
"""What Grafana puts in the place of its own variables."""


@dataclass(frozen=True, slots=True)
class Case:
    """When an alert is told, of series that have a sample each minute."""

    series: dict[str, str]
    silent: tuple[int, ...]
    """Minutes at which it is not told."""
    tells: int
    labels: dict[str, str] = field(default_factory=dict)


def counted(name: str, labels: str = ONE, after: int = 5, step: int = 1) -> dict[str, str]:
    """A counter that stands, and then grows for the rest of the hour."""
    return {f"{name}{labels}": f"0x{after} {step}+{step}x55"}


CASES: dict[str, tuple[Case, ...]] = {
    "GatewayIsGone": (
        Case(
            {
                f"up{ONE}": "1x9 0x30",
                f"up{TWO}": "1x40",
                f"up{ELSE}": "0x40",
                f"gateway_workers{ONE}": "2x9 stale",
                f"gateway_workers{TWO}": "1x40",
            },
            (9, 10),
            12,
            {"job": "events", "instance": "one"},
        ),
    ),
    "GatewaysAreAllGone": (
        Case({f"gateway_workers{ONE}": "1x9 stale", f"gateway_workers{TWO}": "1x5 stale"}, (7, 10, 11), 13),
        Case({f"up{ELSE}": "1x40"}, (1,), 5),
    ),
    "GatewayLogDoesNotAnswer": (Case({f"gateway_log_up{ONE}": "1x5 0x30", f"gateway_log_up{TWO}": "1x40"}, (5, 6), 8),),
    "GatewayPartitionsStuck": (Case({f"gateway_stuck_partitions{ONE}": "0x5 2x30"}, (5, 7), 9),),
    "GatewayBatchesPassedOver": (
        Case(counted("gateway_batches_passed_over_total", '{instance="one", topic="t"}'), (5,), 8, {"topic": "t"}),
        Case({'gateway_batches_passed_over_total{instance="one", topic="t"}': "_x5 1x99"}, (4, 70), 8, {"topic": "t"}),
    ),
    "GatewayBehindTheLog": (
        Case(
            {
                'gateway_lag_records{instance="one", stream="s"}': "0x5 10001x30",
                'gateway_lag_records{instance="one", stream="quick"}': "10000x40",
            },
            (5, 10),
            12,
            {"stream": "s"},
        ),
    ),
    "GatewayDeliveryIsSlow": (
        Case(
            {
                'gateway_delivery_seconds_bucket{instance="one", le="5"}': "0+98x60",
                'gateway_delivery_seconds_bucket{instance="one", le="10"}': "0+100x60",
                'gateway_delivery_seconds_bucket{instance="one", le="+Inf"}': "0+100x60",
            },
            (5, 9),
            15,
        ),
    ),
    "GatewayEventLoopIsLate": (Case({f"gateway_loop_lag_seconds{ONE}": "0.5x5 0.6x30"}, (5, 10), 12),),
    "GatewayStreamsFail": (Case(counted("gateway_stream_failures_total"), (5,), 8),),
    "GatewayEventsExpireUnread": (
        Case(
            counted("gateway_gaps_total", '{instance="one", reason="expired"}', step=6), (5,), 12, {"reason": "expired"}
        ),
    ),
    "GatewayLimitsNotShared": (Case({f"gateway_limits_alone{ONE}": "0x5 1x30"}, (5, 7), 9),),
    "GatewayClaimsNotShared": (Case({f"gateway_claims_alone{ONE}": "0x5 1x30"}, (5, 7), 9),),
    "GatewayIntakeFails": (
        Case(
            {
                'gateway_intake_events_total{instance="one", outcome="failed"}': "0x5 1+1x55",
                'gateway_intake_events_total{instance="one", outcome="stored"}': "0+9x60",
            },
            (5, 10),
            13,
        ),
    ),
    "GatewayRulesGiveUp": (
        Case(counted("gateway_rule_dead_total", '{instance="one", rule="purge"}'), (5, 9), 14, {"rule": "purge"}),
    ),
    "GatewayRulesLoseEvents": (
        Case(counted("gateway_rule_lost_total", '{instance="one", rule="purge"}'), (5,), 8, {"rule": "purge"}),
        Case(counted("gateway_rule_gaps_total", '{instance="one", rule="purge"}'), (5,), 8, {"rule": "purge"}),
    ),
    "GatewayRulesBehind": (
        Case(
            {
                'gateway_rule_lag_seconds{instance="one", rule="r"}': "0x5 901x30",
                'gateway_rule_lag_seconds{instance="one", rule="quick"}': "900x40",
            },
            (5, 20),
            22,
            {"rule": "r"},
        ),
    ),
    "GatewayDerivedStreamHalts": (
        Case(counted("gateway_derive_halts_total", '{instance="one", stream="s"}'), (5, 9), 14, {"stream": "s"}),
    ),
    "GatewayDerivedStreamBehind": (
        Case(
            {
                'gateway_derive_lag_seconds{instance="one", stream="s"}': "0x5 61x30",
                'gateway_derive_lag_seconds{instance="one", stream="quick"}': "60x40",
            },
            (5, 10),
            12,
            {"stream": "s"},
        ),
    ),
    "GatewayDerivedStreamIsHeldBack": (
        Case(
            {
                'gateway_derive_held_back_seconds{instance="one", stream="s"}': "0x5 901x30",
                'gateway_derive_held_back_seconds{instance="one", stream="quick"}': "900x40",
            },
            (5, 20),
            22,
            {"stream": "s"},
        ),
    ),
    "GatewayDerivedStreamMissesLate": (
        Case(
            {
                'gateway_derive_late_total{instance="one", stream="s"}': "0x5 10+10x55",
                'gateway_derive_late_total{instance="one", stream="few"}': "0x5 1+1x55",
            },
            (5, 20),
            40,
            {"stream": "s"},
        ),
    ),
    "GatewayDerivedStreamRefuses": (
        Case(counted("gateway_derive_errors_total", '{instance="one", stream="s"}'), (5, 9), 14, {"stream": "s"}),
    ),
    "GatewayViewHalts": (
        Case(counted("gateway_view_halts_total", '{instance="one", view="v"}'), (5, 9), 14, {"view": "v"}),
    ),
    "GatewayViewBehind": (
        Case(
            {
                'gateway_view_lag_seconds{instance="one", view="v"}': "0x5 61x30",
                'gateway_view_lag_seconds{instance="one", view="quick"}': "60x40",
            },
            (5, 10),
            12,
            {"view": "v"},
        ),
    ),
    "GatewayViewLosesRecords": (
        Case(counted("gateway_view_lost_total", '{instance="one", view="v"}'), (5,), 8, {"view": "v"}),
    ),
    "GatewayArchiveBehind": (
        Case(
            {
                'gateway_archive_complete_timestamp_seconds{instance="one", stream="s"}': "0+60x10 600x200",
                'gateway_archive_complete_timestamp_seconds{instance="two", stream="s"}': "0x200",
                'gateway_archive_complete_timestamp_seconds{instance="one", stream="other"}': "0+60x200",
            },
            (100, 130),
            131,
            {"stream": "s"},
        ),
    ),
    "GatewayArchiveHasAHole": (
        Case(counted("gateway_archive_lost_total", '{instance="one", stream="s"}'), (5,), 8, {"stream": "s"}),
    ),
    "GatewayRefusesForItsKeys": (
        Case(counted("gateway_token_key_failures_total"), (5, 7), 15, {"job": "events", "instance": "one"}),
    ),
    "GatewayWorkersEnd": (
        Case(
            counted("gateway_workers_ended_total", '{instance="one", cause="stalled"}'), (5,), 8, {"cause": "stalled"}
        ),
    ),
    "GatewayLogIsDropped": (Case(counted("gateway_log_lines_dropped_total"), (5,), 8),),
}


@pytest.fixture(scope="session")
def promtool() -> str:
    """Prometheus' program for rules and metrics."""
    return shutil.which("promtool", path=f"{ROOT / '.cache' / 'promtool'}:/usr/bin:/usr/local/bin") or absent(
        "there is no promtool"
    )


def case_of(rule: dict[str, Any], case: Case) -> dict[str, Any]:
    """As promtool reads it."""
    annotations = {
        name: re.sub(r"{{ \$labels\.(\w+) }}", lambda found: case.labels[found[1]], text)
        for name, text in rule["annotations"].items()
    }
    told = [{"exp_labels": {**rule["labels"], **case.labels}, "exp_annotations": annotations}]
    asked = [{"alertname": rule["alert"], "eval_time": f"{minute}m", "exp_alerts": []} for minute in case.silent]
    asked.append({"alertname": rule["alert"], "eval_time": f"{case.tells}m", "exp_alerts": told})
    series = [{"series": name, "values": values} for name, values in case.series.items()]
    return {"interval": "1m", "input_series": series, "alert_rule_test": asked}


@pytest.mark.long
def test_each_alert_is_told_when_it_should_be(promtool: str, tmp_path: Path) -> None:
    told = {rule["alert"]: rule for rule in rules()}
    assert list(told) == list(CASES)
    cases = [case_of(told[name], case) for name, several in CASES.items() for case in several]
    shutil.copy(PLACE / "alerts.yaml", tmp_path)
    document = {"rule_files": ["alerts.yaml"], "evaluation_interval": "1m", "tests": cases}
    (tmp_path / "cases.yaml").write_text(json.dumps(document))
    assert "SUCCESS" in run([promtool, "test", "rules", "cases.yaml"], tmp_path)


@pytest.mark.long
def test_what_an_alert_counts_is_told_before_there_is_any() -> None:
    """For Prometheus a series that begins with 1 has not increased."""
    program = "from gateway.observability import telemetry; print(telemetry.exposition().decode())"
    fresh = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    for rule in rules():
        for name in re.findall(r"increase\((\w+)", rule["expr"]):
            assert re.search(rf"^{name}({{.*}})? 0", fresh, re.MULTILINE) or f"unless {name} offset" in rule["expr"], (
                name
            )


def test_rules_and_queries_are_read(promtool: str, tmp_path: Path) -> None:
    """Those of the dashboard as if they were rules."""
    said = run([promtool, "check", "rules", PLACE / "alerts.yaml"], tmp_path)
    assert f"SUCCESS: {len(CASES)} rules found" in said
    expressions = [re.sub(r"\$__\w+", lambda found: RATE[found[0]], query) for query in QUERIES]
    recorded = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(expressions)]
    (tmp_path / "queries.yaml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": recorded}]}))
    assert f"SUCCESS: {len(recorded)} rules found" in run([promtool, "check", "rules", "queries.yaml"], tmp_path)


def test_what_is_no_rule_is_refused(promtool: str, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text('groups: [{name: a, rules: [{alert: A, expr: "up == "}]}]')
    with pytest.raises(AssertionError, match="parse error"):
        run([promtool, "check", "rules", "bad.yaml"], tmp_path)


def test_metrics_are_as_prometheus_advises(promtool: str, tmp_path: Path) -> None:
    """Of names, units, help and types: it says nothing, where it would of each."""
    telemetry.bad_record('a"b', 0, 1, "x", replayed=True)
    telemetry.tally.delivered(0.02, 3)
    telemetry.tally.publish()
    exposed = telemetry.exposition()
    assert b"gateway_workers" in exposed
    assert run([promtool, "check", "metrics"], tmp_path, given=exposed.decode()) == ""
    with pytest.raises(AssertionError, match="no help text"):
        run([promtool, "check", "metrics"], tmp_path, given="# TYPE a_total counter\na_total 1\n")
