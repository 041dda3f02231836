"""The figures of a mirror."""

from __future__ import annotations

from gateway.catalog.stream import Stream
from gateway.client import Query
from gateway.commands.demo import mirrored_stream
from gateway.mirror.meter import Meter
from gateway.mirror.mirror import default_name
from gateway.mirror.record import SourcePosition
from gateway.mirror.source import subscriber
from tests.kit.clock import HandClock


def test_the_rate_is_that_of_the_last_seconds() -> None:
    clock = HandClock()
    meter = Meter(clock)
    for _ in range(1000):
        clock.advance(0.01)
        meter.stored(20)
    assert 1900 < meter.rate < 2100
    clock.advance(2.5)
    assert 900 < meter.rate < 1100
    clock.advance(100)
    assert meter.rate == 0
    assert meter.events == 20_000


def test_what_is_told() -> None:
    clock = HandClock()
    meter = Meter(clock)
    assert meter.told() == "0 events, 0 events/s"
    meter.state = "waiting"
    meter.note(clock.now() - 7_200_000, clock.now())
    meter.stored(1234)
    clock.advance(1)
    assert meter.told() == "1,234 events, 1,234 events/s, 2 h behind, waiting"
    meter.state = "open"
    meter.note(None, clock.now())
    assert "2 h behind" in meter.told()
    meter.note(clock.now() + 5000, clock.now())
    assert meter.lag == 0


def test_the_name_of_a_position() -> None:
    stream = Stream("s", ("s",))
    name = default_name("https://user:secret@example.org:8443/v2/stream/a?since=10m", stream)
    assert name == "mirror s https://example.org:8443/v2/stream/a"


def test_a_mirror_may_begin_at_the_beginning() -> None:
    subscription = subscriber("http://example.org/v2/stream/a", 0)("", lambda state: None)
    assert subscription.query == Query(since=0, canary=True)


def test_a_stream_is_called_as_its_source() -> None:
    for url, name in {
        "https://example.org/v2/stream/recentchange?since=1": "recentchange",
        "http://example.org/v2/stream/a,b%20c/": "a-b-c",
        "http://example.org": "mirror",
        "http://example.org/v2/stream/*": "mirror",
    }.items():
        assert mirrored_stream(url).name == name
        assert mirrored_stream(url).topics == (name,)


def test_a_position_is_read_as_it_was_written() -> None:
    for position in (SourcePosition(), SourcePosition('[{"topic":"ä"}]', 7)):
        assert SourcePosition.decode(position.encode()) == position
    assert SourcePosition.decode(None) == SourcePosition()
