"""Chromium, as tests start it."""

from __future__ import annotations

import shutil

from tests.conftest import absent


def chromium() -> str:
    """The program. Its headless build, where there is one, takes a quarter less of the processor: nobody looks at the
    window."""
    return shutil.which("chromium-headless-shell") or shutil.which("chromium") or absent("there is no chromium")
