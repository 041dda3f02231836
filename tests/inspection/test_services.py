"""What `gateway check --connect` says of each service that is away, refuses, or is something else: message by message.

Small servers stand for the services. Each speaks as much of the protocol as the mistake needs.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from gateway.archive.open import missing_libraries
from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.inspection import services
from gateway.inspection.report import Section
from gateway.inspection.services import (
    bounded,
    inspect_archive,
    inspect_keys,
    inspect_limits,
    inspect_registry,
)
from gateway.settings.table import Settings
from tests.inspection.kit import Answer, http, redis, speaking
from tests.services.kafka import free_port
from tests.services.redis import ANSWER_SECONDS, answers_within, patient

PLACE = "gateway.yaml:3: "
SECRET = "correct-horse"
SILENT: Answer = lambda _: None  # noqa: E731
CLOSING: Answer = lambda _: b""  # noqa: E731
ARCHIVED = Catalog([Stream("orders", ("orders",), archive=True)])


def told(section: Section) -> str:
    """The only line of a section, which hides the secret."""
    (line,) = section.lines
    assert section.mistakes == line.startswith("  MISTAKE  ")
    assert SECRET not in line + section.title
    return line.removeprefix("  MISTAKE  ").removeprefix(PLACE)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (redis(b"-NOAUTH Authentication required."), "its user or password is refused (Authentication required)"),
        (
            redis(b"-WRONGPASS invalid username-password pair or user is disabled."),
            "its user or password is refused (invalid username-password pair or user is disabled)",
        ),
        (redis(b"-NOPERM this user has no permissions to run the 'script|load' command"), "a right is missing ("),
        (redis(b"-LOADING Redis is loading the dataset in memory"), "Redis is loading the dataset in memory"),
        (redis(b"-ERR \x1b[31m\xe2\x80\xae"), "\\x1b[31m\\u202e"),
        (http(400, b""), "what answers there is no Redis (Protocol Error: b'HTTP/1.1 400 X')"),
        (lambda _: b"SSH-2.0-OpenSSH_9.2\r\n", "what answers there is no Redis (Protocol Error: b'SSH-2.0-OpenSSH_9.2"),
        (CLOSING, "it closes the connection; if it wants TLS, write rediss://"),
        (SILENT, "no answer within 0.5 s"),
    ],
)
async def test_a_redis_that_cannot_be_used(answer: Answer, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answers_within(monkeypatch, 0.05 if answer is SILENT else ANSWER_SECONDS)
    async with speaking(answer) as port:
        section = await inspect_limits(Settings(limits=f"redis://:{SECRET}@127.0.0.1:{port}/0"), PLACE)
    assert section.title == f"Redis redis://127.0.0.1:{port}/0"
    assert told(section).startswith(f"Redis cannot be used: {said}")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://127.0.0.1:{port}", "nothing listens there (connection refused)"),
        ("redis://name.invalid:6379", "the name is not known ("),
        ("unix:///absent/redis.sock", "there is no such socket"),
    ],
)
async def test_a_redis_that_is_not_there(url: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    patient(monkeypatch)
    section = await inspect_limits(Settings(limits=url.format(port=free_port())), PLACE)
    assert told(section).startswith(f"Redis cannot be used: {said}")


async def test_a_redis_without_tls_and_one_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    patient(monkeypatch)
    async with speaking(redis(b"+OK")) as port:
        secured = await inspect_limits(Settings(limits=f"rediss://127.0.0.1:{port}"), PLACE)
        plain = await inspect_limits(Settings(limits=f"redis://127.0.0.1:{port}"), PLACE)
    assert told(secured) == "Redis cannot be used: no TLS is spoken there"
    assert told(plain) == "  ok       it answers, and runs scripts"
    assert (await inspect_limits(Settings(), PLACE)).lines == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (http(401, b""), "the schema registry answers 401: it asks for other credentials"),
        (http(403, b"{}"), "the schema registry answers 403: it asks for other credentials"),
        (http(404, b"<html>"), "the schema registry answers 404, and not as a registry does: see the url"),
        (http(404, b'{"error_code": 40401, "message": "Subject not found"}'), "  ok       it answers"),
        (http(200, b"<html></html>"), "what stands at the url answers without JSON, and so is no schema registry"),
        (http(302, b""), "the schema registry answers 302"),
        (http(503, b"{}"), "the schema registry answers 503"),
        (CLOSING, "the schema registry cannot be reached: Server disconnected without sending a response."),
        (SILENT, "the schema registry does not answer within 0.1 s"),
    ],
)
async def test_a_schema_registry(answer: Answer, said: str) -> None:
    async with speaking(answer) as port:
        document = {"url": f"http://127.0.0.1:{port}", "username": "me", "password": SECRET, "timeout": 0.1}
        # A machine that is busy with other tests is no slow registry.
        document["timeout"] = 0.1 if answer is SILENT else 60
        assert told(await inspect_registry(Settings(schema_registry=document), PLACE)) == said


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:{port}", "nothing listens there (connection refused)"),
        ("http://localhost:{port}", "nothing listens there (connection refused)"),
        ("http://name.invalid", "the name is not known ("),
    ],
)
async def test_a_registry_and_keys_that_are_not_there(url: str, said: str) -> None:
    address = url.format(port=free_port())
    registry = told(await inspect_registry(Settings(schema_registry={"url": address}), PLACE))
    assert registry.startswith(f"the schema registry cannot be reached: {said}")
    keys = told(await inspect_keys(Settings(jwks=address), PLACE))
    assert keys.startswith(f"the keys (jwks) cannot be fetched: {said}")


async def test_a_registry_and_keys_without_tls() -> None:
    async with speaking(http(200, b"{}")) as port:
        registry = await inspect_registry(Settings(schema_registry={"url": f"https://127.0.0.1:{port}"}), PLACE)
        keys = await inspect_keys(Settings(jwks=f"https://127.0.0.1:{port}"), PLACE)
    assert told(registry) == "the schema registry cannot be reached: no TLS is spoken there"
    assert told(keys) == "the keys (jwks) cannot be fetched: no TLS is spoken there"


NO_KEY = "the keys (jwks): no key in it verifies RS256 or PS256 or ES256 or EdDSA"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (http(200, b"<html>"), "the keys (jwks): it is not JSON"),
        (http(200, b"[]"), 'the keys (jwks): it is not a key set (RFC 7517): it takes {"keys": […]}'),
        (http(200, b'{"keys": []}'), NO_KEY),
        (
            http(200, b'{"keys": [{"kty": "oct", "k": "Y29ycmVjdC1ob3JzZQ"}]}'),
            f"{NO_KEY}; key 0 is not used: it is a private key; replace it, and publish only public keys",
        ),
        (http(401, b""), "the URL of the keys (jwks) answers 401"),
        (http(302, b""), "the URL of the keys (jwks) answers 302"),
        (http(200, b" " * 300_000), "the URL of the keys (jwks) answers with more than 262,144 bytes"),
        (SILENT, "the keys (jwks) did not arrive within 0.1 s"),
    ],
)
async def test_keys_of_tokens(answer: Answer, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.access.fetch.FETCH_SECONDS", 0.1 if answer is SILENT else 60.0)
    async with speaking(answer) as port:
        section = await inspect_keys(Settings(jwks=f"http://127.0.0.1:{port}/keys?key={SECRET}"), PLACE)
    assert section.title == f"Keys of tokens http://127.0.0.1:{port}/keys"
    assert told(section) == said


async def test_keys_that_can_be_used() -> None:
    key = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "one"}
    document = json.dumps({"keys": [key, {"kty": "oct", "k": "eA"}]}).encode()
    async with speaking(http(200, document)) as port:
        section = await inspect_keys(Settings(jwks=f"http://127.0.0.1:{port}/keys"), PLACE)
    assert section.lines == [
        "  ok       1 key for RS256, PS256, ES256, EdDSA",
        "  warning  key 1 is not used: it is a private key; replace it, and publish only public keys",
    ]


def refusing(status: int, code: bytes) -> Answer:
    """An object store that answers everything with an error of S3's."""
    return http(status, b'<?xml version="1.0"?><Error><Code>%b</Code><Message>m</Message></Error>' % code)


@pytest.mark.skipif(bool(missing_libraries()), reason="the libraries of archives are not installed")
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (refusing(403, b"AccessDenied"), "the credentials may not read there; the archive needs to list, read, write"),
        (refusing(403, b"SignatureDoesNotMatch"), "the store refuses the secret key. "),
        (refusing(403, b"InvalidAccessKeyId"), "the store does not know the access key. "),
        (refusing(404, b"NoSuchBucket"), "there is no such bucket. "),
        (http(200, b"<html>"), "what answers there is no object store. "),
        (None, "the store cannot be reached: see archive_options. "),
    ],
)
async def test_an_archive_in_an_object_store(answer: Answer | None, said: str) -> None:
    async with speaking(answer or SILENT) as port:
        words = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port if answer else free_port()}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "eu-central-1",
            "max_retries": "0",
        }
        line = told(await inspect_archive(Settings(archive="s3://b/p", archive_options=words), ARCHIVED, PLACE))
    assert line.startswith(f"orders: {said}")
    assert len(line) < services.STORE_CHARACTERS + 200


@pytest.mark.skipif(bool(missing_libraries()), reason="the libraries of archives are not installed")
async def test_a_store_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "ARCHIVE_SECONDS", 0.2)
    async with speaking(SILENT) as port:
        words = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ALLOW_HTTP": "true", "AWS_REGION": "x"}
        words |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": SECRET, "max_retries": "0", "timeout": "1s"}
        section = await inspect_archive(Settings(archive="s3://b/p", archive_options=words), ARCHIVED, PLACE)
    assert told(section) == "the archive does not answer within 0.2 s"


@pytest.mark.skipif(bool(missing_libraries()), reason="the libraries of archives are not installed")
async def test_a_directory_of_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def said(place: Path) -> str:
        return told(await inspect_archive(Settings(archive=str(place)), ARCHIVED, PLACE))

    assert await said(tmp_path / "new" / "archive") == "  ok       orders: no table yet"
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").touch()
    assert await said(tmp_path / "file" / "archive") == f"archive: {tmp_path}/file is no directory"
    # The tests may run as root, who may write everywhere.
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    assert await said(tmp_path / "archive") == f"archive: {tmp_path} cannot be written by this user"


async def test_an_inspection_that_fails_or_hangs_is_one_line() -> None:
    async def fails() -> Section:
        raise RuntimeError("\x1b[31mnobody expects this")

    async def hangs() -> Section:
        await asyncio.Event().wait()
        return Section("")

    failed = await bounded(fails, "Redis", 5)
    assert failed.lines == ["  MISTAKE  it could not be inspected (RuntimeError: \\x1b[31mnobody expects this)"]
    assert (await bounded(hangs, "Redis", 0.01)).lines == ["  MISTAKE  no answer within 0.01 s"]
