"""What several modules here take as a fixture."""

from __future__ import annotations

import pytest

from gateway.eventlog.memory.log import MemoryLog


@pytest.fixture
def log() -> MemoryLog:
    log = MemoryLog()
    log.create_topic("alpha")
    log.create_topic("beta")
    return log
