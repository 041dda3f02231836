"""Filters that are made to cost time, at a gateway that serves others."""

from __future__ import annotations

from typing import Any

import pytest

from tests.attacks.conftest import Assault
from tests.attacks.dear import FILTERS

pytestmark = pytest.mark.end_to_end

EVERYBODY: dict[str, Any] = {"exempt_networks": ["127.0.0.0/8"]}
"""No limits: only what a filter may cost bounds it."""
STREAMS = 200


@pytest.mark.parametrize("kind", FILTERS)
async def test_the_dearest_filters(assault: Assault, kind: str) -> None:
    name = f"{STREAMS} streams of the dearest filters: {kind}"
    siege = await assault(name, "filters", "dear", EVERYBODY, kind=kind, count=STREAMS, awaited="200 400")
    assert siege.counted["200"] + siege.counted["400"]


async def test_the_dearest_filters_that_limits_allow(assault: Assault) -> None:
    await assault("the same of 50 addresses with limits", "filters", "dear", kind="loops", count=150, addresses=50)


async def test_filters_that_run_out_of_steps(assault: Assault) -> None:
    await assault("filters that use up their steps at each event", "filters", "spent", EVERYBODY, count=50)


@pytest.mark.parametrize("limits", [True, False])
async def test_a_storm_of_expressions(assault: Assault, limits: bool) -> None:
    name = "a storm of new expressions, " + ("with limits" if limits else "without limits")
    siege = await assault(name, "filters", "storm", {} if limits else EVERYBODY, count=20, awaited="400")
    assert siege.counted["400"]
