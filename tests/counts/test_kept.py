"""What is remembered of counts."""

from __future__ import annotations

from typing import Any, cast

from gateway.clock import SystemClock
from gateway.counts.counting import Counting, Key
from gateway.counts.options import CountOptions
from gateway.counts.tally import Tally
from gateway.model.record import TopicPartition


def test_the_texts_of_a_query_count_as_memory() -> None:
    """Strangers may ask with a thousand long filters, each of them about one block."""
    capacity = 100_000
    unused = cast(Any, None)
    counting = Counting(unused, unused, SystemClock(), CountOptions(counts_cache_bytes=capacity))
    keys = [Key(TopicPartition("t", 0), 0, "", f"{n} == {'1' * 4_000}", ("a" * 4_000,), 1_000) for n in range(100)]
    for key in keys:
        counting.keep(key, Tally())
    kept = [key for key in keys if counting.kept(key) is not None]
    assert 1 <= len(kept) <= capacity // 8_000
    assert kept[-1] is keys[-1]
