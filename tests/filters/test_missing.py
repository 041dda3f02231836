"""What a filter is told where a library of the gateway's is not there: a mistake in its text, not a failure."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.errors import InvalidExpression
from gateway.filters import pattern, times
from gateway.filters.compile import compile_filter


@pytest.fixture
def no_zones(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def missing(package: str) -> None:
        raise ModuleNotFoundError(f"No module named {package!r}")

    monkeypatch.setattr(times, "files", missing)
    times.zone_names.cache_clear()
    yield
    times.zone_names.cache_clear()


def test_no_regular_expressions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pattern, "re2", None)
    with pytest.raises(InvalidExpression, match="google-re2 is not installed"):
        compile_filter("event.a.matches('^never seen before$')")
    assert compile_filter("event.a == 'a'")


def test_no_zones(no_zones: None) -> None:
    with pytest.raises(InvalidExpression, match="tzdata is not installed"):
        compile_filter("timestamp(event.t).getHours('Europe/Berlin') == 1")
    assert compile_filter("timestamp(event.t).getHours('+02:00') == 1")
