"""Topics of streams that are not in the log."""

from __future__ import annotations

import logging

import pytest

from gateway.app.absent import TOLD, AbsentTopics
from gateway.app.composition import written_streams
from gateway.catalog.stream import Stream
from gateway.clock import SystemClock
from gateway.eventlog.inspection import Inspectable
from gateway.eventlog.memory.log import MemoryLog
from gateway.hub.hub import Hub
from gateway.hub.options import HubOptions
from gateway.settings.table import Settings
from tests.inspection.kit import Listing

SETTINGS = Settings()
STREAMS = (
    Stream("a", ("order.events", "orders.taken")),
    Stream("b", ("zzz",), schema_title="t"),
    Stream("c", ("qqq",)),
)


async def watched(log: MemoryLog, *streams: Stream, settings: Settings = SETTINGS) -> tuple[Hub, AbsentTopics]:
    by_name = {stream.name: stream for stream in streams}
    hub = Hub(
        log, dict.fromkeys((topic for stream in streams for topic in stream.topics), False), SystemClock(), HubOptions()
    )
    await hub.discovery.look()
    return hub, AbsentTopics(hub, log, lambda: by_name, lambda: written_streams(settings, by_name))


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    caplog.clear()
    return found


async def test_each_is_told_once_with_close_names(caplog: pytest.LogCaptureFixture) -> None:
    log = Listing("orders.events", "orders.taken", "__order.events")
    hub, absent = await watched(log, *STREAMS)
    await absent.look()
    expected = [
        "stream a: there is no topic order.events; did you mean orders.events or orders.taken?",
        "stream b: there is no topic zzz; it is created when the first event is stored",
        "stream c: there is no topic qqq",
    ]
    assert lines(caplog) == expected
    assert list(absent.told) == ["order.events", "zzz", "qqq"]
    await absent.look()
    assert not lines(caplog)
    log.create_topic("zzz")
    await hub.discovery.look()
    await absent.look()
    assert list(absent.told.values()) == [expected[0], expected[2]]
    log.delete_topic("zzz")
    await hub.discovery.look()
    await absent.look()
    assert lines(caplog) == [expected[1]]


async def test_a_gateway_that_takes_no_events_creates_no_topic() -> None:
    _, absent = await watched(Listing(), STREAMS[1], settings=Settings(intake="off"))
    await absent.look()
    assert absent.told == {"zzz": "stream b: there is no topic zzz"}


async def test_of_several_processes_one_logs_them(caplog: pytest.LogCaptureFixture) -> None:
    _, absent = await watched(Listing(), *STREAMS)
    absent.warns = False
    await absent.look()
    assert not lines(caplog)
    assert len(absent.told) == 4


async def test_very_many_are_logged_in_part(caplog: pytest.LogCaptureFixture) -> None:
    streams = [Stream(f"s{number}", (f"t{number}",)) for number in range(TOLD + 2)]
    _, absent = await watched(Listing(), *streams)
    await absent.look()
    found = lines(caplog)
    assert len(found) == TOLD + 1
    assert found[-1] == "2 more topics are not there; /readyz on the admin port lists them"


async def test_a_log_that_does_not_list_its_topics_is_told_without_close_names() -> None:
    log = Listing("orders.events")
    _, absent = await watched(log, STREAMS[0])
    log.told.clear()
    await absent.look()
    assert absent.told["order.events"] == "stream a: there is no topic order.events"


async def test_the_embedded_log_is_not_asked() -> None:
    log = MemoryLog()
    assert not isinstance(log, Inspectable)
    _, absent = await watched(log, *STREAMS)
    await absent.run()
    assert not absent.told
