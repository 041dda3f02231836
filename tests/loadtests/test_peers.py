"""What is pure of the measurements beside other servers. The servers themselves are not run here."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import string
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from loadtests.feeds import SERVERS
from loadtests.machine import MeasurementError
from loadtests.peers import servers
from loadtests.peers.publish import Encode, Publisher, mercure, nchan, token
from loadtests.peers.scenarios import GATEWAY, SCENARIOS, among
from loadtests.peers.servers import PEERS, require

ANSWER = b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\nok"


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def test_a_token_is_signed_with_the_key_and_may_publish_everywhere() -> None:
    head, claims, signature = token("secret").split(".")
    assert json.loads(decoded(head)) == {"alg": "HS256", "typ": "JWT"}
    assert json.loads(decoded(claims)) == {"mercure": {"publish": ["*"]}}
    assert decoded(signature) == hmac.digest(b"secret", f"{head}.{claims}".encode(), hashlib.sha256)


def test_an_event_is_the_body_of_a_request_to_nchan() -> None:
    head, _, body = nchan(b'{"seq":0}').partition(b"\r\n\r\n")
    assert head.splitlines()[0] == b"POST /publish HTTP/1.1"
    assert b"Content-Length: 9" in head.splitlines()
    assert body == b'{"seq":0}'


def test_an_event_is_a_field_of_a_form_to_mercure() -> None:
    event = '{"seq":0,"text":"a&b=c+d é"}'
    head, _, body = mercure("secret")(event.encode()).partition(b"\r\n\r\n")
    assert f"Authorization: Bearer {token('secret')}".encode() in head.splitlines()
    assert f"Content-Length: {len(body)}".encode() in head.splitlines()
    assert parse_qs(body.decode()) == {"topic": ["load"], "data": [event]}


@asynccontextmanager
async def publishing(statuses: list[int], encode: Encode = nchan) -> AsyncIterator[tuple[Publisher, list[bytes]]]:
    """A publisher, and the bodies that arrive at a server that answers with these statuses, then hangs up."""
    bodies: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for status in statuses:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = int(head.partition("Content-Length: ")[2].partition("\r\n")[0])
            bodies.append(await reader.readexactly(length))
            answer = ANSWER % status
            writer.write(answer[:20])
            await writer.drain()
            writer.write(answer[20:])
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    _, publisher = await asyncio.get_running_loop().create_connection(lambda: Publisher(encode), "127.0.0.1", port)
    try:
        yield publisher, bodies
    finally:
        publisher.close()
        server.close()
        await server.wait_closed()


async def test_events_are_published_in_order_and_all_answers_are_awaited() -> None:
    events = [b"%d" % number for number in range(5)]
    async with publishing([201] * 6) as (publisher, bodies):
        await publisher.append(events)
        assert bodies == events
        await publisher.append([b"last"])
        assert bodies[5:] == [b"last"]


async def test_an_event_that_is_refused_ends_the_measurement() -> None:
    async with publishing([201, 403, 201]) as (publisher, _):
        with pytest.raises(MeasurementError, match="403"):
            await publisher.append([b"a", b"b", b"c"])


async def test_a_lost_connection_ends_the_measurement() -> None:
    async with publishing([201]) as (publisher, _):
        with pytest.raises(MeasurementError, match="connection is lost"):
            await publisher.append([b"a", b"b"])


def test_every_side_can_be_served_and_every_figure_compares_sides_that_are_there() -> None:
    for scenario in SCENARIOS:
        sides = {side.name for side in scenario.sides}
        assert {side.server for side in scenario.sides} <= {*SERVERS, *PEERS}
        assert {figure.side for figure in scenario.figures} <= sides
        assert {figure.over for figure in scenario.figures} <= {*sides, None}


def test_every_peer_is_held_against_a_target_of_cpu_and_of_memory() -> None:
    limits = {
        (figure.value, side.server): figure.limit
        for scenario in SCENARIOS
        for figure in scenario.figures
        for side in scenario.sides
        if side.name == figure.over and figure.side == GATEWAY.name and not figure.value.startswith("p")
    }
    assert limits == {
        ("cpu_us_per_delivery", "kafka-sse"): 1 / 20,
        ("cpu_us_per_delivery", "starlette"): 1 / 5,
        ("cpu_us_per_delivery", "nchan"): 1,
        ("cpu_us_per_delivery", "mercure"): 1,
        ("kb_per_connection", "kafka-sse"): 1,
        ("kb_per_connection", "starlette"): 1,
        ("kb_per_connection", "nchan"): 1.5,
        ("kb_per_connection", "mercure"): 1,
    }


def test_peers_that_were_not_asked_for_are_left_out() -> None:
    (small,) = (scenario for scenario in SCENARIOS if scenario.name == "small")
    alone = among(small, ["kafka-sse"])
    assert alone is not None
    assert [side.name for side in alone.sides] == ["floor", "gateway", "kafka-sse"]
    assert {figure.over for figure in alone.figures} == {"kafka-sse", None}
    assert {figure.side for figure in alone.figures} == {"gateway", "kafka-sse"}
    (calm,) = (scenario for scenario in SCENARIOS if scenario.name == "calm")
    assert among(calm, ["kafka-sse"]) is None


def test_nchan_gets_its_port_and_its_module() -> None:
    text = string.Template((servers.HERE / "nchan.conf").read_text()).substitute(port=8123, module="/modules/nchan.so")
    assert "listen 127.0.0.1:8123;" in text
    assert "load_module /modules/nchan.so;" in text
    assert "$" not in text


def test_a_peer_that_is_not_there_is_named_with_what_gets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(servers.INSTALLED, "nchan", tmp_path / "nchan")
    monkeypatch.setitem(servers.INSTALLED, "mercure", tmp_path)
    with pytest.raises(MeasurementError, match=r"not there: nchan\. Please run: loadtests/peers/setup nchan$"):
        require(["nchan", "mercure"])


def test_setup_refuses_a_peer_that_it_does_not_know() -> None:
    run = subprocess.run(["bash", str(servers.HERE / "setup"), "nginx"], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr == "Unknown peer: nginx\n"
