"""Arrow and Delta are loaded where an archive is configured, and nowhere else."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from importlib import import_module
from gateway.app.composition import open_log
from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.process import serve
from gateway.commands.cli import COMMANDS
from gateway.settings.table import Settings
for module in COMMANDS.values():
    import_module(f"gateway.commands.{module}")
open_log(Settings(), Catalog([Stream("a", ("a",))]))
open_log(Settings(archive="/nowhere"), Catalog([Stream("a", ("a",))]))
assert not {"pyarrow", "deltalake"} & set(sys.modules)
open_log(Settings(archive="/nowhere"), Catalog([Stream("a", ("a",), archive=True)]))
assert {"pyarrow", "deltalake"} <= set(sys.modules)
"""


def test_the_libraries_are_loaded_for_archives_alone() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
