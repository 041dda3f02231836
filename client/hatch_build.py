"""Packs the client from the gateway's own files, which lie beside this folder in a checkout, and in it in an sdist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class SharedFiles(BuildHookInterface):  # type: ignore[type-arg, unused-ignore]
    """Adds the files that pyproject.toml names."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """As hatchling calls it; an editable build has the checkout on its path instead."""
        here = Path(self.root)
        source = here if (here / "gateway").is_dir() else here.parent
        if self.target_name == "wheel" and version == "editable":
            build_data["force_include_editable"] = {}
            return
        for name in self.config["files"]:
            build_data["force_include"][str(source / name)] = name
