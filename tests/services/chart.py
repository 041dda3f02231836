"""The Helm chart: what tells whether the manifests were written from it as it is."""

from __future__ import annotations

import hashlib
from pathlib import Path

CHART = Path(__file__).parent.parent.parent / "config" / "helm"


def stamp() -> str:
    """Changes with every file that the manifests are written from."""
    whole = hashlib.sha256()
    for path in sorted(path for path in CHART.rglob("*") if path.is_file() and path.name != "NOTES.txt"):
        whole.update(f"{path.relative_to(CHART)} {path.stat().st_size}\n".encode() + path.read_bytes())
    return whole.hexdigest()


if __name__ == "__main__":
    print(stamp())  # noqa: T201
