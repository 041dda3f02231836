"""Fuzzers against a gateway that serves others: what is held against it is that it goes on.

In the usual run each tries the same inputs; in the soak those of another seed, which the table tells.
"""

from __future__ import annotations

import os
import random
from typing import Any

import pytest

from tests.attacks.conftest import Assault
from tests.attacks.siege import SECONDS
from tests.effort import SOAK_VARIABLE

pytestmark = pytest.mark.end_to_end

EVERYBODY: dict[str, Any] = {"exempt_networks": ["127.0.0.0/8"]}
SEED = random.randrange(1 << 32) if SOAK_VARIABLE in os.environ else 7
TRIED = {"filters": "200", "requests": "inputs", "records": "records"}


@pytest.mark.parametrize("module", TRIED)
async def test_fuzz(assault: Assault, module: str) -> None:
    name, tried = f"random {module}, seed {SEED}", TRIED[module]
    siege = await assault(name, module, "fuzz", EVERYBODY, seconds=2 * SECONDS, seed=SEED, awaited=tried)
    assert siege.counted[tried]
