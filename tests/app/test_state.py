"""What the operators' page reads of the metrics."""

from __future__ import annotations

from gateway.app.state import figures

TEXT = r"""# HELP gateway_log_up Whether the log answers every worker
# TYPE gateway_log_up gauge
gateway_log_up 1.0
gateway_connections{stream="wiki.change"} 3.0
gateway_connections{stream="a\"b"} 1.0
gateway_bad_records_total{topic="x"} 2.0
gateway_bad_records_created{topic="x"} 1.7e+09
gateway_topic_stuck_partitions{reason="r",topic="x"} 1.0
gateway_events_sent_total 9.0
"""


def test_the_figures_that_are_shown_are_read() -> None:
    found = figures(TEXT)
    assert found["gateway_log_up"] == {"": 1.0}
    assert found["gateway_connections"] == {"wiki.change": 3.0, r"a\"b": 1.0}
    assert found["gateway_bad_records_total"] == {"x": 2.0}
    assert set(found) == {"gateway_log_up", "gateway_connections", "gateway_bad_records_total"}
