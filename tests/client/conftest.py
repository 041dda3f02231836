"""Both twins of `subscribe`."""

from __future__ import annotations

import pytest

from tests.client.streams import Read, read_blocking, read_in_loop


@pytest.fixture(params=[read_in_loop, read_blocking])
def read(request: pytest.FixtureRequest) -> Read:
    """Both twins: gives each event to a function, whose exception ends it."""
    chosen: Read = request.param
    return chosen
