"""A log without haste, for tests that hold no time: it ends no call because a busy machine has given a broker, a disk
or the test itself no core for some seconds. What a call says in time, where nobody answers, has tests of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gateway.archive import log as archive_log
from gateway.archive import reader as archive_reader
from gateway.eventlog.kafka import cluster as kafka_cluster
from gateway.eventlog.kafka import connections as kafka_connections
from gateway.eventlog.kafka import log as kafka_log
from gateway.eventlog.kafka import membership as kafka_membership
from gateway.eventlog.kafka import producer as kafka_producer
from gateway.eventlog.kafka import reader as kafka_reader
from gateway.eventlog.kafka import transactions as kafka_transactions
from gateway.eventlog.kafka import troubles as kafka_troubles
from gateway.eventlog.kafka import writer as kafka_writer
from gateway.eventlog.kafka.connection import BrokerConnection
from gateway.eventlog.sqlite import log as sqlite_log
from gateway.eventlog.sqlite import members as sqlite_members
from gateway.eventlog.sqlite import worker as sqlite_worker

CALL = 60.0
"""Seconds after which a call is given up."""
MEMBER = 25.0
"""Seconds after which a silent member is left out of the division of work; who looks on then sees pieces in two
hands."""

_BOUNDS = {
    "CALL_SECONDS": (kafka_log, kafka_cluster, sqlite_log, sqlite_worker),
    "SEND_SECONDS": (kafka_producer,),
    "OFFER_SECONDS": (sqlite_log,),
    "APPEND_SECONDS": (kafka_writer,),
    "REQUEST_SECONDS": (kafka_transactions,),
    "FETCH_SECONDS": (kafka_reader,),
    "SICK_SECONDS": (kafka_log, kafka_troubles),
    "ATTEMPT_SECONDS": (kafka_cluster, kafka_connections),
    "READ_SECONDS": (archive_log, archive_reader),
}
_MEMBERS = {
    "MEMBER_SECONDS": (kafka_membership, sqlite_members),
    "ROUND_SECONDS": (kafka_membership,),
}


def unhurried(patch: pytest.MonkeyPatch) -> None:
    """Give each call of a log, and each member, more time than a machine stands still."""
    for seconds, bounds in ((CALL, _BOUNDS), (MEMBER, _MEMBERS)):
        for name, modules in bounds.items():
            for module in modules:
                patch.setattr(module, name, seconds)
    patch.setattr(BrokerConnection, "patience", CALL)
    patch.setattr(kafka_membership, "PATIENCE_SECONDS", MEMBER + 3.0)


@contextmanager
def without_haste() -> Iterator[None]:
    """The same for a while: what comes before the broker of a test is stopped."""
    with pytest.MonkeyPatch.context() as patch:
        unhurried(patch)
        yield
