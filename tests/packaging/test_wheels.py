"""What `scripts/wheels` excepts."""

from __future__ import annotations

import re

from tests.end_to_end.process import ROOT
from tests.packaging.test_setup import locked


def test_only_what_is_locked_is_excepted_and_nothing_that_runs() -> None:
    text = (ROOT / "scripts" / "wheels").read_text()
    excepted = re.findall(r'^    \["3\.\d+ (\S+)"\]="(.+)"$', text, re.MULTILINE)
    assert excepted
    clients = locked("tests/clients/python/requirements.lock")
    for name, reason in excepted:
        assert name in clients.keys() | locked("requirements-dev.lock").keys()
        assert name not in locked("requirements.lock").keys() | locked("requirements-build.lock").keys()
        assert len(reason) > 20
