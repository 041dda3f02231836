"""Merges what several brokers say of a cluster: the newer statement counts, not the last one.

Brokers learn of an election or a new topic one after another. One that is cut off from the others repeats for ever what
was true once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

NO_ID = bytes(16)
"""The topic id of a broker that has none."""

TRUST_SECONDS = 60.0
"""Seconds after which unconfirmed facts no longer contradict what brokers report: a cluster may have been restored."""

MOST_BROKERS = 10_000
"""More brokers in an answer than any cluster has; those beyond are passed over."""

Address = tuple[str, int]


class TopicMetadata(NamedTuple):
    """A topic as a broker knows it. `leaders` has the node of each partition, None while it has no leader; `epochs`
    how often one was elected (KIP-320), where the broker tells."""

    topic_id: bytes
    leaders: Mapping[int, int | None]
    epochs: Mapping[int, int]


class ClusterMetadata(NamedTuple):
    """The addresses of the brokers by node, the controller, the topics, and the error codes of the other topics. The
    id of the cluster is None if the broker does not report it."""

    brokers: Mapping[int, tuple[str, int]]
    controller: int
    topics: Mapping[str, TopicMetadata]
    errors: Mapping[str, int]
    identity: str | None = None


class Topic(NamedTuple):
    """A topic as the cluster knows it: the id is NO_ID where the brokers have none. `epochs` counts the elections of
    each partition; a broker that does not tell has -1."""

    name: str
    topic_id: bytes
    leaders: Mapping[int, int | None]
    epochs: Mapping[int, int] = {}  # of a tuple, and never changed

    @property
    def identity(self) -> str:
        """The identity of a topic, which differs when it is recreated; the name alone if the brokers have no ids."""
        return self.name if self.topic_id == NO_ID else self.topic_id.hex()


def contradicts(known: Topic | None, told: Topic | None) -> bool:
    """Whether a known topic is reported as deleted or recreated. Only a second broker shows whether that is news, or
    comes from a broker that lags behind."""
    return known is not None and (told is None or told.topic_id != known.topic_id)


def agree(told: Topic | None, again: Topic | None) -> bool:
    """Whether two brokers tell the same of a topic's existence and identity."""
    if told is None or again is None:
        return told is again
    return told.topic_id == again.topic_id


def merge(known: Topic | None, told: Topic) -> Topic:
    """The leaders of a topic after an answer. Of each partition, the later epoch counts (KIP-320), and of equal
    epochs the last answer. Another topic id replaces them all. Without ids nothing can be compared, because a
    recreated topic starts its epochs again. Partitions never become fewer."""
    if known is None or known.topic_id != told.topic_id or told.topic_id == NO_ID:
        return told
    leaders, epochs = dict(known.leaders), dict(known.epochs)
    for number, leader in told.leaders.items():
        epoch = told.epochs.get(number, -1)
        if number not in leaders or epoch >= epochs.get(number, -1):
            leaders[number], epochs[number] = leader, epoch
    return Topic(told.name, told.topic_id, dict(sorted(leaders.items())), epochs)


def is_behind(known: Topic, told: Topic) -> bool:
    """Whether an answer shows an earlier election of any partition than the known one."""
    epochs = told.epochs
    return any(epoch > epochs.get(number, -1) for number, epoch in known.epochs.items() if number in told.leaders)


class Memory:
    """Brokers and topics as far as they are known. Times are those of a monotonic clock, in seconds."""

    def __init__(self) -> None:
        self.brokers: dict[int, Address] = {}
        self.controller: int | None = None
        self._told: dict[int, float] = {}
        self._topics: dict[str, Topic] = {}
        self._confirmed: dict[str, float] = {}

    def topic(self, name: str) -> Topic | None:
        """As it is known, however long ago that was."""
        return self._topics.get(name)

    def learn_brokers(self, metadata: ClusterMetadata, now: float) -> None:
        """Those that an answer names are there. Those that it does not name stay for a while: it may be an old one."""
        told = dict(list(metadata.brokers.items())[:MOST_BROKERS])
        self._told |= dict.fromkeys(told, now)
        self._told = {node: at for node, at in self._told.items() if now - at < TRUST_SECONDS}
        self.brokers = {node: address for node, address in self.brokers.items() if node in self._told} | told
        self.controller = metadata.controller

    def learn_topic(self, name: str, told: Topic | None, now: float) -> Topic | None:
        """Take in the facts about a topic, None if it does not exist. Returns those that are valid now."""
        if told is None:
            self._topics.pop(name, None)
            self._confirmed.pop(name, None)
            return None
        known = self._topics.get(name)
        if known is None or known.topic_id != told.topic_id or not is_behind(known, told):
            self._confirmed[name] = now
        elif now - self._confirmed.get(name, now) >= TRUST_SECONDS:
            known, self._confirmed[name] = None, now
        self._topics[name] = merge(known, told)
        return self._topics[name]
