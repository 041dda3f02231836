"""Requests that are made to cost, at a gateway that serves others."""

from __future__ import annotations

from typing import Any

import pytest

from tests.attacks.conftest import Assault

pytestmark = pytest.mark.end_to_end

EVERYBODY: dict[str, Any] = {"exempt_networks": ["127.0.0.0/8"]}
HUNDRED: dict[str, Any] = {
    f"s{number}": {"topics": [f"s{number}"], "schema_title": "wiki/change"} for number in range(100)
}


async def test_heads_and_bodies_that_never_end(assault: Assault) -> None:
    siege = await assault("200 heads and bodies, a byte at a time", "requests", "slow", count=200, awaited="408")
    assert siege.counted["408"]


async def test_what_is_no_request(assault: Assault) -> None:
    siege = await assault("garbage, pipelines, half-closed, smuggled", "requests", "broken", awaited="400")
    assert siege.counted["400"]


async def test_ids_of_thousands_of_entries(assault: Assault) -> None:
    siege = await assault("ids of 64 KB", "requests", "positions", EVERYBODY, awaited="400")
    assert siege.counted["400"]


@pytest.mark.parametrize("limits", [True, False])
async def test_requests_that_are_refused(assault: Assault, limits: bool) -> None:
    name = "refused requests in a loop, " + ("with limits" if limits else "without limits")
    siege = await assault(name, "requests", "refused", {} if limits else EVERYBODY, awaited="400")
    assert siege.counted["400"]


async def test_globs_over_a_hundred_streams(assault: Assault) -> None:
    siege = await assault("globs over 100 streams", "requests", "patterns", EVERYBODY, streams=HUNDRED, awaited="200")
    assert siege.counted["200"]


async def test_catalogue_and_documents(assault: Assault) -> None:
    siege = await assault(
        "catalogue and documents of 100 streams", "requests", "catalogue", streams=HUNDRED, awaited="200"
    )
    assert siege.counted["200"]


async def test_connections_that_come_and_go(assault: Assault) -> None:
    await assault("200 connections that come and go", "requests", "connections", count=200)


@pytest.mark.parametrize("limits", [True, False])
async def test_bodies(assault: Assault, limits: bool) -> None:
    name = "bodies of 4 MB, bombs, deep ones, " + ("with limits" if limits else "without limits")
    siege = await assault(name, "requests", "intake", {} if limits else EVERYBODY, count=12, awaited="400 413")
    assert siege.counted["400"] + siege.counted["413"]


async def test_keys_of_requests(assault: Assault) -> None:
    siege = await assault("a new Idempotency-Key each", "requests", "repeated", EVERYBODY, awaited="201")
    assert siege.counted["201"]
