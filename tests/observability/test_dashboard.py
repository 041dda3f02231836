"""Dashboard and alerts name metrics that there are, with labels that they have; the document has all of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from gateway.observability import telemetry
from gateway.observability.document import metrics, metrics_table
from gateway.observability.figures import Figures
from tests.test_documents import OPERATING, ROOT, section, table

PLACE = ROOT / "config" / "observability"
FUNCTIONS = {"sum", "max", "min", "rate", "increase", "histogram_quantile", "absent", "max_over_time", "time"}


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((PLACE / "dashboard.json").read_text())
    return loaded


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((PLACE / "alerts.yaml").read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


QUERIES = [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
QUERIES += [rule["expr"] for rule in rules()]


def labels_of(name: str) -> set[str]:
    """The labels of a sample. Raises KeyError where there is no such metric."""
    known = metrics()
    base = re.sub("_(bucket|sum|count)$", "", name)
    if base != name and known[base][0] == "histogram":
        return {*known[base][1], *(["le"] if name.endswith("_bucket") else [])}
    return set(known[name][1])


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_asks_for_what_there_is(query: str) -> None:
    names = re.findall(r"\bgateway_\w+", query)
    assert names
    labels = set.union(*map(labels_of, names))
    grouped = [label for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(", ")]
    matched = re.findall(r"(\w+)=", re.sub(r"[^{]*({[^}]*})?", r"\1", query))
    assert labels.issuperset([*grouped, *matched])
    # Balanced, of known functions; a counter's plain value says nothing.
    assert query.count("(") == query.count(")")
    words = set(re.findall(r"([a-z_]+) ?\(", query)) - {"by", "on", "or"}
    assert words <= FUNCTIONS
    for name in names:
        if name.endswith(("_total", "_bucket")):
            assert re.search(rf"(rate|increase)\({name}({{[^}}]*}})?\[\d+[mh]\]\)", query)


def test_a_query_of_what_there_is_not_is_found() -> None:
    with pytest.raises(KeyError):
        labels_of("gateway_unknown_total")
    assert labels_of("gateway_delivery_seconds_bucket") == {"le"}
    assert labels_of("gateway_connections") == {"stream"}


def test_the_dashboard_can_be_imported() -> None:
    board = dashboard()
    assert board["title"]
    assert board["schemaVersion"] >= 36
    identifiers = [panel["id"] for panel in board["panels"]]
    assert len(set(identifiers)) == len(identifiers)
    for panel in board["panels"]:
        assert panel["title"]
        assert panel["description"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert set(rule["annotations"]) == {"summary", "description"}
    named = re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"]))
    assert all(re.search(rf"(by|on) \([^)]*\b{label}\b", rule["expr"]) for label in named)


def test_a_gateway_that_is_gone_is_told_of() -> None:
    """It tells nothing itself: that takes what Prometheus says of it, and the silence of all."""
    told = {rule["alert"]: rule for rule in rules()}
    one, every = told["GatewayIsGone"], told["GatewaysAreAllGone"]
    assert one["expr"].startswith("up == 0 and on (job, instance) ")
    assert every["expr"] == "absent(gateway_workers)"
    assert one["labels"]["severity"] == every["labels"]["severity"] == "critical"
    # A restart is shorter.
    assert {rule["for"] for rule in (one, every)} == {"1m", "2m"}
    # Every gateway tells it, whether it has workers or is one process.
    assert "gateway_workers" in telemetry.exposition().decode()


def test_the_document_has_all_metrics() -> None:
    assert table(section(OPERATING.read_text(), "Metrics")) == metrics_table().splitlines(), "run scripts/docs"


def test_every_metric_is_watched_or_known() -> None:
    # What the dashboard leaves out is told apart by hand: a new metric is looked at once.
    shown = {re.sub("_bucket$", "", name) for query in QUERIES for name in re.findall(r"\bgateway_\w+", query)}
    assert set(metrics()) - shown <= {
        "gateway_filter_exhausted_total",
        "gateway_streams",
        "gateway_ring_bytes",
        "gateway_session_bytes",
        "gateway_session_cuts_total",
        "gateway_session_waits_total",
        "gateway_token_keys",
        "gateway_topic_stuck_partitions",
        "gateway_log_throttled_seconds_total",
        "gateway_claims_total",
        "gateway_log_untraced",
        # Of `gateway rules run`, a process of its own.
        "gateway_rule_bad_records_total",
        "gateway_rule_dead_total",
        "gateway_rule_gaps_total",
        "gateway_rule_lost_total",
        "gateway_rule_requests_total",
    }
    assert Path(PLACE / "dashboard.json").stat().st_size < 100_000


def test_two_workers_that_count_alone_are_told_as_one() -> None:
    key = ("gateway_limits_alone", "gateway_limits_alone", ())
    told = telemetry.exposition_of([Figures(gauges={key: 1.0}), Figures(gauges={key: 1.0})])
    assert b"\ngateway_limits_alone 1.0\n" in told


def test_figures_of_several_are_read_as_those_of_one() -> None:
    telemetry.bad_record('a"b', 0, 1, "x", replayed=True)
    telemetry.tally.delivered(0.02, 3)
    telemetry.tally.publish()
    own = telemetry.own_figures()
    families = {
        family.name: family for family in text_string_to_metric_families(telemetry.exposition_of([own]).decode())
    }
    assert {f"{name}_total" if family.type == "counter" else name for name, family in families.items()} == set(
        metrics()
    )
    twice = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(telemetry.exposition_of([own, own]).decode())
        for sample in family.samples
    }
    for (_, name, labels), value in own.counts.items():
        assert twice[name, tuple(sorted(labels))] == 2 * value
    buckets = [sample.value for sample in families["gateway_delivery_seconds"].samples if "le" in sample.labels]
    assert buckets == sorted(buckets)


def test_gauges_are_told_as_they_say() -> None:
    def gauge(name: str, *values: float) -> bytes:
        parts = [Figures(gauges={(name, name, ()): value}) for value in values]
        return next(
            line for line in telemetry.exposition_of(parts).splitlines() if line.startswith(name.encode() + b" ")
        )

    assert gauge("gateway_streams", 1, 2, 4) == b"gateway_streams 7.0"
    assert gauge("gateway_log_up", 1, 0, 1) == b"gateway_log_up 0.0"
    assert gauge("gateway_loop_lag_seconds", 1, 3, 2) == b"gateway_loop_lag_seconds 3.0"
