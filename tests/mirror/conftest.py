"""The log that mirrors write to."""

from __future__ import annotations

import pytest

from tests.mirror.log import Log


@pytest.fixture
def log() -> Log:
    return Log()
