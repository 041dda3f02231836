"""The frames for a client of a view: the snapshot at one cut, and then each change. Pure.

After each frame the client holds exactly the fold of the log up to the frame's id. Within the snapshot an id is the
cut's with one entry more, which says up to which key the rows have come.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import orjson

from gateway.catalog.view import View
from gateway.errors import InvalidPosition
from gateway.feed.cursor import Cursor
from gateway.model.position import Ids, PositionEncoder, RequestedPosition, parse_position
from gateway.model.record import TopicPartition
from gateway.state.key import Key, is_member, listed, read, shown, stored
from gateway.state.lookup import Version
from gateway.state.place import Place, Places, consumed_of
from gateway.wire.format import Format


class Range(NamedTuple):
    """The stored keys that a client has asked for: from `start` to before `end`."""

    start: bytes = b""
    end: bytes | None = None

    def has(self, key: bytes) -> bool:
        """Whether this key is among them."""
        return self.start <= key and (self.end is None or key < self.end)


ALL_KEYS = Range()


class Resumed(NamedTuple):
    """An id that came back: the position, and whether it is within a snapshot, behind this key (None: at its
    beginning) and so many rows."""

    position: dict[TopicPartition, RequestedPosition]
    within: bool = False
    after: bytes | None = None
    rows: int = 0
    lost: bool = False
    """Whether the client has to be told that what it has leads nowhere."""


class Frames:
    """The frames of one response, in its format. It knows how far the client has come."""

    def __init__(self, form: Format, view: View, by_timestamp: bool, places: Places, keys: Range, ids: Ids) -> None:
        self._form = form
        self.view = view
        self._by_timestamp = by_timestamp
        self._keys = keys
        self._ids = ids
        self.places = dict(places)
        self.sent = 0
        """Rows of this snapshot."""
        self._cursor = self._begin()

    def _begin(self) -> Cursor:
        consumed = consumed_of(self.view.topic, self.places)
        encoder = PositionEncoder(dict.fromkeys(consumed, self._by_timestamp), ids=self._ids)
        return Cursor(encoder, consumed)

    @property
    def members(self) -> int:
        """Of a key."""
        return len(self.view.key)

    @property
    def identifier(self) -> bytes:
        """That of the stream, at the place to which the client has come."""
        return self._cursor.identifier()

    # -- the snapshot ---------------------------------------------------------------------------------------------

    def within(self, after: Key | None) -> bytes:
        """The id within the snapshot, once the rows have come up to this key."""
        return self._behind(self._before_key(), after)

    def _before_key(self) -> bytes:
        """What all ids of the snapshot begin with."""
        position, name = self.identifier, orjson.dumps(self.view.name)
        if position.startswith(b"["):
            return b'%b,{"view":%b,"after":' % (position[:-1], name)
        return b'[{"position":%b},{"view":%b,"after":' % (orjson.dumps(position.decode()), name)

    def _behind(self, before: bytes, after: Key | None) -> bytes:
        return b'%b%b,"rows":%d}]' % (before, b"null" if after is None else listed(after), self.sent)

    def snapshot(self, kind: bytes, earliest: str | None) -> bytes:
        """The beginning: of a `snapshot`, or of one after a `reset`."""
        return self._form.notice(kind, self.within(None), orjson.dumps({"earliest": earliest}))

    def rows(self, versions: Sequence[Version]) -> bytes:
        """The rows of these keys."""
        frames, before = [], self._before_key()
        for version in versions:
            key = self._key(version)
            self.sent += 1
            frames.append(self._form.notice(b"row", self._behind(before, key), self._document(key, version.value)))
        return b"".join(frames)

    def ready(self) -> bytes:
        """All rows have come."""
        return self._form.notice(b"ready", self.identifier, b'{"keys":%d}' % self.sent)

    # -- what follows ---------------------------------------------------------------------------------------------

    def follow(self, versions: Sequence[Version]) -> bytes:
        """The changes that come next, in order; those that the client has already are left out. Of one record there
        may be several, and its position stands in the last: all of them have to be among these."""
        frames = []
        for index, version in enumerate(versions):
            known = self.places.get(version.partition)
            if known is not None and version.offset < known.next:
                continue
            following = versions[index + 1] if index + 1 < len(versions) else None
            if following is None or following[1:3] != version[1:3]:
                self.advance({version.partition: version.place})
            if self._keys.has(version.key):
                key = self._key(version)
                kind = b"delete" if version.value is None else b"change"
                frames.append(self._form.notice(kind, self.identifier, self._document(key, version.value)))
        return b"".join(frames)

    def advance(self, places: Mapping[int, Place]) -> None:
        """All up to these places has been told, as far as the client is not beyond them."""
        for partition, place in places.items():
            known = self.places.get(partition)
            if known is None or place.next > known.next:
                self.places[partition] = place
                if known is None:
                    self._cursor = self._begin()
                self._cursor.advance(TopicPartition(self.view.topic, partition), place.consumed)

    def heartbeat(self, comment: bytes | None = None) -> bytes:
        """Where the client is."""
        return self._form.heartbeat(self.identifier, comment)

    def _key(self, version: Version) -> Key:
        return read(version.key, len(self.view.key))

    def _document(self, key: Key, value: bytes | None) -> bytes:
        return document(self.view, key, value)


def document(view: View, key: Key, value: bytes | None) -> bytes:
    """A key with its value, whose bytes stay as they are, or alone."""
    named = orjson.dumps(shown(key, view.key))
    return b'{"key":%b}' % named if value is None else b'{"key":%b,"value":%b}' % (named, value)


def whole_groups(versions: Sequence[Version], complete: bool) -> Sequence[Version]:
    """These changes without the last record's, of which more may come where they are not complete."""
    if complete or not versions:
        return versions
    last = versions[-1][1:3]
    end = len(versions)
    while end and versions[end - 1][1:3] == last:
        end -= 1
    return versions[:end] or versions


def parse_id(text: str, view: View) -> Resumed:
    """An id of the view's stream, or of the view. Raises InvalidPosition."""
    data = text.strip()
    if not data.startswith("["):
        return Resumed(parse_position(data))
    try:
        entries = orjson.loads(data)
    except ValueError:
        return Resumed(parse_position(data))
    own = [entry for entry in entries if isinstance(entry, dict) and "view" in entry]
    if not own:
        return Resumed(parse_position(data))
    rest = [entry for entry in entries if entry is not own[0]]
    after = own[0].get("after")
    if len(own) > 1 or own[0]["view"] != view.name:
        raise InvalidPosition(f"it is of another view than {view.name}")
    if after is not None and not _is_key(after, len(view.key)):
        raise InvalidPosition(f"`after` is no key of {view.name}, which has {len(view.key)} members")
    packed = rest[0].get("position") if len(rest) == 1 and isinstance(rest[0], dict) else None
    position = parse_position(packed if isinstance(packed, str) else json.dumps(rest))
    try:
        return Resumed(position, True, None if after is None else stored(tuple(after)), _rows(own[0].get("rows")))
    except ValueError as error:
        raise InvalidPosition(f"`after` is no key: {error}") from None


def _rows(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53 else 0


def _is_key(value: object, members: int) -> bool:
    return isinstance(value, list) and len(value) == members and all(map(is_member, value))
