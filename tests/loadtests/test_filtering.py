"""The measurement of filters runs, and its clients get what their filters match."""

from __future__ import annotations

import pytest

from loadtests.client import MeasurementError
from loadtests.filtering import Nowhere, check, events, expressions, measure


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.parametrize(("kind", "count"), [("none", 1), ("indexed", 200), ("plain", 40)])
async def test_a_short_run_delivers_what_matches(kind: str, count: int) -> None:
    cost = await measure(kind, count, rate=200, seconds=0.2)
    assert cost.deliveries >= (60 if kind == "none" else 10)
    assert cost.percent > 0


def test_a_client_with_an_event_too_few_is_told() -> None:
    [values, texts] = events(10), expressions("none", 1)
    with pytest.raises(MeasurementError, match="0 of 10 events for None"):
        check(texts, [Nowhere()], values)
