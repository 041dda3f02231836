"""The script of a stream of a configuration for Flink: with its schemas, and with the broker that the log is in."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from gateway.catalog.stream import Stream
from gateway.catalog.titles import is_title
from gateway.derive.flink import Script
from gateway.derive.flink_tables import Broker, Source, Unsayable, fails
from gateway.schemas.repository import SchemaRepository

_OPTIONS = {"security_protocol": "security.protocol", "sasl_mechanism": "sasl.mechanism"}
"""Settings of the gateway's client of Kafka that are no secrets and no files of this machine, as Java's clients have
them."""


def flink_script(
    stream: Stream,
    streams: Mapping[str, Stream],
    schemas: SchemaRepository,
    log: str,
    kafka: Mapping[str, object],
    now: int,
) -> str:
    """The script. `log` and `kafka` are the settings of these names; `since` counts back from `now` (ms). Raises
    Unsayable."""
    derivation = stream.derive
    if derivation is None:
        raise Unsayable(f"{stream.name} is not made of others: it has no derive")
    inputs = []
    for name in derivation.inputs:
        source = streams[name]
        schema = schemas.taken_by(source)
        if schema is None:
            raise fails(derivation.line, f"{name} has no schema in the repositories, of which its table would be made")
        if source.schema_title is not None and not is_title(source.schema_title):
            raise fails(derivation.line, f"{name} takes events of several schemas, and a table is of one")
        inputs.append(Source(source, schema.document))
    row = None if derivation.passes else schemas.taken_by(stream)
    document, uri = (None, None) if row is None else (row.document, row.uri)
    begin = None if derivation.since is None else now - derivation.since
    return Script(stream, inputs, broker_of(log, kafka), document, uri, begin).text()


def broker_of(log: str, kafka: Mapping[str, object]) -> Broker:
    """Where the events are. Raises Unsayable."""
    url = urlsplit(log)
    if url.scheme != "kafka":
        raise Unsayable(f"Flink reads Kafka, and the log is {url.scheme}: give it --log kafka://host:port")
    return Broker(url.netloc, {_OPTIONS[key]: str(value) for key, value in kafka.items() if key in _OPTIONS})
