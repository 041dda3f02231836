"""The official schemas of Kubernetes' API, which objects are validated against, as an API server does first."""

from __future__ import annotations

import json
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
from referencing import Registry
from referencing.jsonschema import DRAFT7

from tests.conftest import absent

PLACE = Path(__file__).parent.parent.parent / ".cache" / "kubernetes"
OLDEST, NEWEST = "1.25", "1.37"
"""Versions of Kubernetes: that which the chart asks for at least, and the newest of which there are schemas."""


class Schemas:
    """Those of one version, in which a member that is not known is a mistake."""

    def __init__(self, version: str) -> None:
        wheel = next(PLACE.glob("kubernetes_validate-*.whl"), None) or absent(f"there are no schemas in {PLACE}")
        self._wheel = zipfile.ZipFile(wheel)
        self._folder = f"kubernetes_validate/kubernetes-json-schema/v{version}.0-local-strict"
        definitions = self._read("_definitions.json")
        self._registry: Registry[Any] = Registry().with_resource(
            "/api/_definitions.json", DRAFT7.create_resource(definitions)
        )

    def mistakes(self, document: dict[str, Any]) -> list[str]:
        """Where an object is not as the API wants it."""
        group, _, version = document["apiVersion"].rpartition("/")
        parts = [document["kind"].lower(), *([group.partition(".")[0]] if group else []), version]
        validator = jsonschema.Draft7Validator(self._read(f"{'-'.join(parts)}.json"), registry=self._registry)
        return [f"{document['kind']} {error.json_path}: {error.message}" for error in validator.iter_errors(document)]

    def _read(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._wheel.read(f"{self._folder}/{name}"))
        return found


@cache
def schemas(version: str) -> Schemas:
    """Read once."""
    return Schemas(version)
