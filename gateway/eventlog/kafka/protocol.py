"""The metadata request of the Kafka protocol, which aiokafka has only in versions without topic ids (KIP-516).

It goes through aiokafka's connections, in aiokafka's older versions where the broker knows no newer one.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any, NamedTuple, TypeAlias

from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.metadata import MetadataRequest_v1, MetadataRequest_v4, MetadataRequest_v5
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from gateway.eventlog.kafka.metadata import NO_ID, ClusterMetadata, TopicMetadata

READ_COMMITTED = 1
"""The isolation level that hides aborted and open transactions."""

READ_UNCOMMITTED = 0
"""The isolation level that shows all."""

CONSUMER = -1
"""The replica id of a client."""

NO_OPERATIONS = -(1 << 31)
"""In place of the bits of what a client may do, where the broker does not tell (KIP-430)."""


WITH_IDS = 11
"""The first version spoken here that has topic ids, leader epochs and what a client may do."""


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


class MetadataResponse_v11(MetadataResponse_v12):  # noqa: N801
    """The same."""

    API_VERSION = 11


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


class MetadataRequest_v11(MetadataRequest_v12):  # noqa: N801
    """Kafka 2.8 and later. Topics are asked for by name here, for which nothing has changed since."""

    API_VERSION = 11
    RESPONSE_TYPE = MetadataResponse_v11


MetadataStruct: TypeAlias = (
    MetadataRequest_v1 | MetadataRequest_v4 | MetadataRequest_v5 | MetadataRequest_v11 | MetadataRequest_v12
)


class MetadataRequest(Request[MetadataStruct]):  # type: ignore[misc]
    """Asks for these topics and no others, or for all that may be known (None), and creates none. `rights`: also for
    what the client may do with each, which brokers tell from 2.8 on."""

    API_KEY = 3

    def __init__(self, topics: Sequence[str] | None, rights: bool = False) -> None:
        self._topics = None if topics is None else list(topics)
        self._rights = rights

    def build(self, request_struct_class: type[Any]) -> Any:
        """The request in the version that aiokafka has agreed on with the broker."""
        if request_struct_class.API_VERSION >= WITH_IDS:
            named: Any = None if self._topics is None else [(NO_ID, topic, {}) for topic in self._topics]
            return request_struct_class(named, False, self._rights, {})
        if request_struct_class.API_VERSION >= 4:
            return request_struct_class(self._topics, False)
        return request_struct_class(self._topics)


def read_metadata(response: Any) -> ClusterMetadata:
    """The metadata out of a response of any version."""
    brokers = {node: (host, port) for node, host, port, *_ in response.brokers if host and 0 < port < 65536}
    topics = {}
    errors = {}
    for error, name, *middle, partitions in (_topic_fields(response, topic) for topic in response.topics):
        if error == 0 or partitions:
            leaders = {number: leader if leader >= 0 else None for _, number, leader, *_ in partitions}
            # Before that what comes after the leader are its replicas.
            told = response.API_VERSION >= WITH_IDS
            epochs = {number: epoch for _, number, _, epoch, *_ in partitions} if told else {}
            topics[name] = TopicMetadata(middle[0], leaders, epochs)
        else:
            errors[name] = error
    return ClusterMetadata(brokers, response.controller_id, topics, errors, getattr(response, "cluster_id", None))


class ListedTopic(NamedTuple):
    """A topic in a listing: its error code, whether it is internal, how many partitions it has, and the bits of what
    the client may do with it."""

    error: int
    internal: bool
    partitions: int
    operations: int


def read_listing(response: Any) -> dict[str, ListedTopic]:
    """The topics in a response of any version, by name."""
    found = {}
    for topic in response.topics:
        if response.API_VERSION >= WITH_IDS:
            error, name, _, internal, partitions, operations, *_ = topic
        else:
            (error, name, internal, partitions), operations = topic, NO_OPERATIONS
        found[name] = ListedTopic(error, bool(internal), len(partitions), operations)
    return found


def _topic_fields(response: Any, topic: Sequence[Any]) -> tuple[int, str, bytes, Sequence[Any]]:
    if response.API_VERSION >= WITH_IDS:
        error, name, topic_id, _, partitions, *_ = topic
        return error, name, topic_id, partitions
    error, name, _, partitions = topic
    return error, name, NO_ID, partitions
