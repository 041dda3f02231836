"""What Kafka's error codes mean for a topic or partition."""

from __future__ import annotations

from aiokafka.errors import for_code

from gateway.eventlog.trouble import Kind, Trouble

CORRUPT_MESSAGE = 2
UNKNOWN_TOPIC = 3
LEADER_NOT_AVAILABLE = 5
TOPIC_FORBIDDEN = 29
FENCED_LEADER_EPOCH = 74
UNKNOWN_LEADER_EPOCH = 75
UNSUPPORTED_COMPRESSION = 76

_KINDS = {
    CORRUPT_MESSAGE: Kind.UNREADABLE,
    LEADER_NOT_AVAILABLE: Kind.NO_LEADER,
    TOPIC_FORBIDDEN: Kind.NO_RIGHT,
    UNSUPPORTED_COMPRESSION: Kind.UNREADABLE,
}

_NAMES = {FENCED_LEADER_EPOCH: "FencedLeaderEpochError", UNKNOWN_LEADER_EPOCH: "UnknownLeaderEpochError"}
"""Those that aiokafka does not know: the leader that is asked has been elected anew, or does not know it yet. Both pass
once the metadata are newer, or the broker is."""


def trouble_of(code: int, what: str) -> Trouble:
    """The trouble of a topic or partition, by what a broker answers."""
    name = _NAMES.get(code) or for_code(code).__name__
    return Trouble(_KINDS.get(code, Kind.UNAVAILABLE), f"Kafka: {what}: {name}")


def no_leader(topic: str, partition: int) -> Trouble:
    """None of its replicas that could lead is there."""
    return Trouble(Kind.NO_LEADER, f"Kafka: {topic}/{partition} has no leader")
