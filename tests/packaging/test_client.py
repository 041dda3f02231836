"""The client as a distribution of its own: what is in it, what it needs, and that it works beside the gateway and
without."""

from __future__ import annotations

import ast
import asyncio
import json
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import absent
from tests.end_to_end.process import ROOT, WAIT, GatewayProcess, environment
from tests.packaging.test_setup import locked

CLIENT = ROOT / "client"
PROJECT: dict[str, Any] = tomllib.loads((CLIENT / "pyproject.toml").read_text())
SERVER: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
FILES: list[str] = PROJECT["tool"]["hatch"]["build"]["hooks"]["custom"]["files"]

FOLLOW = """
import asyncio, importlib.util, json, sys
from gateway.client import BlockingProducer, InvalidQuery, Query, subscribe, subscribe_blocking
from gateway.client.foreign import LocalQuery
from gateway.client.frame import StreamEvent

assert not any(map(importlib.util.find_spec, ("orjson", "msgspec", "re2", "aiokafka", "starlette", "redis")))
address, event = sys.argv[1], json.loads(sys.argv[2])
with BlockingProducer(address) as producer:
    for title in ("first", "é", "third"):
        producer.send(event | {"title": title})
with subscribe_blocking(address, "wiki.change", since="1h", limit=3, fields="title") as events:
    titles = [event.json["title"] for event in events]
assert titles == ["first", "é", "third"], titles

async def choose():
    async with subscribe(address, "wiki.change", since="1h", limit=2, filter='event.title != "first"') as events:
        return [event.json["title"] async for event in events]

assert asyncio.run(choose()) == ["é", "third"]
# What a server without filters leaves to its clients.
query = LocalQuery(Query(filter='event.title == "é"', fields="title"), set())
frames = [StreamEvent("message", json.dumps(event | {"title": title}).encode(), "") for title in ("first", "é")]
chosen = [frame for frame in map(query.choose, frames) if frame]
assert [json.loads(frame.data)["title"] for frame in chosen] == ["é"]
try:
    LocalQuery(Query(filter='event.title.matches("^a")'), set())
except Exception as error:
    assert "google-re2 is not installed" in str(error), error
else:
    raise AssertionError("there is no google-re2")
"""
"""With nothing but its own requirements."""


def modules() -> list[Path]:
    """The Python files of the distribution."""
    found = [ROOT / name for name in FILES if name.endswith(".py")]
    for name in FILES:
        found += (ROOT / name).rglob("*.py") if (ROOT / name).is_dir() else []
    return found


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """The modules that a file imports, and whether it does when it is imported itself."""
    tree = ast.parse(path.read_text())
    guarded = [
        node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Try, ast.If))
    ]
    later = {id(node) for guard in guarded for node in ast.walk(guard)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) not in later) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None
            yield node.module, id(node) not in later
            if node.module == "gateway":
                yield from ((f"gateway.{alias.name}", id(node) not in later) for alias in node.names)


def requirements(*parts: str) -> set[str]:
    """Of the project, or of one of its extras."""
    found: Any = PROJECT["project"]
    for part in parts:
        found = found[part]
    return set(found)


def test_it_has_what_it_imports_and_no_more() -> None:
    packed = {str(path.relative_to(ROOT).with_suffix("")).replace("/", ".") for path in modules()}
    packed = {name.removesuffix(".__init__") for name in packed}
    used = {name for path in modules() for name, _ in imports(path) if name.partition(".")[0] == "gateway"}
    assert used <= packed
    packages = {name.rpartition(".")[0] for name in packed} | {"gateway.client.redis", "gateway.client.fetch"}
    assert {name for name in packed - used - packages if not name.startswith("gateway.filters.")} == set()


def test_it_needs_httpx_alone() -> None:
    needed = {
        (name.partition(".")[0], path.name)
        for path in modules()
        for name, at_once in imports(path)
        if at_once and name.partition(".")[0] not in sys.stdlib_module_names | {"gateway", "__future__"}
    }
    assert {name for name, _ in needed} == {"httpx", "redis"}
    assert {file for name, file in needed if name == "redis"} == {"redis.py"}
    assert requirements("dependencies") == {"httpx>=0.28"}
    at_start = "import sys, gateway.client, gateway.client.foreign; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", at_start], text=True).split()
    assert not {"re2", "redis", "msgspec", "gateway.filters.compile"} & set(loaded)


def test_what_both_say_of_themselves_is_the_same() -> None:
    server, client = SERVER["project"], PROJECT["project"]
    for name in ("version", "license", "requires-python"):
        assert client[name] == server[name]
    assert (CLIENT / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert set().union(*map(set, client["optional-dependencies"].values())) | requirements("dependencies") <= set(
        server["dependencies"]
    )


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel of the gateway, and that of the client, the latter made of its sdist."""
    directory = tmp_path_factory.mktemp("dist")

    def build(source: Path, *what: str) -> None:
        command = [sys.executable, "-m", "hatchling", "build", *what, "--directory", str(directory)]
        subprocess.run(command, cwd=source, check=True, capture_output=True)

    build(ROOT, "-t", "wheel")
    build(CLIENT, "-t", "sdist")
    # Not by tarfile: Python 3.11.2 does not know its filters, and later ones warn where none is named.
    (packed,) = directory.glob("event_gateway_client-*.tar.gz")
    subprocess.run(["tar", "-xzf", packed, "-C", directory], check=True)
    build(directory / packed.name.removesuffix(".tar.gz"), "-t", "wheel")
    (server,) = directory.glob("event_gateway-*.whl")
    (client,) = directory.glob("event_gateway_client-*.whl")
    return server, client


def pip(environment: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python"), "--no-input", *words]
    return subprocess.run(
        [*command, "--disable-pip-version-check"], capture_output=True, text=True, check=False, timeout=8 * WAIT
    )


def make_environment(directory: Path) -> Path:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(directory)], check=True)
    return directory


@pytest.mark.end_to_end
def test_its_wheel_is_the_same_from_a_checkout(wheels: tuple[Path, Path], tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=CLIENT, check=True, capture_output=True)
    (again,) = tmp_path.glob("*.whl")
    assert again.read_bytes() == wheels[1].read_bytes()
    with zipfile.ZipFile(again) as wheel:
        packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
        (metadata,) = (wheel.read(name).decode() for name in wheel.namelist() if name.endswith("/METADATA"))
    with zipfile.ZipFile(wheels[0]) as wheel:
        assert packed < set(wheel.namelist())
    assert {str(path.relative_to(ROOT)) for path in modules()} | {"gateway/py.typed"} == packed
    assert [line for line in metadata.splitlines() if line.startswith("Requires-Dist") and "extra" not in line] == [
        "Requires-Dist: httpx>=0.28"
    ]


@pytest.mark.end_to_end
@pytest.mark.long
async def test_it_works_in_an_environment_with_nothing_else(wheels: tuple[Path, Path], tmp_path: Path) -> None:
    environment_of_client = make_environment(tmp_path / "venv")
    versions = tmp_path / "constraints"
    versions.write_text("".join(f"{name}=={version}\n" for name, version in locked("requirements.lock").items()))
    done = pip(environment_of_client, "install", "--constraint", str(versions), str(wheels[1]))
    if "Connection" in done.stderr and "Retrying" in done.stderr:
        absent("the package index cannot be reached")
    assert done.returncode == 0, done.stderr
    installed = {path.name.partition("-")[0] for path in environment_of_client.glob("lib/*/site-packages/*.dist-info")}
    of_httpx = {"httpx", "httpcore", "h11", "anyio", "idna", "certifi", "typing_extensions"}
    assert {"event_gateway_client", "httpx"} <= installed <= {"event_gateway_client", *of_httpx}
    gateway = GatewayProcess(tmp_path / "gateway", "--log", f"sqlite:///{tmp_path}/events.db")
    await gateway.start()
    try:
        example = (await gateway.get("/v2/schemas/wiki/change/1.0.0")).json()["examples"][0]
        example["meta"] = {"stream": "wiki.change"}
        program = tmp_path / "follow.py"
        program.write_text(FOLLOW)
        command = [environment_of_client / "bin" / "python", "-I", "-W", "error", program, gateway.address]
        given = [*map(str, command), json.dumps(example)]
        ended = await asyncio.to_thread(subprocess.run, given, capture_output=True, text=True, timeout=WAIT)
        assert (ended.returncode, ended.stderr) == (0, "")
    finally:
        await gateway.stop()


@pytest.mark.end_to_end
def test_both_in_one_environment(wheels: tuple[Path, Path], tmp_path: Path) -> None:
    """They share files, which does no harm while both are there and of one version; else the gateway says so."""
    server, client = wheels
    both = make_environment(tmp_path / "venv")
    # What they need is that of these tests, whose own gateway is not found this way: it is installed by a `.pth`.
    needed = next(path for path in sys.path if path.endswith("site-packages") and Path(path, "httpx").exists())

    def gateway(*words: str) -> subprocess.CompletedProcess[str]:
        command = [str(both / "bin" / "gateway"), *words]
        given = environment() | {"PYTHONPATH": needed}
        return subprocess.run(
            command, env=given, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=WAIT
        )

    for order in ((server, client), (client, server)):
        assert pip(both, "install", "--no-deps", "--force-reinstall", *map(str, order)).returncode == 0
        assert gateway("--version").stdout.startswith("gateway, version ")
        assert "gateway.yaml" in gateway("serve", "--config", "gateway.yaml").stderr
    (metadata,) = both.glob("lib/*/site-packages/event_gateway_client-*.dist-info/METADATA")
    metadata.write_text(metadata.read_text().replace("\nVersion: ", "\nVersion: 99."))
    said = gateway("serve")
    assert said.returncode == 1
    assert "install the same version of both" in said.stderr
    assert pip(both, "uninstall", "--yes", "event-gateway-client").returncode == 0
    for words in (("tail", "a"), ("serve",), ("--help",)):
        said = gateway(*words)
        assert said.returncode == 1
        assert said.stderr.startswith("gateway: gateway.")
        assert "install event-gateway again" in said.stderr
        assert "Traceback" not in said.stderr
    assert pip(both, "install", "--no-deps", "--force-reinstall", str(server)).returncode == 0
    assert gateway("tail", "--help").returncode == 0
