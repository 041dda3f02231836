"""Gaps as a program gets them."""

from __future__ import annotations

from gateway.client.frame import StreamEvent
from gateway.client.gap import read_gap


def test_gaps() -> None:
    told = b'{"topic":"t","partition":3,"requested":5,"resumed":9,"reason":"expired"}'
    gap = read_gap(StreamEvent("gap", told, "x"))
    assert str(gap) == "gap: t/3 goes on at 9; 5 was asked for (expired)"
    assert (gap.topic, gap.partition, gap.requested, gap.resumed, gap.reason, gap.id) == ("t", 3, 5, 9, "expired", "x")
    assert str(read_gap(StreamEvent("gap", b"\x1b[31m{}", "x"))) == "gap: \\x1b[31m{}"
    assert str(read_gap(StreamEvent("gap", b"[]", "x"))) == "gap: []"
    assert read_gap(StreamEvent("gap", b'{"topic":"t","partition":true}', "x")).partition is None
