"""How far a rule says that it is behind."""

from __future__ import annotations

import asyncio
from typing import NoReturn

import pytest

from gateway.definitions import Definitions
from gateway.errors import LogForbids, WriterFenced
from gateway.observability import telemetry
from gateway.rules.attempt import Answer, Prepared
from gateway.rules.run import run_rule
from tests.rules.kit import CATALOG, DEAD, SCHEMAS, STREAM, Log, Target, page, record, rule_of, running, until


@pytest.fixture
def log() -> Log:
    log = Log()
    log.create_topic(STREAM)
    return log


@pytest.fixture(autouse=True)
def attentive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.rules.runner.LOOK_SECONDS", 0.01)
    telemetry.rule_ends("purge")


class Silent(Target):
    """A target that never answers."""

    async def send(self, request: Prepared) -> Answer:
        await asyncio.Event().wait()
        raise AssertionError

    async def close(self) -> None:
        """See Egress."""


def lag() -> float | None:
    """What is told of the rule, where something is."""
    gauges = telemetry.own_figures().gauges
    named = "gateway_rule_lag_seconds", (("rule", "purge"),)
    return next((value for (_, *name), value in gauges.items() if tuple(name) == named), None)


def is_behind(seconds: float) -> bool:
    """Whether it is told to be so far behind, or further."""
    told = lag()
    return told is not None and told >= seconds


async def test_a_rule_says_how_far_it_is_behind(log: Log) -> None:
    held = asyncio.Event()

    async def answer(request: Prepared) -> Answer:
        await held.wait()
        return Answer(204)

    async with running(rule_of(), log, Target(answer)):
        await until(lambda: lag() == 0.0)
        log.append_now(STREAM, [record(page(1))])
        log.clock.ahead += 5_000
        await until(lambda: is_behind(5.0))
        held.set()
        await until(lambda: lag() == 0.0)


async def test_it_is_further_and_further_behind_while_the_log_refuses_it(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(records: object) -> NoReturn:
        raise LogForbids("the dead stream may not be written to")

    target = Target()
    target.answers = [Answer(400)]
    async with running(rule_of(), log, target):
        with monkeypatch.context() as patch:
            log.append_now(STREAM, [record(page(1))])
            patch.setattr(log, "append_to_topics", forbidden)
            await until(lambda: len(target.asked) == 1)
            for seconds in (1_000, 2_000):
                log.clock.ahead += 1_000_000
                await until(lambda least=seconds: is_behind(least))  # type: ignore[misc]
        await until(lambda: bool(log.records(DEAD)) and lag() == 0.0)


@pytest.mark.parametrize("is_taken_over", [False, True])
async def test_nothing_is_told_of_a_rule_that_does_not_run_any_more(
    log: Log, is_taken_over: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.rules.run.Egress", lambda networks: Silent())
    monkeypatch.setattr("gateway.rules.runner.DRAIN_SECONDS", 0.05)
    stop = asyncio.Event()
    task = asyncio.create_task(run_rule(rule_of(), log, Definitions(CATALOG, SCHEMAS), [], stop, log.clock))
    await until(lambda: lag() == 0.0)
    log.append_now(STREAM, [record(page(1))])
    log.clock.ahead += 5_000
    await until(lambda: is_behind(5.0))
    if is_taken_over:
        await log.writer("rule purge")
        log.append_now(STREAM, [record(page(2, meta={"domain": "canary"}))])
        with pytest.raises(WriterFenced):
            await task
    else:
        stop.set()
        await task
    assert lag() is None
