"""Records that nobody expects, between those of the plain client and elsewhere."""

from __future__ import annotations

import pytest

from tests.attacks.conftest import Assault

pytestmark = pytest.mark.end_to_end

BAD = 5000
ATTACKS = {
    "strange": "records that are no events, and strange ones",
    "oversized": "records of 4 MB, of 100,000 members, of blanks",
    "times": "records of the year 58,875, before 1970, and of any other time",
    "keys": "keys and headers of megabytes, and by the thousand",
}


@pytest.mark.parametrize("attack", ATTACKS)
async def test_records(assault: Assault, attack: str) -> None:
    siege = await assault(ATTACKS[attack], "records", attack)
    assert siege.counted["records"] > 10


async def test_a_flood_of_bad_records(assault: Assault) -> None:
    siege = await assault(f"{BAD:,} bad records at once, again and again", "records", "flood", count=BAD)
    assert siege.counted["records"] >= BAD
    lines = siege.gateway.errors.count("\n")
    assert lines < 200, f"{lines} lines in the log"
