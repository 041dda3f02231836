"""The schemas of a registry, as far as they describe streams."""

from __future__ import annotations

from gateway.observability.telemetry.metric import log

_TOLD = [""]
"""Why the registry could not be asked last; empty where it could."""


def registry_describes(failure: str) -> None:
    """The registry was asked what streams are made of; why that failed, or empty. Each change is logged."""
    if failure and not _TOLD[0]:
        log.warning("what streams are made of is not known yet: %s", failure[:500])
    elif _TOLD[0] and not failure:
        log.info("the schema registry tells what streams are made of again")
    _TOLD[0] = failure


def undescribed(why: str) -> None:
    """There is no JSONSchema of one of its schemas."""
    log.warning("a schema of the registry is not shown: %s", why[:500])
