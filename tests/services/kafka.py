"""The Kafka of the tests: one that runs already, or brokers that they start."""

from __future__ import annotations

import os

from loadtests.kafka import JARS_VARIABLE, KafkaBroker, KafkaCluster, jars
from loadtests.machine import free_port

__all__ = ["JARS_VARIABLE", "RUNNING_VARIABLE", "KafkaBroker", "KafkaCluster", "free_port", "jars", "running_broker"]

RUNNING_VARIABLE = "GATEWAY_TEST_KAFKA"
"""The environment variable with `host:port` of a broker that runs already, for tests that need not stop it."""


def running_broker() -> str | None:
    """The broker that runs already, as `host:port`."""
    return os.environ.get(RUNNING_VARIABLE) or None
