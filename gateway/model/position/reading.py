"""Reads a position in either form."""

from __future__ import annotations

from gateway.errors import InvalidPosition
from gateway.model.position.entry import RequestedPosition
from gateway.model.position.text import parse_text
from gateway.model.position.token import is_token, parse_token
from gateway.model.record import TopicPartition


def parse_position(text: str | bytes) -> dict[TopicPartition, RequestedPosition]:
    """The entries of a Last-Event-ID, by partition. Raises InvalidPosition with what is wrong."""
    try:
        data = text.encode() if isinstance(text, str) else text
    except UnicodeEncodeError:
        raise InvalidPosition("it holds characters that are none") from None
    return parse_token(data.strip()) if is_token(data.strip()) else parse_text(data)
