"""Explains how a declaration runs. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.catalog.derivation import Derivation
from gateway.catalog.lineage import descendants
from gateway.catalog.quantity import shown_duration
from gateway.catalog.stream import Stream
from gateway.derive.lanes import LANES, divisible


def explained(stream: Stream, derivation: Derivation, streams: Mapping[str, Stream]) -> list[tuple[str, str]]:
    """What there is to be said of it, each by its name."""
    is_divisible, why = divisible(stream, streams)
    horizon = derivation.horizon
    waits = derivation.operator != "select"
    session = derivation.window is not None and derivation.window.kind == "gap"
    looked = [one.stream for one in derivation.lookups]
    needed = shown_duration(horizon) if horizon else "nothing"
    said = [
        ("made of", ", ".join(derivation.sources)),
        ("looks into", ", ".join(dict.fromkeys(looked))),
        ("operator", derivation.operator),
        ("topic", ", ".join(stream.topics)),
        ("partitions", str(stream.partitions)),
        ("key", ", ".join(name for name, _ in derivation.key) or "that of the source" * (derivation.window is None)),
        (
            "waits",
            f"for what is up to {shown_duration(derivation.late)} late, of every partition" if waits else "for nothing",
        ),
        (
            "horizon",
            f"{needed} of its sources are read again after a restart"
            + ("; more while a session goes on" if session else "")
            + (f", and all of {', '.join(dict.fromkeys(looked))}" if looked else ""),
        ),
        ("lanes", f"{f'one for each partition, up to {LANES}, in Kafka' if is_divisible else 1}: {why}"),
        ("read by", ", ".join(descendants(stream.name, streams))),
    ]
    return [(name, text) for name, text in said if text]
