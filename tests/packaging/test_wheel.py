"""What is in the wheel and in the sdist."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.conftest import absent
from tests.end_to_end.process import ROOT

pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module")
def files() -> list[str]:
    """What git knows of the code and the configuration. The checkout may be somebody else's."""
    git = shutil.which("git") or absent("there is no git")
    listed = ["ls-files", "--cached", "--others", "--exclude-standard"]
    command = [git, "-c", f"safe.directory={ROOT}", *listed, "gateway", "config/gateway.yaml", "config/schemas"]
    return subprocess.check_output(command, cwd=ROOT, text=True).split()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with both."""
    directory = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "--directory", str(directory)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    return directory


def test_the_wheel_has_the_code_the_page_and_the_sample_configuration(built: Path, files: list[str]) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
        metadata = next(wheel.read(name).decode() for name in wheel.namelist() if name.endswith("/METADATA"))
    assert packed == {name if name.startswith("gateway/") else f"gateway/{name}" for name in files}
    # Files for web servers, units and charts are for a host, which has the repository.
    assert {"gateway/explorer/index.html", "gateway/config/gateway.yaml", "gateway/py.typed"} <= packed
    assert "Provides-Extra: tracing\n" in metadata


def test_the_wheel_of_the_sdist_is_the_same(built: Path, tmp_path: Path) -> None:
    # Not by tarfile, whose filters Python 3.11.2 does not have, and of which later ones warn that they are missing.
    subprocess.run(["tar", "-xzf", next(built.glob("*.tar.gz")), "-C", tmp_path], check=True)
    (source,) = tmp_path.iterdir()
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    (again,) = tmp_path.glob("*.whl")
    assert again.read_bytes() == (built / again.name).read_bytes()
    assert {"CHANGELOG.md", "docs", "tests", "scripts", "Dockerfile"} <= {path.name for path in source.iterdir()}


def test_the_version_has_one_source_and_an_entry_in_the_changelog(built: Path, files: list[str]) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"\n## [{version}]" in (ROOT / "CHANGELOG.md").read_text()
    assert (built / f"event_gateway-{version}-py3-none-any.whl").exists()
    again = [name for name in files if name.endswith(".py") and f'"{version}"' in (ROOT / name).read_text()]
    assert again == [], "the version is read from the package, not written again"
