"""Subscribing over HTTP to the event streams of this gateway, or of any server that is compatible with Wikimedia's; and
producing into the streams of a gateway."""

from gateway.client.answer import bare
from gateway.client.blocking import BlockingProducer
from gateway.client.errors import (
    ClientError,
    EventFailed,
    EventInvalid,
    EventTooLarge,
    GaveUp,
    NotAnEventStream,
    ProducerClosed,
    Refused,
    StreamFailed,
)
from gateway.client.parser import EventStreamParser, StreamEvent
from gateway.client.place import Place, Places
from gateway.client.producer import Producer, ProducerOptions
from gateway.client.subscription import Query, State, Subscription

__all__ = [
    "BlockingProducer",
    "ClientError",
    "EventFailed",
    "EventInvalid",
    "EventStreamParser",
    "EventTooLarge",
    "GaveUp",
    "NotAnEventStream",
    "Place",
    "Places",
    "Producer",
    "ProducerClosed",
    "ProducerOptions",
    "Query",
    "Refused",
    "State",
    "StreamEvent",
    "StreamFailed",
    "Subscription",
    "bare",
]
