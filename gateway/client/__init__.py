"""Subscribing over HTTP to the event streams of this gateway, or of any server that is compatible with Wikimedia's."""

from gateway.client.answer import bare
from gateway.client.errors import ClientError, EventTooLarge, NotAnEventStream, Refused, StreamFailed
from gateway.client.parser import EventStreamParser, StreamEvent
from gateway.client.place import Place, Places
from gateway.client.subscription import Query, State, Subscription

__all__ = [
    "ClientError",
    "EventStreamParser",
    "EventTooLarge",
    "NotAnEventStream",
    "Place",
    "Places",
    "Query",
    "Refused",
    "State",
    "StreamEvent",
    "StreamFailed",
    "Subscription",
    "bare",
]
