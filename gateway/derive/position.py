"""How far a derived stream has read its sources, as it is stored beside its rows. Pure.

State is not stored: a position says where reading has to begin again so that the same state comes about. It is JSON:
`[format, version, made, [low, {"wiki.change": [identity, [next, behind, newest], …]}]]`. `made` is a digest of the
declaration. All rows are stored up to the time `low` (ms), or none are where it is null. For each partition, `next` is
the offset of the next record. `behind` is how many records before it are read again, and `newest` the newest time (ms)
before those, or null. A list of one number has none to read again, and no time. Older positions lack `low` and its
brackets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from gateway.catalog.derivation import Derivation, Expression
from gateway.derive.clock import BEGINNING
from gateway.errors import GatewayError, InvalidExpression
from gateway.filters.lexer import canonical_text, tokens
from gateway.model.record import TopicPartition

FORMAT = 3
DIVIDED = 2
"""The format of a position that nothing reads on from, but lanes that have none of their own yet."""
_WITHOUT_LOW = 1
"""The format of older positions."""


class PositionRefused(GatewayError):
    """A stored position does not belong to this declaration."""


class PartitionPosition(NamedTuple):
    """`next` is read next; from `since` on, with the clock at `newest` (ms), what was known has to be read again."""

    next: int
    since: int
    newest: int


@dataclass(frozen=True, slots=True)
class Position:
    """Of all partitions; `identities` of their topics, where known: another one means another topic of that name. All
    rows are stored up to `low` (ms); None where that is not known, in a position that an older version stored."""

    partitions: Mapping[TopicPartition, PartitionPosition]
    identities: Mapping[str, str]
    low: int | None


def encode(position: Position, derivation: Derivation, first: int = 0, step: int = 1) -> bytes:
    """As it is stored. A lane has of each topic the partition `first`, and each that is a `step` further."""
    topics: dict[str, list[Any]] = {}
    for place in sorted(position.partitions):
        at = position.partitions[place]
        topic = topics.setdefault(place.topic, [position.identities.get(place.topic, "")])
        if place.partition != first + step * (len(topic) - 1):
            raise ValueError(f"{place.topic} lacks a partition below {place.partition}")
        bare = at.since == at.next and at.newest == BEGINNING
        newest = None if at.newest == BEGINNING else at.newest
        topic.append([at.next] if bare else [at.next, at.next - at.since, newest])
    low = None if position.low == BEGINNING else position.low
    return orjson.dumps([FORMAT, derivation.version, digest(derivation), [low, topics]])


def divided(stored: bytes | None, derivation: Derivation) -> bytes:
    """The position of the whole stream as it is once lanes go on from it: nothing reads on from there. Raises
    PositionRefused."""
    if stored is None:
        return orjson.dumps([DIVIDED, derivation.version, digest(derivation), {}])
    decode(stored, derivation)
    return orjson.dumps([DIVIDED, *orjson.loads(stored)[1:]])


def is_divided(stored: bytes | None) -> bool:
    """Whether lanes go on from this position."""
    return stored is not None and stored.startswith(b"[%d," % DIVIDED)


def before_lanes(stored: bytes, derivation: Derivation) -> Position:
    """Where the whole stream was when it was divided. Raises PositionRefused."""
    return decode(b"[%d," % FORMAT + stored.partition(b",")[2], derivation)


def decode(stored: bytes, derivation: Derivation, first: int = 0, step: int = 1) -> Position:
    """What was stored. Raises PositionRefused where it is that of another version, of a declaration that has changed
    without one, of lanes, or of a later format."""
    try:
        form, version, made, found = orjson.loads(stored)
        if form == DIVIDED:
            raise PositionRefused(
                "it was derived in lanes, and cannot be derived as a whole now; give it another version, or as many "
                "partitions as its source has"
            )
        if form not in (FORMAT, _WITHOUT_LOW):
            raise PositionRefused(f"the position is of format {form!r}, and this version reads {FORMAT}")
        if version != derivation.version:
            raise PositionRefused(
                f"the position is of version {version!r} of the declaration, which is {derivation.version}"
            )
        if made != digest(derivation):
            raise PositionRefused(
                "the declaration has changed since the position was stored; give it another version, or put it back"
            )
        low, topics = _parted(found)
        partitions = {
            TopicPartition(topic, first + step * number): _partition(*numbers)
            for topic, (_, *parts) in topics.items()
            for number, numbers in enumerate(parts)
        }
        if not all(isinstance(identity, str) for identity, *_ in topics.values()):
            raise ValueError("an identity is no text")
        identities = {topic: identity for topic, (identity, *_) in topics.items() if identity}
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise PositionRefused(f"the position cannot be read: {error!r}") from None
    return Position(partitions, identities, low)


@lru_cache(maxsize=1_000)
def digest(derivation: Derivation) -> str:
    """What tells a declaration from one that gives other rows: all that it says, but for where it stands."""
    return hashlib.blake2b(orjson.dumps(_plain(derivation)), digest_size=6).hexdigest()


def _parted(found: Any) -> tuple[int | None, Mapping[str, Any]]:
    """The time up to which all rows are stored, and the topics."""
    if isinstance(found, dict):
        return None, found
    low, topics = found
    if low is not None and type(low) is not int:
        raise ValueError(f"{low!r} is no time")
    return BEGINNING if low is None else low, topics


def _partition(next: int, behind: int = 0, newest: int | None = None) -> PartitionPosition:  # noqa: A002
    numbers = (next, behind, 0 if newest is None else newest)
    if not all(type(number) is int for number in numbers) or not 0 <= behind <= next:
        raise ValueError(f"{numbers} is no partition's place")
    return PartitionPosition(next, next - behind, BEGINNING if newest is None else newest)


_NOT_OF_ROWS = ("line", "source_lines", "since", "version", "allow_unknown")
"""What changes nothing of the rows that come."""


def _plain(value: Any) -> Any:
    if isinstance(value, Expression):
        try:
            return canonical_text(tokens(value.text))
        except InvalidExpression:
            return value.text
    if is_dataclass(value):
        return [_plain(getattr(value, field.name)) for field in fields(value) if field.name not in _NOT_OF_ROWS]
    return [_plain(one) for one in value] if isinstance(value, tuple) else value
