"""`gateway erase` beside an archive: which records it takes, and what goes on afterwards."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.eventlog.sqlite.log import SqliteLog
from gateway.model.record import NewRecord
from tests.archive.test_commands import fill, gateway, place, values

__all__ = ["place"]


async def add(place: Path, *records: NewRecord) -> None:
    log = SqliteLog(place / "events.db")
    await log.append("visits", records)
    await log.close()


def test_an_empty_key_is_a_key_and_none_is_not(place: Path) -> None:
    asyncio.run(fill(place))
    asyncio.run(add(place, NewRecord(b'{"who": "nobody"}'), NewRecord(b'{"who": "empty"}', b"")))
    assert gateway(place, "erase", "visits", "--where", "").exit_code == 1
    assert None not in asyncio.run(values(place))
    erased = gateway(place, "erase", "visits", "--key", "")
    assert "log: 1 record emptied" in erased.output, erased.output
    left = asyncio.run(values(place))
    assert (b'{"who": "nobody"}' in left, b'{"who": "empty"}' in left) == (True, False)


def test_archiving_goes_on_where_its_last_records_are_erased(place: Path) -> None:
    """The archive keeps the stamps of these."""
    asyncio.run(fill(place))
    assert gateway(place, "archive", "run", "--once").exit_code == 0
    erased = gateway(place, "erase", "visits", "--where", "event.count >= 88")
    assert "log: 2 records emptied" in erased.output, erased.output
    asyncio.run(add(place, *(NewRecord(b'{"count": 100}', partition=number) for number in range(2))))
    archived = gateway(place, "archive", "run", "--once")
    assert archived.exit_code == 0, archived.output
    checked = gateway(place, "archive", "check")
    assert "visits: 90 records" in checked.output, checked.output


def test_a_topic_that_is_not_there_yet_keeps_nothing_from_being_erased(place: Path) -> None:
    path = place / "gateway.yaml"
    path.write_text(path.read_text().replace("archive: true,", "archive: true, topics: [absent, visits],"))
    asyncio.run(fill(place))
    archived = gateway(place, "archive", "run", "visits", "--once")
    assert archived.exit_code == 0, archived.output
    erased = gateway(place, "erase", "visits", "--key", "Bob")
    assert erased.exit_code == 0, erased.output
    assert "log: 30 records emptied" in erased.output
    assert "archive: 30 records erased" in erased.output
