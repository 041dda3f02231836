"""`/v2/schemas`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import yaml

from gateway.app.composition import open_schemas
from gateway.errors import ConfigurationError
from gateway.settings.table import Settings
from gateway.tail.schemas import Schemas
from tests.routes.kit import Site, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

LASTING = "public, max-age=31536000, immutable"
SHORT = "public, max-age=60"
FILES = {
    "page/common/1.0.0.yaml": "{$id: /page/common/1.0.0, type: object, required: [meta]}",
    "page/edit/1.0.0.yaml": "{$id: /page/edit/1.0.0, description: Each edit, allOf: [{$ref: /page/common/1.0.0}]}",
    "page/edit/1.10.0.yaml": "{$id: /page/edit/1.10.0, description: 'Each édit', type: object}",
    "page/edit/current.yaml": "{$id: /page/edit/2.0.0, description: Being written, type: object}",
    "secret/1.0.0.yaml": "{$id: /secret/1.0.0, maximum: 1180591620717411303424}",
}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A gateway with some schemas."""
    folder = tmp_path_factory.mktemp("schemas")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "page" / "passwords.yaml").write_text("a: b", encoding="utf-8")
    async with running(schema_repositories=(str(folder),)) as site:
        yield site


async def test_the_index(site: Site) -> None:
    response = await site.get("/v2/schemas")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == SHORT
    assert response.headers["access-control-allow-origin"] == "*"
    base = f"http://127.0.0.1:{site.port}/v2/schemas"
    edit = {
        "title": "page/edit",
        "description": "Being written",
        "versions": ["1.0.0", "1.10.0", "2.0.0"],
        "latest": f"{base}/page/edit/latest",
    }
    assert response.json()[1] == edit
    assert [one["title"] for one in response.json()] == ["page/common", "page/edit", "secret"]
    assert (await site.get("/v2/schemas/page/edit")).json() == edit


async def test_a_released_version(site: Site) -> None:
    response = await site.get("/v2/schemas/page/edit/1.0.0")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/schema+json"
    assert response.headers["cache-control"] == LASTING
    assert response.headers["access-control-allow-origin"] == "*"
    # What it refers to stands in its place.
    dereferenced = [{"type": "object", "required": ["meta"]}]
    assert response.json() == {"$id": "/page/edit/1.0.0", "description": "Each edit", "allOf": dereferenced}
    again = await site.get("/v2/schemas/page/edit/1.0.0.json")
    assert (again.content, again.headers["etag"]) == (response.content, response.headers["etag"])


async def test_numbers_of_more_than_64_bits(site: Site) -> None:
    for form in ("", ".json", ".yaml"):
        assert "1180591620717411303424" in (await site.get(f"/v2/schemas/secret/1.0.0{form}")).text


async def test_in_yaml(site: Site) -> None:
    response = await site.get("/v2/schemas/page/edit/1.10.0.yaml")
    assert response.headers["content-type"] == "application/yaml"
    assert response.headers["cache-control"] == LASTING
    assert yaml.safe_load(response.content) == (await site.get("/v2/schemas/page/edit/1.10.0")).json()
    assert "é" in response.text


@pytest.mark.parametrize("version", ["latest", "latest.json", "latest.yaml", "2.0.0"])
async def test_what_may_change_is_kept_for_a_short_time(site: Site, version: str) -> None:
    response = await site.get(f"/v2/schemas/page/edit/{version}")
    assert response.status_code == 200
    assert response.headers["cache-control"] == SHORT
    assert yaml.safe_load(response.content)["$id"] == "/page/edit/2.0.0"


async def test_a_released_version_that_refers_to_what_moves_is_kept_for_a_short_time(tmp_path: Path) -> None:
    for name, text in {
        "b/1.0.0.yaml": "{type: object}",
        "a/1.0.0.yaml": "{allOf: [{$ref: /b/1.0.0}]}",
        "a/1.1.0.yaml": "{allOf: [{$ref: /b/latest}]}",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    async with running(schema_repositories=(str(tmp_path),)) as site:
        kept = [(await site.get(f"/v2/schemas/a/{version}")).headers for version in ("1.0.0", "1.1.0")]
        assert [headers["cache-control"] for headers in kept] == [LASTING, SHORT]
        assert (await site.get("/v2/schemas/a/01.0.0")).status_code == 404


async def test_unchanged_ones_are_not_sent_again(site: Site) -> None:
    for path in ("/v2/schemas", "/v2/schemas/page/edit/1.0.0", "/v2/schemas/page/edit/latest.yaml"):
        first = await site.get(path)
        tag = first.headers["etag"]
        for known in (tag, f"W/{tag}", f'"x", {tag}', "*"):
            response = await site.get(path, headers={"if-none-match": known})
            assert (response.status_code, response.content) == (304, b"")
            assert response.headers["etag"] == tag
            assert response.headers["cache-control"] == first.headers["cache-control"]
        assert (await site.get(path, headers={"if-none-match": '"x"'})).status_code == 200


async def test_head(site: Site) -> None:
    for path in ("/v2/schemas", "/v2/schemas/page/edit/1.0.0"):
        full = await site.get(path)
        response = await site.client.head(path)
        assert (response.status_code, response.content) == (200, b"")
        assert response.headers["etag"] == full.headers["etag"]
        assert int(response.headers["content-length"]) == len(full.content)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("page/edti/1.0.0", "there is no schema 'page/edti'; did you mean page/edit?"),
        ("page/edti", "did you mean page/edit?"),
        ("page/edti/latest", "did you mean page/edit?"),
        ("page/edit/1.0.1", "page/edit has no version '1.0.1'; there are 1.0.0, 1.10.0, 2.0.0 and latest"),
        ("page/edit/1.0.0.xml", "page/edit has no version '1.0.0.xml'"),
        ("page/edit/", "page/edit has no version ''"),
        ("zzz/1.0.0", "/v2/schemas lists all"),
        ("", "/v2/schemas lists all"),
    ],
)
async def test_what_is_not_there(site: Site, path: str, told: str) -> None:
    response = await site.get(f"/v2/schemas/{path}")
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    assert told in response.json()["detail"]


@pytest.mark.parametrize(
    "path",
    [
        "page/../secret/1.0.0",
        "page/%2e%2e/secret/1.0.0",
        "page%2f..%2fsecret/1.0.0",
        "../../../etc/passwd",
        "%2e%2e/%2e%2e/etc/passwd",
        "/etc/passwd",
        "//secret/1.0.0",
        "file:///etc/passwd",
        "file:/secret/1.0.0",
        "page/passwords",
        "page/passwords.yaml",
        "page/edit/current",
        "page/edit/1.0.0%00",
        "page/edit/%D9%A1.0.0",
        "page\\edit\\1.0.0",
    ],
)
async def test_no_path_leads_out_of_the_repository(site: Site, path: str) -> None:
    # As raw bytes: a client would tidy the path up.
    request = f"GET /v2/schemas/{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    answer = await site.raw(request.encode())
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"application/problem+json" in answer


async def test_other_methods(site: Site) -> None:
    response = await site.client.post("/v2/schemas/page/edit/1.0.0")
    assert response.status_code == 405
    assert set(response.headers["allow"].split(", ")) == {"GET", "HEAD"}


async def test_tail_reads_them(site: Site) -> None:
    schemas = Schemas(f"http://127.0.0.1:{site.port}")
    schema = await schemas.get("/page/edit/1.10.0")
    assert schema is not None
    assert schema["description"] == "Each édit"
    assert await schemas.get("/page/edit/3.0.0") is None


async def test_repositories_that_are_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_schemas(Settings()).titles() == ()
    with pytest.raises(ConfigurationError):
        open_schemas(Settings(schema_repositories=("absent",)))
