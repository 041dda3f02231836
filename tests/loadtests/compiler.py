"""Some tests need a C compiler."""

from __future__ import annotations

import os
import shutil

import pytest

needs_compiler = pytest.mark.skipif(
    not (shutil.which("cc") or shutil.which("gcc") or os.environ.get("CI")), reason="there is no C compiler"
)
"""Skips where there is none; in CI they fail instead."""
