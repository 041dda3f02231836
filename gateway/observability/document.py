"""The metrics as a table for people."""

from __future__ import annotations

from gateway.observability import telemetry

Labels = tuple[str, ...]


def metrics() -> dict[str, tuple[str, Labels, str]]:
    """Of each metric, by the name under which Prometheus keeps it: its type, its labels, what it tells."""
    found = {}
    for metric in telemetry.metrics():
        family = next(iter(metric.describe()))
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] = (family.type, tuple(metric._labelnames), family.documentation)
    return dict(sorted(found.items()))


def metrics_table() -> str:
    """The table for the documents, in Markdown."""
    lines = ["| metric | type | labels | what it tells |", "|---|---|---|---|"]
    for name, (kind, labels, text) in metrics().items():
        lines.append(f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels) or '–'} | {text} |")
    return "\n".join(lines) + "\n"
