"""A rule at work, over a log in memory and a target that answers as a test says."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from gateway.derive import sources
from gateway.derive.engine import Event, event_of
from gateway.errors import WriterFenced
from gateway.eventlog.offer import RECORD_BYTES
from gateway.eventlog.trouble import Kind, Trouble
from gateway.model.record import NewRecord, Record, TopicPartition
from gateway.rules.attempt import Answer, Prepared
from gateway.rules.runner import MOST_UNSTORED, Runner
from gateway.rules.tries import HEADER, tries_of
from tests.rules.kit import (
    CATALOG,
    DEAD,
    OTHER,
    PURGE,
    SCHEMAS,
    STREAM,
    WAIT,
    Log,
    Target,
    means,
    page,
    record,
    rule_of,
    running,
    until,
)

TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ORDERED = """
purge:
  on: [wiki.page-create]
  do: [{request: {url: "http://cache.example/{event.key}/{event.n}"}}]
  key: event.key
  ordered: true
  retry: {after: [30s, 5m]}
  dead_stream: wiki.purge-dead
"""


@pytest.fixture
def log() -> Log:
    log = Log()
    log.create_topic(STREAM)
    return log


async def test_rules_of_one_stream_read_and_decode_it_once(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = list[int]()

    def counted(record: Record) -> Event:
        decoded.append(record.offset)
        return event_of(record)

    monkeypatch.setattr(sources, "event_of", counted)
    target, stop = Target(), asyncio.Event()
    shared = means(log, target)
    names = ("purge", "second")
    rules = [rule_of(PURGE.replace("purge:", f"{name}:", 1)) for name in names]
    tasks = [asyncio.create_task(Runner(rule, shared).run(stop)) for rule in rules]
    await until(lambda: all(f"rule {name}" in log.writers and log.writers[f"rule {name}"].position for name in names))
    log.append_now(STREAM, [record(page(number)) for number in range(50)] + [NewRecord(b"{")])
    await until(lambda: len(target.asked) == 100)
    stop.set()
    await asyncio.gather(*tasks)
    assert sorted(decoded) == list(range(51))


async def test_each_event_is_sent_once(log: Log) -> None:
    target = Target()
    log.append_now(STREAM, [record(page(0))])
    async with running(rule_of(), log, target):
        log.append_now(STREAM, [record(page(number)) for number in range(1, 51)])
        await until(lambda: len(target.asked) == 50)
    assert sorted(target.targets) == sorted(f"/purge/Page%20{number}" for number in range(1, 51)), (
        "what was before is not"
    )
    async with running(rule_of(), log, target):
        log.append_now(STREAM, [record(page(51))])
        await until(lambda: len(target.asked) == 51)
    assert target.targets[-1] == "/purge/Page%2051"


@pytest.fixture(autouse=True)
def attentive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.rules.runner.LOOK_SECONDS", 0.01)
    monkeypatch.setattr("gateway.rules.reading.SURVEY_SECONDS", 0.1)
    monkeypatch.setattr("gateway.rules.reading.WAIT_SECONDS", 0.1)


async def test_what_fails_waits_in_a_topic_of_its_delay(log: Log) -> None:
    target = Target()
    target.answers = [Answer(503), Answer(None, "no answer within 5 s")]
    async with running(rule_of(), log, target):
        log.append_now(STREAM, [record(page(1), headers=(("traceparent", TRACE),))])
        await until(lambda: bool(log.records("purge.retry-30s")))
        assert len(target.asked) == 1
        await asyncio.sleep(0.05)
        assert len(target.asked) == 1, "it is not due"
        log.clock.ahead += 31_000
        await until(lambda: bool(log.records("purge.retry-5m")))
        assert len(target.asked) == 2
    (waiting,) = log.records("purge.retry-5m")
    tries = tries_of(waiting)
    assert tries is not None
    assert (tries.tries, tries.told) == (2, "no answer within 5 s")
    # Another process goes on with it.
    async with running(rule_of(), log, target):
        await asyncio.sleep(0.05)
        assert len(target.asked) == 2
        log.clock.ahead += 301_000
        await until(lambda: len(target.asked) == 3)
    assert len({dict(one.headers)[b"idempotency-key"] for one in target.asked}) == 1
    assert [dict(one.headers)[b"traceparent"] for one in target.asked] == [TRACE] * 3
    assert dict(target.asked[2].headers)[b"x-triggered-by"] == f"purge:{STREAM}/0/0".encode()
    assert not log.records(DEAD)
    async with running(rule_of(), log, target):
        await asyncio.sleep(0.05)
    assert len(target.asked) == 3


async def test_what_fails_at_each_try_is_dead_with_the_reason(log: Log) -> None:
    target = Target()
    target.answers = [Answer(503, body=b"one"), Answer(500, body=b"two"), Answer(502, body=b"three \xff")]
    async with running(rule_of(), log, target):
        log.append_now(STREAM, [record(page(1))])
        for tried in (1, 2):
            await until(lambda tried=tried: len(target.asked) == tried)  # type: ignore[misc]
            await until(lambda: log.settled("purge"))
            log.clock.ahead += 400_000
        await until(lambda: bool(log.records(DEAD)))
    (dead,) = log.records(DEAD)
    event = orjson.loads(dead.value or b"")
    assert event["message"] == "rule purge: it answers 502, at try 3 of 3"
    assert (event["attempts"], event["status"], event["answer"]) == (3, 502, "three �")
    assert event["source"] == {
        "topic": STREAM,
        "partition": 0,
        "offset": 0,
        "timestamp": log.records(STREAM)[0].timestamp,
    }
    assert event["raw_event"].encode() == log.records(STREAM)[0].value
    assert event["errored_stream_name"] == STREAM
    assert not SCHEMAS.taken_by(CATALOG.streams[DEAD]).faults(event)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("status", "dead"), [(301, True), (302, True), (400, True), (404, False), (412, False), (418, True), (204, False)]
)
async def test_what_is_not_tried_again_is_done_or_dead(log: Log, status: int, dead: bool) -> None:
    target = Target()
    target.answers = [Answer(status)]
    async with running(rule_of(PURGE + "  ignore: [404, 412]\n"), log, target):
        log.append_now(STREAM, [record(page(1)), record(page(2))])
        await until(lambda: len(target.asked) == 2 and log.settled("purge"))
    assert [orjson.loads(one.value or b"")["message"] for one in log.records(DEAD)] == (
        [f"rule purge: it answers {status}"] if dead else []
    )


async def test_no_event_keeps_another_from_being_sent(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither one that is none, nor a canary, nor one for which the template has no value, nor a mistake of ours."""

    async def answer(request: Prepared) -> Answer:
        if request.target.endswith("broken"):
            raise RuntimeError("a mistake")
        return Answer(204)

    target = Target(answer)
    bad: list[object] = [
        b"no JSON", b"[]", b"\xff", page(1, title=None), page(2, title=""), page(3, title={"a": 1}), {"meta": {}},
        page(4, meta={"domain": "canary"}), page(5, title="\ud800".encode("utf-8", "surrogatepass").decode("latin1")),
        page(6, title="broken"), b'{"title":"\\ud800"}',
    ]  # fmt: skip
    async with running(rule_of(), log, target):
        log.append_now(STREAM, [record(one) for one in bad] + [NewRecord(None, b"key", partition=0), record(page(7))])
        await until(lambda: "/purge/Page%207" in target.targets and log.settled("purge"))
    reasons = [orjson.loads(one.value or b"")["message"] for one in log.records(DEAD)]
    assert len(reasons) == 6
    assert sum("a mistake" in reason for reason in reasons) == 1
    assert sum("empty" in reason for reason in reasons) == 1


async def test_one_of_a_key_is_in_flight_at_a_time(log: Log) -> None:
    busy: set[str] = set()
    most = 0

    async def answer(request: Prepared) -> Answer:
        nonlocal most
        assert request.target not in busy
        busy.add(request.target)
        most = max(most, len(busy))
        await asyncio.sleep(0.001)
        busy.discard(request.target)
        return Answer(204)

    target = Target(answer)
    async with running(rule_of(PURGE + "  concurrency: 4\n"), log, target):
        log.append_now(STREAM, [record(page(number, title=f"T{number % 7}")) for number in range(200)])
        await until(lambda: len(target.asked) == 200 and log.settled("purge"))
    assert most == 4


async def test_a_rate_bounds_the_tries(log: Log) -> None:
    target = Target()
    async with running(rule_of(PURGE + "  limit: 100/s\n"), log, target):
        begun = asyncio.get_running_loop().time()
        log.append_now(STREAM, [record(page(number)) for number in range(40)])
        await until(lambda: len(target.asked) == 40)
        assert asyncio.get_running_loop().time() - begun > 0.25


@pytest.mark.long
async def test_retry_after_stops_the_rule_for_a_while(log: Log) -> None:
    tried: list[float] = []

    async def answer(request: Prepared) -> Answer:
        tried.append(asyncio.get_running_loop().time())
        return Answer(429, retry_after="1") if len(tried) == 1 else Answer(204)

    async with running(rule_of(PURGE + "  concurrency: 1\n"), log, Target(answer)):
        log.append_now(STREAM, [record(page(1)), record(page(2))])
        await until(lambda: len(tried) == 2)
    assert len(log.records("purge.retry-30s")) == 1
    assert tried[1] - tried[0] > 0.8


MADE = """
made:
  on: [wiki.page-create]
  where: event.wiki != "wiki0"
  do:
    - produce: {stream: wiki.made, select: SELECT}
  dead_stream: wiki.purge-dead
"""


async def test_an_event_is_made_of_another(log: Log) -> None:
    example = SCHEMAS.taken_by(CATALOG.streams[OTHER]).examples[0]  # type: ignore[union-attr]
    members = {name: f"event.{name}" for name in example if name not in ("$schema", "meta")}
    rule = rule_of(MADE.replace("SELECT", orjson.dumps(members).decode()))
    async with running(rule, log, Target()):
        given = [{**example, "wiki": f"wiki{number}"} for number in range(3)]
        log.append_now(STREAM, [record(one) for one in given] + [record({"wiki": "not valid"})])
        await until(lambda: log.settled("made") and len(log.records(OTHER)) == 2)
    made = [orjson.loads(one.value or b"") for one in log.records(OTHER)]
    assert [one["wiki"] for one in made] == ["wiki1", "wiki2"]
    assert {one["meta"]["stream"] for one in made} == {OTHER}
    assert {one["meta"]["dt"] for one in made} == {example["meta"]["dt"]}
    assert len({one["meta"]["id"] for one in made} | {example["meta"]["id"]}) == 3
    assert len(log.records(DEAD)) == 1


async def test_whoever_is_taken_over_stops(log: Log) -> None:
    target = Target()
    stop = asyncio.Event()
    task = asyncio.create_task(Runner(rule_of(), means(log, target)).run(stop))
    await until(lambda: "rule purge" in log.writers and log.writers["rule purge"].position is not None)
    other = await log.writer("rule purge")
    before = other.position
    target.answers = [Answer(503)] * 2
    log.append_now(STREAM, [record(page(1)), record(page(2))])
    async with asyncio.timeout(WAIT):
        with pytest.raises(WriterFenced):
            await task
    assert not log.records("purge.retry-30s"), "what it did is stored in part"
    assert other.position == before


async def test_the_log_may_go_away_at_any_time(log: Log) -> None:
    target = Target()
    async with running(rule_of(), log, target):
        for round_ in range(3):
            log.append_now(STREAM, [record(page(10 * round_ + number)) for number in range(10)])
            log.available = False
            await asyncio.sleep(0.05)
            log.available = True
            await until(lambda round_=round_: len(set(target.targets)) == 10 * round_ + 10)  # type: ignore[misc]
        await until(lambda: log.settled("purge"))
    assert len(target.targets) == 30, "an outage alone repeats nothing"


async def test_while_the_log_is_away_a_bounded_number_is_tried(log: Log) -> None:
    """Whoever is killed then repeats no more than these."""
    target = Target()
    async with running(rule_of(), log, target):
        log.append_now(STREAM, [record(page(number)) for number in range(MOST_UNSTORED + 50)])
        log.deaf = True
        await until(lambda: len(target.asked) >= MOST_UNSTORED)
        await asyncio.sleep(0.1)
        assert len(target.asked) <= MOST_UNSTORED + 10
        log.deaf = False
        await until(lambda: len(target.asked) == MOST_UNSTORED + 50)
    assert len(set(target.targets)) == MOST_UNSTORED + 50


async def test_what_the_log_has_lost_is_passed_over(log: Log) -> None:
    target = Target()
    async with running(rule_of(), log, target):
        log.append_now(STREAM, [record(page(1))])
        await until(lambda: log.settled("purge"))
    log.append_now(STREAM, [record(page(number)) for number in range(2, 6)])
    log.truncate(STREAM, 0, 3)
    async with running(rule_of(), log, target):
        await until(lambda: log.settled("purge") and len(target.asked) == 3)
        log.delete_topic(STREAM)
        await asyncio.sleep(0.05)
    log.create_topic(STREAM)
    log.append_now(STREAM, [record(page(7))])
    async with running(rule_of(), log, target):
        await until(lambda: len(target.asked) == 4)
    assert target.targets == [f"/purge/Page%20{number}" for number in (1, 4, 5, 7)]


async def test_a_sick_partition_keeps_no_other_waiting(log: Log) -> None:
    """It is begun where it stood when the rule began, once it heals."""
    log.add_partitions(STREAM, 2)
    sick = TopicPartition(STREAM, 1)
    old = NewRecord(orjson.dumps(page(0)), partition=1)
    log.append_now(STREAM, [old])
    log.clock.ahead += 1000
    log.refuse(sick, Trouble(Kind.NO_LEADER, "no leader"))
    target = Target()
    async with running(rule_of(), log, target):
        log.append_now(STREAM, [record(page(1)), old._replace(value=orjson.dumps(page(2)))])
        await until(lambda: target.targets == ["/purge/Page%201"])
        log.refuse(sick, None)
        await until(lambda: len(target.asked) == 2)
        log.spoil(sick, Trouble(Kind.UNREADABLE, "a batch", 2))
        log.append_now(STREAM, [record(page(3))])
        await until(lambda: len(target.asked) == 3)
        log.spoil(sick, None)
        log.append_now(STREAM, [old._replace(value=orjson.dumps(page(4)))])
        await until(lambda: len(target.asked) == 4)
    assert target.targets == [f"/purge/Page%20{number}" for number in (1, 2, 3, 4)]


async def test_what_is_too_large_to_be_kept_is_dead(log: Log) -> None:
    target = Target()
    target.answers = [Answer(503)] * 3
    large = page(1, title="L", text="x" * (RECORD_BYTES - 200))
    async with running(rule_of(), log, target):
        log.append_now(STREAM, [record(large), record(page(2)), record(page(3))])
        await until(lambda: bool(log.records(DEAD)) and len(log.records("purge.retry-30s")) == 2)
    (dead,) = log.records(DEAD)
    assert "it cannot be kept for another try" in orjson.loads(dead.value or b"")["message"]
    assert HEADER in dict(dead.headers)


async def test_an_ordered_rule_keeps_the_order_of_a_key(log: Log) -> None:
    delivered: list[str] = []
    away = True

    async def answer(request: Prepared) -> Answer:
        if away and "/A/" in request.target:
            return Answer(503)
        delivered.append(request.target)
        return Answer(204)

    rule = rule_of(ORDERED)
    log_ = log

    def put(key: str, *numbers: int) -> None:
        log_.append_now(STREAM, [record(page(number, key=key, n=number)) for number in numbers])

    async with running(rule, log, Target(answer)):
        put("A", 1, 2)
        put("B", 3)
        await until(lambda: len(log.records("purge.retry-30s")) == 2)
        log.clock.ahead += 31_000
        await until(lambda: len(log.records("purge.retry-5m")) == 2)
        put("A", 4)
        await until(lambda: len(log.records("purge.retry-5m")) == 3)
    # Another process knows who waits.
    async with running(rule, log, Target(answer)):
        put("A", 5)
        await until(lambda: len(log.records("purge.retry-5m")) == 4)
        away = False
        put("A", 6)
        put("B", 7)
        await until(lambda: len(log.records("purge.retry-5m")) == 5)
        log.clock.ahead += 301_000
        await until(lambda: len(delivered) == 7)
        put("A", 8)
        await until(lambda: len(delivered) == 8)
    assert [one for one in delivered if "/A/" in one] == [f"/A/{number}" for number in (1, 2, 4, 5, 6, 8)]
    assert [one for one in delivered if "/B/" in one] == ["/B/3", "/B/7"]
