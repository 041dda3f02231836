"""The Kafka of the tests: one that runs already, or brokers that they start."""

from __future__ import annotations

import os
from struct import Struct

from loadtests.kafka import JARS_VARIABLE, KafkaBroker, KafkaCluster, jars
from loadtests.machine import free_port

__all__ = [
    "JARS_VARIABLE",
    "RUNNING_VARIABLE",
    "KafkaBroker",
    "KafkaCluster",
    "cut_back",
    "free_port",
    "jars",
    "running_broker",
]

BATCH = Struct(">qi")
"""The offset of a batch's first record, and the bytes behind these two numbers."""
CLEAN_SHUTDOWN = ".kafka_cleanshutdown"
"""A broker that finds this file takes it that nothing is wrong with the others."""

RUNNING_VARIABLE = "GATEWAY_TEST_KAFKA"
"""The environment variable with `host:port` of a broker that runs already, for tests that need not stop it."""


def running_broker() -> str | None:
    """The broker that runs already, as `host:port`."""
    return os.environ.get(RUNNING_VARIABLE) or None


def cut_back(broker: KafkaBroker, topic: str, end: int, partition: int = 0) -> None:
    """Take the batches from an offset on out of the files of a broker that does not run, as if they had never reached
    its disk. Each record has to be a batch of its own. The broker finds the rest sound, and makes its indexes anew."""
    for segment in broker.segments(topic, partition):
        stored = segment.read_bytes()
        place = 0
        while place < len(stored):
            offset, size = BATCH.unpack_from(stored, place)
            if offset >= end:
                break
            place += BATCH.size + size
        segment.write_bytes(stored[:place])
        for index in segment.parent.glob(f"{segment.stem}.*index"):
            index.unlink()
    (segment.parent.parent / CLEAN_SHUTDOWN).unlink(missing_ok=True)
