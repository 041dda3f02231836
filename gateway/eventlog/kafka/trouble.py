"""Translates Kafka's error codes, for topics and partitions and for records that are written."""

from __future__ import annotations

from aiokafka.errors import for_code

from gateway.eventlog.trouble import Kind, Trouble

CORRUPT_MESSAGE = 2
UNKNOWN_TOPIC = 3
LEADER_NOT_AVAILABLE = 5
MESSAGE_TOO_LARGE = 10
INVALID_TOPIC = 17
BATCH_TOO_LARGE = 18
NOT_ENOUGH_REPLICAS = 19
NOT_ENOUGH_REPLICAS_AFTER_APPEND = 20
TOPIC_FORBIDDEN = 29
CLUSTER_FORBIDDEN = 31
INVALID_TIMESTAMP = 32
INVALID_PARTITIONS = 37
INVALID_REPLICATION_FACTOR = 38
INVALID_CONFIG = 40
POLICY_VIOLATION = 44
STORAGE_ERROR = 56
FENCED_LEADER_EPOCH = 74
UNKNOWN_LEADER_EPOCH = 75
UNSUPPORTED_COMPRESSION = 76
INVALID_RECORD = 87

_KINDS = {
    CORRUPT_MESSAGE: Kind.UNREADABLE,
    LEADER_NOT_AVAILABLE: Kind.NO_LEADER,
    MESSAGE_TOO_LARGE: Kind.TOO_LARGE,
    INVALID_TOPIC: Kind.MISCONFIGURED,
    BATCH_TOO_LARGE: Kind.TOO_LARGE,
    NOT_ENOUGH_REPLICAS: Kind.TOO_FEW_REPLICAS,
    NOT_ENOUGH_REPLICAS_AFTER_APPEND: Kind.TOO_FEW_REPLICAS,
    TOPIC_FORBIDDEN: Kind.NO_RIGHT,
    CLUSTER_FORBIDDEN: Kind.NO_RIGHT,
    INVALID_TIMESTAMP: Kind.TIME,
    INVALID_PARTITIONS: Kind.MISCONFIGURED,
    INVALID_REPLICATION_FACTOR: Kind.TOO_FEW_REPLICAS,
    INVALID_CONFIG: Kind.MISCONFIGURED,
    POLICY_VIOLATION: Kind.NO_RIGHT,
    STORAGE_ERROR: Kind.DISK_FAILS,
    UNSUPPORTED_COMPRESSION: Kind.UNREADABLE,
    INVALID_RECORD: Kind.INVALID,
}

_NAMES = {FENCED_LEADER_EPOCH: "FencedLeaderEpochError", UNKNOWN_LEADER_EPOCH: "UnknownLeaderEpochError"}
"""Error codes that aiokafka does not know: the leader has been elected again, or does not know it yet. Both pass
once the metadata or the broker are up to date."""


def trouble_of(code: int, what: str, reason: str | None = None) -> Trouble:
    """The trouble of a topic or partition, by what a broker answers, and why it says that it does."""
    name = _NAMES.get(code) or for_code(code).__name__
    told = f"{name}: {reason}" if reason else name
    return Trouble(_KINDS.get(code, Kind.UNAVAILABLE), f"Kafka: {what}: {told}")


def no_leader(topic: str, partition: int) -> Trouble:
    """None of its replicas that could lead is there."""
    return Trouble(Kind.NO_LEADER, f"Kafka: {topic}/{partition} has no leader")
