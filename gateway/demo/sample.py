"""The sample configuration and its schemas: those of a checkout, or their copy in a wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent.parent
_IN_WHEEL = _PACKAGE / "config"

IS_CHECKOUT = not _IN_WHEEL.is_dir()
SAMPLE = _PACKAGE.parent / "config" if IS_CHECKOUT else _IN_WHEEL
"""The directory with the parts of the sample; a checkout has more there."""
PARTS = ("gateway.yaml", "schemas")
