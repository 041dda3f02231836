"""A log in memory with values of several forms, and a registry beside it."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.catalog.stream import Stream
from gateway.clock import SystemClock
from gateway.eventlog.memory.log import MemoryLog
from gateway.forms.log import ConvertingLog
from gateway.forms.options import RegistryOptions
from gateway.forms.registry import Registry
from gateway.forms.request import RegistryRequests
from tests.services.registry import SmallRegistry


class Converting(ConvertingLog):
    """Over a log in memory, whose topics a test fills."""

    def __init__(self, inner: MemoryLog, registry: SmallRegistry, streams: Iterable[Stream]) -> None:
        asked = Registry(RegistryRequests(RegistryOptions(registry.url)), SystemClock())
        super().__init__(inner, streams, asked)
        self.create_topic, self.append_now = inner.create_topic, inner.append_now
