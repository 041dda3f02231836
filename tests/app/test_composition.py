"""The definitions that follow from a configuration."""

from __future__ import annotations

from gateway.app.composition import define
from gateway.demo.sample import SAMPLE
from gateway.settings.configuration import configure


def test_the_definitions_know_which_rules_read_a_stream() -> None:
    given = {"config": str(SAMPLE / "gateway.yaml"), "schema_repositories": (str(SAMPLE / "schemas"),)}
    definitions, _ = define(configure(given, {}))
    assert definitions.rules == {"wiki.page-create": ("new-articles",)}
