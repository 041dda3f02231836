"""A gateway for the tests of one module, and streams of their own for those that write."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.routes.kit import SPARE, Site, running

_COUNTER = itertools.count()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def site() -> AsyncIterator[Site]:
    """A gateway that runs over a log in memory."""
    async with running() as site:
        yield site


@pytest.fixture
def name() -> str:
    """A stream that no other test writes to; its topic is called the same."""
    return f"spare-{next(_COUNTER) % SPARE}"
