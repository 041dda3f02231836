"""Dead events: listed, and tried again."""

from __future__ import annotations

import orjson
import pytest

from gateway.intake.error_event import RAW_EVENT_BYTES
from gateway.model.record import NewRecord
from gateway.rules.attempt import Answer
from gateway.rules.dead import VALUE_HEADER
from gateway.rules.replay import dead_events, replay
from tests.rules.kit import CATALOG, DEAD, STREAM, Log, Target, page, record, rule_of, running, until

TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def log() -> Log:
    log = Log()
    log.create_topic(STREAM)
    return log


async def dead_of(log: Log) -> list[bytes | None]:
    """Of the rule, as they are listed."""
    return [record.value async for record, _ in dead_events(log, rule_of(), CATALOG)]


async def test_dead_events_are_tried_again_once(log: Log) -> None:
    target = Target()
    given = [page(1), page(2), page(3, text="x" * (RAW_EVENT_BYTES + 1))]
    target.answers = [Answer(400)] * 3
    async with running(rule_of(), log, target):
        log.append_now(STREAM, [record(one, b"key", (("traceparent", TRACE),)) for one in given])
        await until(lambda: len(log.records(DEAD)) == 3)
        assert await dead_of(log) == [one.value for one in log.records(DEAD)]
        # Another rule has dead events in the same stream, and somebody has written there by hand.
        log.append_now(DEAD, [record({"message": "by hand"}), NewRecord(b"\xff", headers=(("gateway-rule", b"?"),))])
        assert await replay(log, rule_of(), CATALOG) == (3, 0)
        await until(lambda: len(target.asked) == 6)
        assert await replay(log, rule_of(), CATALOG) == (0, 0)
        await until(lambda: log.settled("purge"))
    assert sorted(target.targets[3:]) == sorted(target.targets[:3])
    keys = [dict(one.headers)[b"idempotency-key"] for one in target.asked]
    assert sorted(keys[3:]) == sorted(keys[:3])
    assert {dict(one.headers).get(b"traceparent") for one in target.asked} == {TRACE}
    assert len(await dead_of(log)) == 3


async def test_what_is_dead_again_is_replayed_again(log: Log) -> None:
    target = Target()
    target.answers = [Answer(400)] * 3
    async with running(rule_of(), log, target):
        log.append_now(STREAM, [record(page(1))])
        for deaths in (1, 2, 3):
            await until(lambda deaths=deaths: len(log.records(DEAD)) == deaths)  # type: ignore[misc]
            assert await replay(log, rule_of(), CATALOG) == (1, 0)
        await until(lambda: len(target.asked) == 4 and log.settled("purge"))
    assert orjson.loads(log.records(DEAD)[2].value or b"")["attempts"] == 1


async def test_what_is_not_whole_is_left_out(log: Log) -> None:
    target = Target()
    target.answers = [Answer(400)]
    async with running(rule_of(), log, target):
        log.append_now(STREAM, [record(page(1, text="x" * RAW_EVENT_BYTES))])
        await until(lambda: bool(log.records(DEAD)))
    (dead,) = log.records(DEAD)
    headers = tuple((name, value) for name, value in dead.headers if name != VALUE_HEADER)
    log.append_now(DEAD, [NewRecord(dead.value, dead.key, headers=headers)])
    assert await replay(log, rule_of(), CATALOG) == (1, 1)
