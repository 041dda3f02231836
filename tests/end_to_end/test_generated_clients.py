"""Clients that others' programs make of /openapi.json: they list, read and send."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import absent
from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import ROOT
from tests.end_to_end.test_intake import Events, streams
from tests.services.programs import PYTHON, package, run

pytestmark = pytest.mark.end_to_end

TITLE = "wiki/change"
COUNT = 5
OTHERS = ("other/change", "other_change", "problem", "sent")
"""Schemas with names that classes of what is made may have as well, if only they are not told apart."""
NAMED = "post_hooks: []\npackage_name_override: described\nproject_name_override: described\n"


def openapi_python_client(document: Path, directory: Path) -> Path:
    """The directory of the package that it makes."""
    package("openapi_python_client")
    (directory / "names.yaml").write_text(NAMED)
    made = directory / "described"
    options: list[str | Path] = ["--config", "names.yaml", "--meta", "none", "--fail-on-warning", "--output-path", made]
    run([PYTHON, "-m", "openapi_python_client", "generate", "--path", document, *options], directory)
    return directory


def openapi_generator(document: Path, directory: Path) -> Path:
    """The directory of the package that it makes."""
    java = shutil.which("java") or absent("there is no java")
    jar = package("openapi_generator_cli") / "openapi-generator.jar"
    options: list[str | Path] = ["-g", "python", "--package-name", "described", "-o", directory / "made"]
    run([java, "-XX:TieredStopAtLevel=1", "-jar", jar, "generate", "-i", document, *options], directory)
    return directory / "made"


def schema(title: str) -> dict[str, Any]:
    """A schema with parts that become classes of their own."""
    inner = {"type": "object", "title": "User", "properties": {"id": {"type": "integer"}}}
    properties = {"$schema": {"type": "string"}, "meta": {"type": "object"}, "user": inner}
    return {"title": title, "$id": f"/{title}/1.0.0", "type": "object", "properties": properties}


def others(directory: Path) -> dict[str, Any]:
    """Streams with schemas of their own, which are written here."""
    for title in OTHERS:
        (directory / title).mkdir(parents=True)
        (directory / title / "1.0.0.yaml").write_text(json.dumps(schema(title)))
    return {title.replace("/", "."): {"schema_title": title} for title in OTHERS}


@pytest.mark.parametrize("more", [False, True], ids=["one schema", "schemas with like names"])
@pytest.mark.parametrize("make", [openapi_python_client, openapi_generator], ids=lambda make: make.__name__)
async def test_a_client_that_was_made_works(
    make: Callable[[Path, Path], Path], more: bool, serve: Serve, tmp_path: Path
) -> None:
    all_streams = streams("wiki.change") | (others(tmp_path / "others") if more else {})
    places = [str(ROOT / "config" / "schemas"), *([str(tmp_path / "others")] if more else [])]
    log = f"sqlite:///{tmp_path / 'events.db'}"
    gateway = await serve(all_streams, log, schema_repositories=places)
    document = tmp_path / "openapi.json"
    document.write_text((await gateway.get("/openapi.json")).text)
    place = await asyncio.to_thread(make, document, tmp_path)
    sample = Events()
    events = [sample.next() for _ in range(COUNT)]
    program = ROOT / "tests" / "clients" / "generated" / f"by_{make.__name__}.py"
    command: list[str | Path] = [PYTHON, program, gateway.address, TITLE, *map(json.dumps, events)]
    told: dict[str, Any] = json.loads(await asyncio.to_thread(run, command, tmp_path, PYTHONPATH=str(place)))
    identities = [event["meta"]["id"] for event in events]
    assert [event["meta"]["id"] for event in told.pop("finite")] == identities
    assert [event["meta"]["id"] for event in told.pop("endless")] == identities[1:]
    stream = told.pop("stream")
    assert (stream["name"], stream["topics"], stream["example"]["meta"]["id"]) == (
        "wiki.change", ["wiki.change"], identities[-1],
    )  # fmt: skip
    assert TITLE in told.pop("schemas")
    assert told == {
        "sent": [201, 201],
        "refused": [400, 1],
        "streams": list(all_streams),
        "unknown": 404,
        "versions": ["1.0.0"],
        "schema": TITLE,
        "health": 200,
        "readiness": 200,
        "documents": ["3.1.0", "3.0.0"],
    }
