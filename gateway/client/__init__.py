"""The Python client: reads events from a gateway or a server compatible with Wikimedia's, and sends events to one.

    from gateway.client import subscribe

    async with subscribe("http://127.0.0.1:8080", "wiki.change", since="10m") as events:
        async for event in events:
            print(event.json["title"])

`subscribe_blocking` does the same for programs without an event loop. `view` and `view_blocking` give the state of a
stream by key as a mapping that stays up to date. `Producer` and `BlockingProducer` send events.
`gateway.client.errors` has the errors. The server is not imported.
"""

from gateway.client.advice import QueryWarning
from gateway.client.answer import bare, is_address
from gateway.client.blocking import BlockingProducer
from gateway.client.blocking_stream import BlockingEventStream, subscribe_blocking
from gateway.client.duplicates import Duplicates, RecentIds
from gateway.client.errors import (
    ClientError,
    EventFailed,
    EventInvalid,
    EventsMissing,
    EventTooLarge,
    EventUnreadable,
    GaveUp,
    InvalidQuery,
    NotAnEventStream,
    PositionStoreError,
    ProducerClosed,
    Refused,
    StreamFailed,
)
from gateway.client.event import Event
from gateway.client.frame import StreamEvent
from gateway.client.gap import Gap
from gateway.client.parser import EventStreamParser
from gateway.client.place import Place, Places
from gateway.client.producer import Producer, ProducerOptions
from gateway.client.query import Query, server_address, stream_address
from gateway.client.stores import FilePositions, MemoryPositions, PositionStore
from gateway.client.stream import EventStream, subscribe
from gateway.client.subscription import State, Subscription
from gateway.client.view import BlockingView, Change, View, view, view_blocking

__all__ = [
    "BlockingEventStream",
    "BlockingProducer",
    "BlockingView",
    "Change",
    "ClientError",
    "Duplicates",
    "Event",
    "EventFailed",
    "EventInvalid",
    "EventStream",
    "EventStreamParser",
    "EventTooLarge",
    "EventUnreadable",
    "EventsMissing",
    "FilePositions",
    "Gap",
    "GaveUp",
    "InvalidQuery",
    "MemoryPositions",
    "NotAnEventStream",
    "Place",
    "Places",
    "PositionStore",
    "PositionStoreError",
    "Producer",
    "ProducerClosed",
    "ProducerOptions",
    "Query",
    "QueryWarning",
    "RecentIds",
    "Refused",
    "State",
    "StreamEvent",
    "StreamFailed",
    "Subscription",
    "View",
    "bare",
    "is_address",
    "server_address",
    "stream_address",
    "subscribe",
    "subscribe_blocking",
    "view",
    "view_blocking",
]
