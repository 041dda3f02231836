"""What tests tell at the end of a run: lines for a table, from whichever process they ran in."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

_TOLD = pytest.StashKey[dict[str, list[Any]]]()
_SENT = "told"


def told(config: pytest.Config, name: str) -> list[Any]:
    """The list of this name, to be added to; at the end it holds what all processes have added."""
    return config.stash.setdefault(_TOLD, {}).setdefault(name, [])


class Gatherer:
    """Brings the lists of pytest-xdist's workers together."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_sessionfinish(self) -> None:
        """A worker sends its own."""
        sent: dict[str, Any] | None = getattr(self._config, "workeroutput", None)
        if sent is not None:
            sent[_SENT] = pickle.dumps(self._config.stash.get(_TOLD, {}))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """The process that started them takes them in; of one that has died there are none."""
        for name, things in pickle.loads(getattr(node, "workeroutput", {}).get(_SENT, pickle.dumps({}))).items():
            told(self._config, name).extend(things)
