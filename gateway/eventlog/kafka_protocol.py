"""Requests of the Kafka protocol that aiokafka has only in versions without topic ids (KIP-516).

Both are sent through aiokafka's connections, in its older versions where the broker knows no better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, NamedTuple, TypeAlias

from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.fetch import FetchRequest as NamedFetchRequest
from aiokafka.protocol.fetch import FetchRequest_v4, FetchRequest_v11
from aiokafka.protocol.metadata import MetadataRequest_v1, MetadataRequest_v4, MetadataRequest_v5
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

from gateway.event import TopicPartition

NO_ID = bytes(16)
"""The topic id of a broker that has none."""

READ_COMMITTED = 1
"""The isolation level that hides aborted and open transactions."""

READ_UNCOMMITTED = 0
"""The isolation level that shows all."""

CONSUMER = -1
"""The replica id of a client."""


class Uuid(AbstractType[bytes]):  # type: ignore[misc]  # aiokafka is not typed
    """16 bytes as they are."""

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        """The bytes themselves."""
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        """The next 16 bytes."""
        return data.read(16)


class MetadataResponse_v12(Response):  # type: ignore[misc]  # noqa: N801
    """Brokers, and topics with their ids."""

    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class MetadataRequest_v12(RequestStruct):  # type: ignore[misc]  # noqa: N801
    """Kafka 3.1 and later."""

    API_KEY = 3
    API_VERSION = 12
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = MetadataResponse_v12
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


MetadataStruct: TypeAlias = MetadataRequest_v1 | MetadataRequest_v4 | MetadataRequest_v5 | MetadataRequest_v12


class MetadataRequest(Request[MetadataStruct]):  # type: ignore[misc]
    """Asks for these topics and no others, and creates none."""

    API_KEY = 3

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = list(topics)

    def build(self, request_struct_class: type[Any]) -> Any:
        """The request in the version that aiokafka has agreed on with the broker."""
        if request_struct_class.API_VERSION >= 12:
            return request_struct_class([(NO_ID, topic, {}) for topic in self._topics], False, False, {})
        if request_struct_class.API_VERSION >= 4:
            return request_struct_class(self._topics, False)
        return request_struct_class(self._topics)


class TopicMetadata(NamedTuple):
    """A topic as a broker knows it. `leaders` has the node of each partition, None while it has no leader."""

    topic_id: bytes
    leaders: Mapping[int, int | None]


class ClusterMetadata(NamedTuple):
    """The addresses of the brokers by node, the controller, the topics, and the error codes of the other topics."""

    brokers: Mapping[int, tuple[str, int]]
    controller: int
    topics: Mapping[str, TopicMetadata]
    errors: Mapping[str, int]


def read_metadata(response: Any) -> ClusterMetadata:
    """The metadata out of a response of any version."""
    brokers = {node: (host, port) for node, host, port, *_ in response.brokers}
    topics = {}
    errors = {}
    for error, name, *middle, partitions in (_topic_fields(response, topic) for topic in response.topics):
        if error == 0 or partitions:
            leaders = {number: leader if leader >= 0 else None for _, number, leader, *_ in partitions}
            topics[name] = TopicMetadata(middle[0], leaders)
        else:
            errors[name] = error
    return ClusterMetadata(brokers, response.controller_id, topics, errors)


def _topic_fields(response: Any, topic: Sequence[Any]) -> tuple[int, str, bytes, Sequence[Any]]:
    if response.API_VERSION >= 12:
        error, name, topic_id, _, partitions, *_ = topic
        return error, name, topic_id, partitions
    error, name, _, partitions = topic
    return error, name, NO_ID, partitions


class FetchResponse_v13(Response):  # type: ignore[misc]  # noqa: N801
    """Records by topic id."""

    API_KEY = 1
    API_VERSION = 13
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("session_id", Int32),
        (
            "topics",
            CompactArray(
                ("topic_id", Uuid),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("error_code", Int16),
                        ("high_watermark", Int64),
                        ("last_stable_offset", Int64),
                        ("log_start_offset", Int64),
                        (
                            "aborted_transactions",
                            CompactArray(("producer_id", Int64), ("first_offset", Int64), ("tags", TaggedFields)),
                        ),
                        ("preferred_read_replica", Int32),
                        ("records", CompactBytes),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class FetchRequest_v13(RequestStruct):  # type: ignore[misc]  # noqa: N801
    """Kafka 3.1 and later: a topic created again under its old name is told apart by the broker."""

    API_KEY = 1
    API_VERSION = 13
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = FetchResponse_v13
    SCHEMA = Schema(
        ("replica_id", Int32),
        ("max_wait_time", Int32),
        ("min_bytes", Int32),
        ("max_bytes", Int32),
        ("isolation_level", Int8),
        ("session_id", Int32),
        ("session_epoch", Int32),
        (
            "topics",
            CompactArray(
                ("topic_id", Uuid),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("current_leader_epoch", Int32),
                        ("fetch_offset", Int64),
                        ("last_fetched_epoch", Int32),
                        ("log_start_offset", Int64),
                        ("max_bytes", Int32),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        (
            "forgotten_topics_data",
            CompactArray(("topic_id", Uuid), ("partitions", CompactArray(Int32)), ("tags", TaggedFields)),
        ),
        ("rack_id", CompactString("utf-8")),
        ("tags", TaggedFields),
    )


class FetchLimits(NamedTuple):
    """How long the broker may wait for something (ms), and how many bytes it may send: in all, and of a partition."""

    wait: int
    size: int
    partition_size: int


FetchStruct: TypeAlias = FetchRequest_v4 | FetchRequest_v11 | FetchRequest_v13


class FetchRequest(Request[FetchStruct]):  # type: ignore[misc]
    """Asks one broker for records, from an offset of each partition; `ids` has the id of each topic."""

    API_KEY = 1

    def __init__(self, offsets: Mapping[TopicPartition, int], ids: Mapping[str, bytes], limits: FetchLimits) -> None:
        self._ids = ids
        self._limits = limits
        self._topics: dict[str, list[tuple[int, int]]] = {}
        for (topic, partition), offset in offsets.items():
            self._topics.setdefault(topic, []).append((partition, offset))

    def build(self, request_struct_class: type[Any]) -> Any:
        """The request in the version that aiokafka has agreed on with the broker."""
        wait, size, partition_size = self._limits
        if request_struct_class.API_VERSION < 13:
            topics = [
                (topic, [(partition, offset, partition_size) for partition, offset in partitions])
                for topic, partitions in self._topics.items()
            ]
            return NamedFetchRequest(wait, 1, size, READ_COMMITTED, topics).build(request_struct_class)
        by_id: list[tuple[bytes, list[tuple[Any, ...]], dict[int, bytes]]] = [
            (
                self._ids[topic],
                [(partition, -1, offset, -1, -1, partition_size, {}) for partition, offset in partitions],
                {},
            )
            for topic, partitions in self._topics.items()
        ]
        return request_struct_class(CONSUMER, wait, 1, size, READ_COMMITTED, 0, -1, by_id, [], "", {})


class Fetched(NamedTuple):
    """What a broker answered about one partition. `aborted`: the producer and the first offset of each transaction."""

    partition: TopicPartition
    error: int
    aborted: Sequence[tuple[int, int]]
    records: bytes


def read_fetched(response: Any, ids: Mapping[str, bytes]) -> list[Fetched]:
    """The partitions out of a response of any version; an error of the whole response is one of each partition."""
    names = {topic_id: topic for topic, topic_id in ids.items()}
    found = []
    for topic, partitions, *_ in response.topics:
        name = names[topic] if response.API_VERSION >= 13 else topic
        for fields in partitions:
            number, error = fields[:2]
            records = fields[-2] if response.API_VERSION >= 13 else fields[-1]
            aborted = fields[5 if response.API_VERSION >= 5 else 4] or []
            pairs = [transaction[:2] for transaction in aborted]
            found.append(Fetched(TopicPartition(name, number), error, pairs, records or b""))
    return found
