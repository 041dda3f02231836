"""Events as a program gets them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gateway.client import Event, EventUnreadable


def test_an_event_knows_its_place_and_is_parsed_once() -> None:
    other = '{"topic":"u","partition":0,"offset":5}'
    first, second = (f'[{{"topic":"t","partition":2,"offset":{n},"timestamp":9{n}}},{other}]' for n in (6, 7))
    event = Event(b'{"a":1}', second, first)
    assert (event.topic, event.partition, event.offset, event.timestamp) == ("t", 2, 7, 97)
    assert event.name == "message"
    unplaced = Event(b"", "17")
    assert (unplaced.topic, unplaced.partition, unplaced.offset, unplaced.timestamp) == (None, None, None, None)
    assert event.json == {"a": 1}
    assert event.json is event.json


@pytest.mark.parametrize("data", [b"", b"[1]", b"NaN", b"\xff", b'{"a":'])
def test_what_is_no_event_says_so(data: bytes) -> None:
    with pytest.raises(EventUnreadable, match="the event at 17 is no JSON object") as raised:
        _ = Event(data, "17").json
    assert raised.value.id == "17"


@pytest.mark.long
def test_the_client_is_light() -> None:
    program = "import sys, gateway.client; print(*{name.partition('.')[0] for name in sys.modules}, *sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout.decode().split()
    )
    assert "gateway.client.stream" in loaded
    heavy = {"uvicorn", "starlette", "aiokafka", "cel_expr_python", "redis", "jsonschema_rs", "prometheus_client"}
    heavy |= {
        "sqlglot",
        "yaml",
        "cramjam",
        "jwt",
        "sqlite3",
        "gateway.server",
        "gateway.app",
        "gateway.filters.compile",
    }
    assert not loaded & heavy
