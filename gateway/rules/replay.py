"""Dead events of a rule: listed, and put back to be tried again, beside a gateway that runs."""

from __future__ import annotations

from collections.abc import AsyncIterator

from gateway.catalog.catalog import Catalog
from gateway.cooperative import Yielder
from gateway.errors import BadRecord
from gateway.eventlog.port import EventLog, TopicState
from gateway.eventlog.trouble import Refusal, demand, refuse
from gateway.model.record import NewRecord, Record, TopicPartition
from gateway.rules.dead import is_dead_of, revived
from gateway.rules.reading import BATCH_BYTES, BATCH_RECORDS, WAIT_SECONDS
from gateway.rules.rule import Rule, replay_topic
from gateway.rules.window import Place, decode_position, encode_position

APPEND_RECORDS = 100
"""Dead events that are put back in one append."""


def replay_writer_name(rule: str) -> str:
    """The name of the writer whose position says which dead events were put back."""
    return f"rule {rule} replay"


async def dead_events(
    log: EventLog, rule: Rule, catalog: Catalog, places: list[Place] | None = None
) -> AsyncIterator[tuple[Record, Place]]:
    """The dead events of a rule, up to those that there are now, each with the place behind it; with `places`, those
    that stand behind them. Raises LogError."""
    topics = catalog.streams[rule.dead_stream].topics
    known = {place.where: place for place in places or []}
    states = await log.describe(topics)
    work = Yielder()
    for topic in topics:
        state = states.get(topic)
        if not isinstance(state, TopicState):
            continue
        for number in range(state.partitions):
            where = TopicPartition(topic, number)
            bounds = demand(await log.bounds([where]))[where]
            place = known.get(where)
            begin = place.low if place is not None and place.identity == state.identity else bounds.start
            position = max(begin, bounds.start)
            reader = await log.reader({where: position})
            try:
                while position < bounds.end:
                    for batch in await reader.fetch(WAIT_SECONDS, BATCH_RECORDS, max_bytes=BATCH_BYTES):
                        if isinstance(batch, Refusal):
                            refuse({batch.partition: batch.trouble})
                            continue
                        for record in batch.records:
                            await work.give_way()
                            if record.offset < bounds.end and is_dead_of(record, rule.name):
                                yield record, Place(topic, state.identity, number, record.offset + 1)
                        position = batch.position
            finally:
                await reader.close()


async def replay(log: EventLog, rule: Rule, catalog: Catalog) -> tuple[int, int]:
    """Put all dead events of a rule that were not put back before into its topic for that; returns how many, and how
    many more are not whole any more. Each is put back once, whatever is killed in between: the position goes with them.
    Raises LogError."""
    topic = replay_topic(rule.name)
    await log.create(topic)
    writer = await log.writer(replay_writer_name(rule.name))
    places = {place.where: place for place in decode_position(writer.position)}
    put = cut = 0
    records: list[tuple[str, NewRecord]] = []
    try:
        async for record, place in dead_events(log, rule, catalog, list(places.values())):
            try:
                new = revived(record)
            except BadRecord:
                new = None
            cut += new is None
            if new is not None:
                records.append((topic, new))
            places[place.where] = place
            if len(records) >= APPEND_RECORDS:
                await writer.append(records, encode_position(list(places.values())))
                put += len(records)
                records = []
        if records or cut:
            await writer.append(records, encode_position(list(places.values())))
            put += len(records)
    finally:
        await writer.close()
    return put, cut
