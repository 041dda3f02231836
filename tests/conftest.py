"""The services that tests of several rooms share."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import settings

from tests.effort import USUAL
from tests.failures import Failures
from tests.services.kafka import JARS_VARIABLE, KafkaBroker, KafkaCluster, jars, running_broker
from tests.services.redis import RedisServer, redis_program
from tests.told import Gatherer

settings.register_profile("soak", max_examples=100 * USUAL, deadline=None)
settings.register_profile("long", max_examples=USUAL, deadline=None)
settings.register_profile("quick", max_examples=USUAL // 10, deadline=None)
settings.load_profile("long")


ROOT = Path(__file__).parent
IN_PAIRS = ("attacks", "explorer")
"""Rooms whose tests start processes and hold the time that these take."""


SLOWEST = (
    "test_bench", "test_state", "test_sharing", "test_faults_cluster", "test_clients", "test_log", "test_reload",
    "test_stored_once", "test_travelling", "test_use", "test_faults_output", "test_mirror", "test_guides", "test_image",
    "test_watching", "test_lineage", "test_requests", "test_stops", "test_faults_process", "test_faults_churn",
    "test_nginx", "test_commands", "test_rules", "test_intake", "test_install_guide",
)  # fmt: skip
"""Files that take minutes, the longest first: they begin first, and no other waits for one at the end."""


def pytest_configure(config: pytest.Config) -> None:
    """What tests tell comes together at the end."""
    config.pluginmanager.register(Gatherer(config))
    config.pluginmanager.register(Failures())


def pytest_collection_finish() -> None:
    """What has been collected stays, and need not be looked through for garbage again and again."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """At the end of the process, nothing that stayed counts as left over."""
    gc.unfreeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """See `in_pairs` in pyproject.toml. Tests of a file stay together, in their order."""
    ranks = {name: rank for rank, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: ranks.get(item.path.stem, len(ranks)))
    for item in items:
        if item.path.parent.name in IN_PAIRS and item.get_closest_marker("end_to_end") is not None:
            item.add_marker(pytest.mark.in_pairs)


def absent(what: str) -> NoReturn:
    """In CI a service that is missing is a failure; elsewhere its tests are left out."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """What a test configures of the log ends with it."""
    loggers = [logging.getLogger(name) for name in ("", "aiokafka", "httpx", "uvicorn.access", "uvicorn.error")]
    before = [(logger, list(logger.handlers), list(logger.filters), logger.level) for logger in loggers]
    yield
    for logger, handlers, filters, level in before:
        logger.handlers[:], logger.filters[:] = handlers, filters
        logger.setLevel(level)


@pytest.fixture(scope="session")
def kafka_jars() -> Path:
    """The directory of Kafka's jars."""
    return jars() or absent(f"{JARS_VARIABLE} names no directory with Kafka's jars")


@pytest.fixture(scope="session")
def own_broker(tmp_path_factory: pytest.TempPathFactory, kafka_jars: Path) -> Iterator[KafkaBroker]:
    """A broker that a test may stop, and starts again before it ends."""
    broker = KafkaBroker(tmp_path_factory.mktemp("kafka"), kafka_jars)
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> str:
    """The address of a broker that runs throughout."""
    running = running_broker()
    if running is not None:
        return running
    broker: KafkaBroker = request.getfixturevalue("own_broker")
    return broker.bootstrap


@pytest.fixture
def broker(own_broker: KafkaBroker) -> Iterator[KafkaBroker]:
    """A broker that runs when the test begins, and runs again when it has ended, also where a test has failed while it
    was paused."""
    own_broker.start()
    own_broker.resume()
    yield own_broker
    own_broker.start()
    own_broker.resume()


@pytest.fixture(scope="session")
def own_cluster(tmp_path_factory: pytest.TempPathFactory, kafka_jars: Path) -> Iterator[KafkaCluster]:
    """Three brokers, each of which a test may stop."""
    cluster = KafkaCluster(tmp_path_factory.mktemp("cluster"), kafka_jars)
    if any(broker.is_old for broker in cluster.brokers.values()):
        pytest.skip("a cluster of this Kafka needs a ZooKeeper for all its brokers")
    yield cluster
    cluster.kill()


@pytest.fixture
def cluster(own_cluster: KafkaCluster) -> KafkaCluster:
    """Three brokers that run when the test begins."""
    own_cluster.start()
    for broker in own_cluster.brokers.values():
        broker.resume()
    return own_cluster


@pytest.fixture(scope="session")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis that a test may stop."""
    server = RedisServer(tmp_path_factory.mktemp("redis"), redis_program() or absent("there is no redis-server"))
    yield server
    server.kill()


@pytest.fixture
def redis_server(own_redis: RedisServer) -> RedisServer:
    """A Redis that runs when the test begins."""
    own_redis.start()
    return own_redis


@pytest.fixture
def topic() -> str:
    """A name that no other test uses."""
    return f"test.{uuid.uuid4().hex}"


@pytest.fixture(scope="session")
def curl() -> str:
    """The curl program."""
    return shutil.which("curl") or absent("there is no curl")


@pytest.fixture(scope="session")
def openssl() -> str:
    """The openssl program."""
    return shutil.which("openssl") or absent("there is no openssl")


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    """Commands that run in the tests' own process take signals, and would end it at one of a later test."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        if handler is not None and signal.getsignal(number) is not handler:
            signal.signal(number, handler)
