"""The sample configuration and its schemas: those of a checkout, or their copy in a wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent.parent
_IN_WHEEL = _PACKAGE / "config"

SAMPLE = _IN_WHEEL if _IN_WHEEL.is_dir() else _PACKAGE.parent / "config"
"""The directory with `gateway.yaml` and `schemas`."""
