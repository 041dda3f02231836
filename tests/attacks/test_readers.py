"""Readers that mean no good, at a gateway that serves others."""

from __future__ import annotations

from typing import Any

import pytest

from tests.attacks.conftest import Assault
from tests.attacks.readers import ROUND
from tests.effort import lasting

pytestmark = pytest.mark.end_to_end

EVERYBODY: dict[str, Any] = {"exempt_networks": ["127.0.0.0/8"]}
FREEZE_SECONDS = lasting(6, 120)
"""How long there is another stream whose partition begins."""
ATTACKS = {
    "silent": (100, "read nothing, or a byte a second"),
    "hasty": (100, "come and go at once"),
    "distinct": (lasting(100, 300), "replay with fields and filters of their own"),
    "resumed": (60, "come back with odd ids"),
    "seen": (40, "have seen millions of records of a millisecond"),
}


@pytest.mark.parametrize("attack", ATTACKS)
async def test_readers(assault: Assault, attack: str) -> None:
    count, does = ATTACKS[attack]
    siege = await assault(f"{count} readers that {does}", "readers", attack, EVERYBODY, count=count, awaited="200")
    assert siege.counted["200"]


async def test_replays_while_partitions_get_their_first_records(assault: Assault) -> None:
    names = [f"early{number}" for number in range(int(FREEZE_SECONDS / ROUND))]
    siege = await assault(
        "14 replays while a partition gets its first record",
        "readers",
        "first",
        {**EVERYBODY, "ring_bytes": 100_000, "ring_fill": 0.1},
        {name: {} for name in names},
        FREEZE_SECONDS,
        topics=dict.fromkeys(names, 2),
        count=len(names),
        awaited="200",
    )
    assert siege.counted["200"]
