"""Reads requests for views: paths, parameters, and the text in which a page names the next. Pure."""

from __future__ import annotations

import base64
import binascii
import difflib
import zlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

import orjson
from starlette.datastructures import QueryParams

from gateway.catalog.view import View
from gateway.errors import InvalidPosition, Problem
from gateway.hub.hub import Hub
from gateway.state.frames import Range, Resumed, parse_id
from gateway.state.key import KeyTooLong, after, beginning, is_member, of_texts, stored
from gateway.state.place import Place, Places
from gateway.times import parse_time

MOST_ROWS = 1000
ROWS = 100
MOST_VERSIONS = 1000
VERSIONS = 100
LONGEST_TOKEN = 64 * 1024
PATH = b"/v2/views"

VALUE = ("at",)
HISTORY = ("limit", "before")
PAGE = ("prefix", "limit", "after", "at")
FOLLOW = ("prefix", "last_event_id", "lastEventId")


class Named(NamedTuple):
    """A key as a request names it: what it begins with in the store, or, where `whole`, all of it."""

    start: bytes
    whole: bool


class Target(NamedTuple):
    """What is asked for: all views, one, a key of it, or a key's history."""

    view: str | None = None
    key: tuple[str, ...] = ()


def read_path(raw_path: bytes) -> Target:
    """The parts of a path, each decoded by itself: `%2F` is part of a key. Raises Problem."""
    parts = raw_path.removeprefix(PATH).split(b"/")[1:]
    try:
        texts = [unquote_to_bytes(part).decode() for part in parts]
    except UnicodeDecodeError:
        raise Problem(400, "Bad request", "the path is not UTF-8 once it is decoded", "key") from None
    return Target(texts[0], tuple(texts[1:])) if texts else Target()


def split_key(view: View, parts: Sequence[str]) -> tuple[Named, bool]:
    """The key in a path, and whether its history is asked for: the number of parts tells. Raises Problem."""
    members = len(view.key)
    history = len(parts) == members + 1 and parts[-1] == "history"
    if len(parts) != members and not history:
        named = "/".join(f"{{{path}}}" for path in view.key)
        detail = f"a key of {view.name} has {members} part(s), as in /v2/views/{view.name}/{named}"
        raise Problem(404, "Not found", detail, "key")
    try:
        return Named(of_texts(parts[:members]), whole=False), history
    except KeyTooLong as error:
        raise Problem(400, "Bad request", f"`key`: {error}", "key") from None


def key_of(view: View, text: str) -> Named:
    """The key in the parameter `key`: a JSON array. Raises Problem."""
    try:
        values = orjson.loads(text)
    except ValueError:
        values = None
    if not isinstance(values, list) or len(values) != len(view.key) or not all(map(is_member, values)):
        form = ", ".join(view.key)
        detail = f"`key`: it must be a JSON array of {len(view.key)} texts, whole numbers or booleans: {form}"
        raise Problem(400, "Bad request", detail, "key")
    try:
        return Named(stored(tuple(values)), whole=True)
    except KeyTooLong as error:
        raise Problem(400, "Bad request", f"`key`: {error}", "key") from None


def single_values(query: bytes, allowed: Sequence[str]) -> dict[str, str]:
    """The parameters of a request, each given once. Raises Problem."""
    values: dict[str, str] = {}
    try:
        unquote_to_bytes(query).decode()
    except UnicodeDecodeError:
        raise Problem(400, "Bad request", "the query is not UTF-8 once it is decoded") from None
    for name, value in QueryParams(query).multi_items():
        if name not in allowed:
            close = difflib.get_close_matches(name[:100], allowed, 1, 0.5)
            hint = f"; did you mean {close[0]}?" if close else ""
            known = ", ".join(allowed) or "none"
            raise Problem(
                400, "Bad request", f"there is no parameter {name[:100]!r} here{hint} (there are: {known})", name
            )
        if name in values:
            raise bad(name, "it is given more than once; send it once")
        values[name] = value
    return values


def bad(parameter: str, detail: str) -> Problem:
    """The problem of one parameter."""
    return Problem(400, "Bad request", f"`{parameter}`: {detail}", parameter)


def limit_of(values: Mapping[str, str], default: int, most: int) -> int:
    """Raises Problem."""
    text = values.get("limit")
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise bad("limit", f"{text[:100]!r} is not a number from 1 to {most}")
    return int(text)


def range_of(values: Mapping[str, str], key: Named | None) -> Range:
    """The keys that are asked for. Raises Problem."""
    if key is not None:
        return Range(key.start, key.start + b"\x00" if key.whole else after(key.start))
    prefix = values.get("prefix", "")
    if len(prefix.encode(errors="replace")) > 1024:
        raise bad("prefix", "it is longer than any key: 1024 bytes")
    start = beginning(prefix.encode(errors="replace"), whole=False)
    return Range(start, after(start)) if prefix else Range()


def check_position(resumed: Resumed, view: View, hub: Hub, name: str) -> None:
    """Raises Problem(404) where a position names another topic than the view's, or a partition that it has not."""
    count = len(hub.partitions((view.topic,)))
    for partition in resumed.position:
        if partition.topic != view.topic:
            detail = f"`{name}`: the topic {partition.topic[:100]!r} is not that of {view.name}, {view.topic}"
            raise Problem(404, "Not found", detail, name)
        if view.topic in hub.discovery.existing and partition.partition >= count:
            detail = f"`{name}`: {view.topic} has no partition {partition.partition}"
            raise Problem(404, "Not found", detail, name)


class At(NamedTuple):
    """When: a time (ms), or a position; `text` as it was given."""

    text: str
    time: int | None = None
    resumed: Resumed | None = None


def at_of(values: Mapping[str, str], view: View, now: int) -> At | None:
    """The `at` of a request; None for now. Raises Problem."""
    text = values.get("at", "")
    if not text.strip():
        return None
    if text.strip().startswith(("[", "p1.")):
        try:
            resumed = parse_id(text, view)
        except InvalidPosition as error:
            raise bad("at", str(error)) from None
        return At(text, None, resumed)
    try:
        time = parse_time(text, now)
    except ValueError as error:
        raise bad("at", f"{error}, or an id") from None
    if time > now:
        raise bad("at", "it is in the future; the state then is not known")
    return At(text, time)


class Token(NamedTuple):
    """Where a next page begins: as of these places, behind this key, in the store made then."""

    made: int
    places: Places
    after: bytes


def write_token(token: Token) -> str:
    """The opaque text of it."""
    places = [[partition, *place] for partition, place in sorted(token.places.items())]
    document = orjson.dumps([token.made, places, base64.b64encode(token.after).decode()])
    return base64.urlsafe_b64encode(zlib.compress(document)).decode().rstrip("=")


def _is_number(value: object) -> bool:
    return value.__class__ is int and -(2**63) <= value < 2**63


def number_of(token: Token) -> int:
    """The number of a change, where a token has one in the place of a key. Raises Problem."""
    number = int.from_bytes(token.after)
    if number >= 2**63:
        raise bad("before", "it is no `next` of a history; send that back unchanged")
    return number


def read_token(text: str, parameter: str) -> Token:
    """Raises Problem for what was never written."""
    try:
        if len(text) > LONGEST_TOKEN:
            raise ValueError
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        reader = zlib.decompressobj()
        document = reader.decompress(packed, 4 * LONGEST_TOKEN)
        made, places, key = orjson.loads(document)
        if not all(_is_number(value) for place in places for value in place):
            raise ValueError
        token = Token(int(made), {number: Place(*rest) for number, *rest in places}, base64.b64decode(key))
    except (ValueError, TypeError, binascii.Error, zlib.error, AttributeError):
        raise bad(parameter, "it is no `next` of an answer; send that back unchanged") from None
    return token
