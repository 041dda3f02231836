"""Explains how a declaration runs. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.catalog.derivation import Derivation, Expression
from gateway.catalog.lineage import descendants
from gateway.catalog.stream import Stream
from gateway.derive.check import shown_span
from gateway.derive.expression import read
from gateway.filters.tree import event_path


def lanes(derivation: Derivation, streams: Mapping[str, Stream]) -> tuple[int | None, str]:
    """In how many parts it can run apart, None for as many as the source has partitions; and why. Each part reads its
    partitions alone, so that all that belongs together has to be in one partition."""
    if derivation.operator == "select":
        return None, "each event stands alone"
    if derivation.lookups:
        return 1, "the stream that is looked into is needed whole"
    if len(derivation.sources) > 1:
        return 1, "it has several sources, whose partitions need not go together"
    source = streams[derivation.sources[0]]
    if len(source.topics) > 1:
        return 1, f"{source.name} has several topics, whose partitions need not go together"
    if not source.message_key_fields and source.derive is None:
        return 1, f"{source.name} has no message_key_fields, so that events of one key may be in any partition"
    fields = source.message_key_fields
    if source.derive is not None:
        fields = tuple(name for name, _ in source.derive.key)
        if not fields:
            return 1, f"the partitions of {source.name} are not by a key of its own"
    paths = {".".join(event_path(read(one))) for one in _key_expressions(derivation)}
    missing = [path for path in fields if path not in paths]
    if missing:
        return 1, f"its key lacks {', '.join(missing)}, by which {source.name} is partitioned"
    return None, f"its key holds that by which {source.name} is partitioned ({', '.join(fields)})"


def _key_expressions(derivation: Derivation) -> tuple[Expression, ...]:
    if derivation.dedup is not None:
        return derivation.dedup.by
    return tuple(expression for _, expression in derivation.key)


def explained(stream: Stream, derivation: Derivation, streams: Mapping[str, Stream]) -> list[tuple[str, str]]:
    """What there is to be said of it, each by its name."""
    count, why = lanes(derivation, streams)
    horizon = derivation.horizon
    waits = derivation.operator != "select"
    session = derivation.window is not None and derivation.window.kind == "gap"
    looked = [one.stream for one in derivation.lookups]
    needed = shown_span(horizon) if horizon else "nothing"
    said = [
        ("made of", ", ".join(derivation.sources)),
        ("looks into", ", ".join(dict.fromkeys(looked))),
        ("operator", derivation.operator),
        ("topic", ", ".join(stream.topics)),
        ("partitions", str(stream.partitions)),
        ("key", ", ".join(name for name, _ in derivation.key) or "that of the source" * (derivation.window is None)),
        (
            "waits",
            f"for what is up to {shown_span(derivation.late)} late, of every partition" if waits else "for nothing",
        ),
        (
            "horizon",
            f"{needed} of its sources are read again after a restart"
            + ("; more while a session goes on" if session else "")
            + (f", and all of {', '.join(dict.fromkeys(looked))}" if looked else ""),
        ),
        ("lanes", f"{'one for each partition' if count is None else count}: {why}"),
        ("read by", ", ".join(descendants(stream.name, streams))),
    ]
    return [(name, text) for name, text in said if text]
