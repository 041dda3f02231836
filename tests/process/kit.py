"""What tests of processes share."""

from __future__ import annotations

from typing import Any

from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.definitions import Definitions
from gateway.process.processing import Declared
from gateway.schemas.repository import SchemaRepository
from tests.kit.waiting import PATIENCE

__all__ = ["GAUGE", "KEY", "PATIENCE", "declared", "definitions", "no_rows"]

KEY = ("gateway_events_sent", "gateway_events_sent_total", ())
GAUGE = ("gateway_streams", "gateway_streams", ())


def definitions(*names: str) -> Definitions:
    return Definitions(Catalog(Stream(name, (name,)) for name in names), SchemaRepository([]))


def declared(*names: str) -> Declared:
    return Declared(definitions(*names), ())


async def no_rows(order: str, limit: int) -> tuple[list[Any], int]:
    return [], 0
