"""aiokafka's producer, which the writer uses for transactions, with an end in bounded time even without brokers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from aiokafka.errors import IllegalOperation, KafkaError

from gateway.cooperative import retrieve
from gateway.eventlog.kafka.connections import CLOSE_SECONDS
from gateway.eventlog.offer import RECORD_BYTES
from gateway.model.record import NewRecord, TopicPartition

REQUEST_SECONDS = 3.0
"""A request that the brokers have not answered by then is given up, before the call of `append` is."""

BATCH_BYTES = 256 * 1024
"""Records of one partition are sent together up to this."""


def producer_options(bootstrap: Sequence[str], options: Mapping[str, object]) -> dict[str, Any]:
    """How every producer of the gateway is made; `options` are those of aiokafka's connections."""
    return {
        "bootstrap_servers": list(bootstrap),
        "acks": "all",
        "enable_idempotence": True,
        "request_timeout_ms": int(REQUEST_SECONDS * 1000),
        "max_request_size": RECORD_BYTES,
        "max_batch_size": BATCH_BYTES,
        **options,
    }


async def send_all(producer: Any, records: Iterable[tuple[str, NewRecord]]) -> list[tuple[TopicPartition, int]]:
    """Send records to topics, and return the location of each once all are acknowledged. Raises aiokafka's errors."""
    sent = []
    try:
        for topic, new in records:
            arguments = (topic, new.value, new.key, new.partition, new.timestamp, list(new.headers))
            try:
                sent.append(await producer.send(*arguments))
            except IllegalOperation:
                # The transaction has failed meanwhile; a record that was sent before knows why.
                await asyncio.gather(*sent)
                raise
        results = await asyncio.gather(*sent)
    except BaseException:
        for future in sent:
            future.add_done_callback(retrieve)
        raise
    return [(TopicPartition(result.topic, result.partition), result.offset) for result in results]


async def stop_producer(producer: Any) -> None:
    """Stop a producer, also where the brokers are gone, for whom it would wait without end. Takes CLOSE_SECONDS at the
    most."""
    stop = asyncio.ensure_future(producer.stop())
    await asyncio.wait([stop], timeout=CLOSE_SECONDS / 2)
    if not stop.done():
        # What it waits for does not come; without its tasks it ends at once.
        for task in _tasks(producer):
            task.cancel()
        await asyncio.wait([stop], timeout=CLOSE_SECONDS / 4)
    if not stop.done():
        stop.cancel()
        closing = asyncio.ensure_future(producer.client.close())
        await asyncio.wait([closing, stop], timeout=CLOSE_SECONDS / 4)
        closing.cancel()
    for task in _tasks(producer):
        task.cancel()
    if stop.done():
        with suppress(Exception, asyncio.CancelledError):
            stop.result()
    _forget_failures(producer)


def _tasks(producer: Any) -> list[asyncio.Task[Any]]:
    """The tasks that still work for a producer, which keeps no list of them."""
    owners = (producer._sender, producer._message_accumulator)
    found = []
    for task in asyncio.all_tasks():
        frame = getattr(task.get_coro(), "cr_frame", None)
        if frame is not None and any(frame.f_locals.get("self") is owner for owner in owners):
            found.append(task)
    return found


def _forget_failures(producer: Any) -> None:
    """How its batches and its last transaction failed is known already."""
    accumulator, transactions = producer._message_accumulator, producer._txn_manager
    accumulator.fail_all(KafkaError("the producer is stopped"))
    batches = [batch for batches in accumulator._batches.values() for batch in batches]
    futures = [batch._drain_waiter for batch in (*batches, *accumulator._pending_batches)]
    if transactions is not None and transactions.wait_for_transaction_end() is not None:
        futures.append(transactions.wait_for_transaction_end())
    for future in futures:
        future.add_done_callback(retrieve)
