"""What is said of a Redis that cannot be used, and what it has to allow."""

from __future__ import annotations

import asyncio
import re
import ssl
import uuid
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from redis import exceptions
from redis.asyncio import Redis

from gateway.claims.port import AskedClaim, ClaimsAway
from gateway.claims.redis import RedisClaims
from gateway.clock import SystemClock
from gateway.limits.port import Client, Policy
from gateway.limits.rates import Rate
from gateway.limits.redis import RedisLimiter
from gateway.outbound.scripted_redis import REASON_CHARACTERS, RedisAway, ScriptedRedis, why_away
from tests.conftest import absent
from tests.services.certificates import make_certificates
from tests.services.kafka import free_port
from tests.services.redis import RedisServer, patient, redis_program

SCRIPT = "redis.call('SET', KEYS[1], ARGV[1]) return 1"
CLIENT = Client("203.0.113.9", Policy(3, Rate(1.0, 1.0), Rate(1.0, 1.0), Rate(1.0, 1.0), Rate(1.0, 1.0)))
GUIDE = Path(__file__).parent.parent.parent / "docs/OPERATING.md"

Start = Callable[..., RedisServer]


@pytest.fixture(autouse=True)
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Why it is away is told, and not that the machine stood still."""
    patient(monkeypatch)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """(words): a Redis that is started with these."""
    started: list[RedisServer] = []
    program = redis_program() or absent("there is no redis-server")

    def start(*words: str) -> RedisServer:
        started.append(RedisServer(tmp_path, program, *words))
        started[-1].start()
        return started[-1]

    yield start
    for server in started:
        server.kill()


async def command(redis: Redis, *words: object) -> Any:
    """Redis's answer to it."""
    return await redis.execute_command(*words)  # type: ignore[no-untyped-call]


async def reason(url: str) -> str:
    """Why a script cannot be run there; "": it can."""
    told: list[tuple[bool, str]] = []
    scripts = ScriptedRedis(url, lambda available, why: told.append((available, why)))
    try:
        try:
            assert await scripts.ask(SCRIPT, ["{test}:key"], ["203.0.113.9"]) == 1
        except RedisAway:
            ((available, why),) = told
            assert not available
            assert why
            return why
        assert told == []
        return ""
    finally:
        await scripts.close()


@pytest.mark.redis
async def test_a_database_that_there_is_not(redis_server: RedisServer) -> None:
    assert await reason(f"redis://127.0.0.1:{redis_server.port}/99") == "it has no database with this number"


@pytest.mark.redis
async def test_passwords(start: Start) -> None:
    port = start("--requirepass", "right").port
    assert await reason(f"redis://:right@127.0.0.1:{port}/0") == ""
    assert await reason(f"redis://127.0.0.1:{port}/0") == "it requires a password"
    refused = await reason(f"redis://:wrong@127.0.0.1:{port}/0")
    assert refused.startswith("its user or password is refused (")
    assert "wrong" not in refused


@pytest.mark.redis
async def test_a_cluster_has_one_database_and_nodes_that_hold_the_keys_or_not(start: Start) -> None:
    port = start("--cluster-enabled", "yes", "--cluster-port", str(free_port())).port
    assert await reason(f"redis://127.0.0.1:{port}/1") == "a cluster has only database 0"
    assert "does not hold the keys" in await reason(f"redis://127.0.0.1:{port}/0")
    async with Redis(port=port) as redis:
        await command(redis, "CLUSTER ADDSLOTSRANGE", 0, 16383)
        async with asyncio.timeout(30):
            while (await command(redis, "CLUSTER INFO"))["cluster_state"] != "ok":  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    await use(f"redis://127.0.0.1:{port}/0")


@pytest.mark.redis
async def test_the_authority_of_its_certificate(start: Start, openssl: str, tmp_path: Path) -> None:
    certificates = make_certificates(openssl, tmp_path)
    port = free_port()
    files = ("--tls-cert-file", str(certificates.server), "--tls-key-file", str(certificates.server))
    start("--tls-port", str(port), "--tls-auth-clients", "no", *files)
    assert "the certificate is refused" in await reason(f"rediss://127.0.0.1:{port}/0")
    assert await reason(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certificates.authority}") == ""
    assert "ssl_ca_certs" in await reason(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={tmp_path}/nothing.pem")


@pytest.mark.redis
async def test_nobody_is_there() -> None:
    assert "nothing listens there" in await reason(f"redis://127.0.0.1:{free_port()}/0")


async def test_the_library_fails_otherwise_than_documented() -> None:
    assert "unexpected keyword" in await reason("redis://127.0.0.1:1/0?nothing=1")


@pytest.mark.redis
async def test_another_reason_is_told_too_and_the_same_once(start: Start) -> None:
    server = start()
    told: list[tuple[bool, str]] = []
    scripts = ScriptedRedis(f"redis://user:word@127.0.0.1:{server.port}/0", lambda *what: told.append(what))
    async with Redis(port=server.port) as redis:
        await command(redis, "ACL SETUSER user on >word ~* +@connection")

        async def ask() -> bool:
            try:
                return bool(await scripts.ask(SCRIPT, ["{test}:key"], ["1"]) == 1)
            except RedisAway:
                return False

        assert not await ask()
        assert not await ask()
        await command(redis, "ACL SETUSER user +script|load +evalsha")
        assert not await ask()
        await command(redis, "ACL SETUSER user +set")
        assert await ask()
        assert await ask()
    await scripts.close()
    assert [available for available, _ in told] == [False, False, True]
    assert all("a right is missing" in why for _, why in told[:2])
    assert "script|load" in told[0][1]
    # Of Redis up to 7.0, and of later ones.
    assert "executing the script" in told[1][1] or "in script: User user has no permissions" in told[1][1]
    assert "203.0.113" not in told[1][1]
    assert told[2] == (True, "")


async def use(url: str) -> None:
    """Do all that the gateway does in Redis."""
    prefix = f"gateway.{uuid.uuid4().hex}"
    other, limiter = (RedisLimiter(url, 0, SystemClock(), prefix) for _ in range(2))
    # A window of which each part holds one claim: the oldest are forgotten.
    claims = RedisClaims(url, 1.0, 3, SystemClock(), prefix)
    async with AsyncExitStack() as stack:
        for opened in (other, limiter, claims):
            stack.push_async_callback(opened.close)
        await other._report()
        assert await limiter.enter(CLIENT) is None
        assert await limiter.spend("intake", CLIENT, Rate(1.0, 1.0), 1) == 0
        # Where Redis refuses, the limiter counts by itself, until the report is taken.
        assert limiter.available
        await limiter._report()
        limiter.leave(CLIENT)
        await limiter._report()
        await limiter._redis.zrem(limiter._processes, limiter._owner)
        await limiter._redis.delete(limiter._own)
        for number in range(9):
            name = b"%d" % number
            await claims.take([AskedClaim(name, b"")])
            await claims.renew([name])
            await claims.settle([], [name])
            await claims.settle([name], [])
        assert await claims.bind(b"name", b"value") == b"value"


@pytest.mark.redis
async def test_the_rights_in_the_guide_are_enough_and_each_is_needed(redis_server: RedisServer) -> None:
    (line,) = re.findall(r"^    (ACL SETUSER .*)$", GUIDE.read_text(), re.MULTILINE)
    words = line.split()
    user = words[2]
    rights = [word for word in words if word.startswith("+")]
    assert "~{gateway}:*" in words
    (password,) = [word[1:] for word in words if word.startswith(">")]
    keys = "~{gateway.*}:*"  # A prefix for each run.
    url = f"redis://{user}:{password}@127.0.0.1:{redis_server.port}/0"
    async with Redis.from_url(redis_server.url) as redis:
        unneeded = []
        for missing in (None, *rights):
            await redis.script_flush()
            allowed = [word for word in rights if word != missing]
            await command(redis, "ACL SETUSER", user, "reset", "on", f">{password}", keys, *allowed)
            if missing is None:
                await use(url)
                continue
            try:
                await use(url)
            except (AssertionError, exceptions.NoPermissionError, RedisAway, ClaimsAway):
                continue
            unneeded.append(missing)
        await command(redis, "ACL DELUSER", user)
    assert unneeded == []


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (exceptions.NoPermissionError("no permissions to run the 'time' command"), "a right is missing (no perm"),
        (exceptions.ResponseError("The user executing the script can't run this command"), "a right is missing (The"),
        (exceptions.ResponseError("ACL failure in script: User u has no permissions"), "a right is missing (ACL"),
        (exceptions.MovedError("3999 10.0.0.7:6379"), "does not hold the keys"),
        (exceptions.ReadOnlyError("You can't write against a read only replica."), "a replica, which takes no writes"),
        (exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), "> 'maxmemory'"),
        (exceptions.TimeoutError("Timeout connecting to server"), "no answer within 0.5 s"),
        (TimeoutError(), "no answer within 0.5 s"),
        (exceptions.ConnectionError(), "ConnectionError"),
        (exceptions.ResponseError("what\r\n\x1b[2J" + "x" * 9999), r"what"),
        (ssl.SSLCertVerificationError(1, "self-signed certificate"), "the certificate is refused"),
    ],
)  # fmt: skip
def test_reasons(error: Exception, told: str) -> None:
    said = why_away(error)
    assert told in said
    assert said.isprintable()
    assert len(said) < REASON_CHARACTERS + 200
