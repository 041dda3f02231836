"""What operators are told of brokers."""

from __future__ import annotations

from typing import cast

import pytest

from gateway.errors import LogUnavailable
from gateway.eventlog.kafka import survey
from gateway.eventlog.kafka.cluster import Cluster
from gateway.eventlog.kafka.metadata import Address

BROKER = ("kafka.test", 9092)
SLOW = "Kafka: connect to kafka.test:9092: no answer within 2 s"
WRONG = "Kafka: connect to kafka.test:9092: the credentials are refused"


class FailingCluster:
    """Its brokers fail with these, and answer then."""

    def __init__(self, *failures: str) -> None:
        self.failures = list(failures)
        self.brokers: dict[int, Address] = {}
        self.tries = 0

    async def learn_from(self, _: Address) -> None:
        self.tries += 1
        if self.failures:
            raise LogUnavailable(self.failures.pop(0))


@pytest.mark.parametrize(
    ("failures", "tries", "told"),
    [
        ([], 1, ""),
        ([SLOW, SLOW], 3, ""),
        ([SLOW] * 9, 3, "no answer within 2 s"),
        ([WRONG] * 9, 1, "the credentials are refused"),
        ([SLOW, WRONG], 2, "the credentials are refused"),
    ],
)
async def test_a_broker_that_is_slow_is_tried_again(
    failures: list[str], tries: int, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survey, "BACKOFF_SECONDS", 0.0)
    cluster = FailingCluster(*failures)
    (reached,) = await survey.reach(cast(Cluster, cluster), [BROKER], "SASL_PLAINTEXT")
    assert (reached.failure, cluster.tries) == (told, tries)
