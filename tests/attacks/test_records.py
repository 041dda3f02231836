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
    siege = await assault(ATTACKS[attack], "records", attack, awaited="records")
    assert siege.counted["records"]


async def test_a_flood_of_bad_records(assault: Assault) -> None:
    name = f"{BAD:,} bad records at once, again and again"
    siege = await assault(name, "records", "flood", count=BAD, awaited="records")
    assert siege.counted["records"]
    lines = siege.gateway.errors.count("\n")
    assert lines < 200, f"{lines} lines in the log"
