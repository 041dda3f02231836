"""The types that openapi-typescript makes of the description, and the guide's program that uses them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.catalog.load import read
from gateway.description.facts import Facts, Limits
from gateway.description.openapi import openapi
from gateway.schemas.repository import SchemaRepository
from gateway.settings.table import Settings
from tests.conftest import absent
from tests.end_to_end.clients import NODE_MODULES, PROGRAMS
from tests.test_documents import ROOT

pytestmark = pytest.mark.long

TYPES = NODE_MODULES / "openapi-typescript" / "bin" / "cli.js"
COMPILER = NODE_MODULES / "typescript" / "bin" / "tsc"
STRICT = (
    "--noEmit",
    "--strict",
    "--noUncheckedIndexedAccess",
    "--module",
    "esnext",
    "--target",
    "es2022",
    "--skipLibCheck",
)
RESOLVED = ("--moduleResolution", "bundler", "--types", "node")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The guide's program, beside the types of the streams that come with the gateway."""
    if shutil.which("node") is None or not TYPES.exists():
        absent("there is no openapi-typescript")
    directory = tmp_path_factory.mktemp("typescript")
    catalog = read(ROOT / "config" / "gateway.yaml").catalog
    schemas = SchemaRepository([ROOT / "config" / "schemas"])
    document = openapi(Facts("1.2.3", catalog, schemas, Settings().of(Limits)))
    (directory / "openapi.json").write_text(json.dumps(document))
    (directory / "package.json").write_text('{"type": "module"}')
    (directory / "node_modules").symlink_to(NODE_MODULES)
    command = ("node", TYPES, "openapi.json", "--output", "gateway.d.ts")
    subprocess.run(command, capture_output=True, timeout=120, check=True, cwd=directory)
    program = directory / "program.ts"
    shutil.copy(PROGRAMS / "node" / "follow_typescript.ts", program)
    return program


def compiled(program: Path) -> subprocess.CompletedProcess[str]:
    """What the compiler says, told to be strict."""
    command = ("node", COMPILER, *STRICT, *RESOLVED, program.name)
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=program.parent)


def test_the_program_of_the_guide_has_types(program: Path) -> None:
    told = compiled(program)
    assert (told.stdout, told.returncode) == ("", 0)


def test_a_member_that_the_schema_does_not_have_is_found(program: Path) -> None:
    mistaken = program.with_name("mistaken.ts")
    mistaken.write_text(program.read_text().replace("change.title", "change.titel"))
    told = compiled(mistaken)
    assert "Property 'titel' does not exist" in told.stdout
    assert "Did you mean 'title'" in told.stdout
