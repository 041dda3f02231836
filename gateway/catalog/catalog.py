"""The streams by name, and the resolution of the names that a client asks for."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.catalog.names import Names
from gateway.catalog.stream import Stream
from gateway.errors import Problem

MAXIMUM_NAMES = 100
"""The default bound of the names in one request."""

MATCHED_NAMES = 50_000
"""The most names that are compared with the patterns of one request; one pattern is always allowed."""

PATTERN_CHARACTERS = 1000
"""Of all patterns of one request together: each is compiled."""

_SHOWN_LENGTH = 100
"""Characters of a client's name that an answer repeats, and that close matches are searched for."""


class Catalog:
    """All streams. Raises ValueError when a name or an alias is given to two of them."""

    def __init__(self, streams: Iterable[Stream]) -> None:
        self.streams: dict[str, Stream] = {}
        self._by_any_name: dict[str, Stream] = {}
        for stream in streams:
            self.streams[stream.name] = stream
            for name in (stream.name, *stream.aliases):
                if name in self._by_any_name:
                    raise ValueError(f"two streams are called {name}")
                self._by_any_name[name] = stream
        self._names = Names(self._by_any_name)
        self.topics: tuple[str, ...] = tuple(
            dict.fromkeys(topic for stream in self.streams.values() for topic in stream.topics)
        )

    def __repr__(self) -> str:
        return f"<Catalog of {len(self.streams)} streams over {len(self.topics)} topics>"

    @property
    def by_timestamp(self) -> dict[str, bool]:
        """The topics, and whether they are resumed by timestamp; streams over one topic agree in that."""
        return {topic: stream.resume == "timestamp" for stream in self.streams.values() for topic in stream.topics}

    def get(self, name: str) -> Stream | None:
        """The stream of this name or alias."""
        return self._by_any_name.get(name)

    def resolve(self, names: str, maximum: int = MAXIMUM_NAMES) -> tuple[Stream, ...]:
        """The streams that comma-separated names, aliases and globs mean: each once, in the order first named.

        Raises Problem: 404 for a name that means nothing, 400 for more than `maximum` names.
        """
        # The bounded split keeps the work small however long the list of names is.
        parts = names.split(",", maximum)
        if len(parts) > maximum:
            raise Problem(400, "Too many streams", f"A request may name at most {maximum} streams.", "streams")
        patterns = [part for part in parts if "*" in part or "?" in part]
        tried, characters = len(patterns) * len(self._by_any_name), sum(map(len, patterns))
        if len(patterns) > 1 and (tried > MATCHED_NAMES or characters > PATTERN_CHARACTERS):
            detail = "These are too many patterns for one request; ask for fewer, or for names."
            raise Problem(400, "Too many patterns", detail, "streams")
        found: dict[str, Stream] = {}
        for part in parts:
            for stream in self._meant_by(part):
                found[stream.name] = stream
        return tuple(found.values())

    def _meant_by(self, name: str) -> list[Stream]:
        exact = self._by_any_name.get(name)
        if exact is not None:
            return [exact]
        matching: list[Stream] = []
        if "*" in name or "?" in name:
            meant = {self._by_any_name[found].name for found in self._names.matching(name)}
            matching = [stream for stream in self.streams.values() if stream.name in meant] if meant else []
        if not matching:
            raise Problem(404, "Unknown stream", self._unknown(name), "streams")
        return matching

    def _unknown(self, name: str) -> str:
        if not name:
            return "A stream name is empty; names are separated by single commas. /v2/streams lists the streams."
        shown = name if len(name) <= _SHOWN_LENGTH else name[:_SHOWN_LENGTH] + "…"
        if "*" in name or "?" in name:
            return f'No stream matches "{shown}". /v2/streams lists the streams.'
        close = self.close_matches(name)
        if close:
            return f'There is no stream "{shown}". Close to it: {", ".join(close)}.'
        return f'There is no stream "{shown}". /v2/streams lists the streams.'

    def close_matches(self, name: str) -> list[str]:
        """Up to three names or aliases that look like `name`, the closest first."""
        return self._names.close_to(name)


def glob_matches(pattern: str, name: str) -> bool:
    """Whether all of `name` matches `pattern`, in which `*` is any characters and `?` is one.

    Patterns come from the public: a regular expression could be made to run for ever, this takes at most
    len(pattern) × len(name) steps, since only the last `*` is ever tried again.
    """
    position = index = 0
    star = -1
    resumed = 0
    while index < len(name):
        if position < len(pattern) and pattern[position] == "*":
            star, resumed = position, index
            position += 1
        elif position < len(pattern) and pattern[position] in ("?", name[index]):
            position += 1
            index += 1
        elif star >= 0:
            resumed += 1
            position, index = star + 1, resumed
        else:
            return False
    return pattern[position:].strip("*") == ""
