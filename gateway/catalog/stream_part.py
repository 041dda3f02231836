"""Reads the `streams` part of the configuration file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.catalog.derivation import Derivation, topic_of
from gateway.catalog.derive_part import read_derivation
from gateway.catalog.document import Findings, Located, did_you_mean, is_misspelt
from gateway.catalog.lineage import check_lineage
from gateway.catalog.quantity import DURATION_FORM, SIZE_FORM, milliseconds, size
from gateway.catalog.stream import Resume, Retention, Stream
from gateway.catalog.titles import PATTERN_FORM, TITLE_FORM, is_expression, is_title, is_valid_expression

MAXIMUM_PARTITIONS = 10_000
MAXIMUM_OVERLAP = 86_400_000
"""Milliseconds; a longer overlap would read more than a day again at every reconnect."""

OWN_TOPICS = ("gateway.positions",)
"""Topics that the gateway has for itself in Kafka."""

NAME_FORM = "letters, digits, `.`, `_` and `-`, at most 249, beginning with a letter or a digit"
TOPIC_FORM = "letters, digits, `.`, `_` and `-`, at most 249, and not `.` or `..`"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,248}", re.ASCII)
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}", re.ASCII)
_DOTTED = re.compile(r"[^.\s]+(?:\.[^.\s]+)*")

KEYS = (
    "canary_events_enabled",
    "derive",
    "description",
    "error_stream",
    "message_key_fields",
    "partitions",
    "public",
    "resume",
    "resume_overlap",
    "retention",
    "schema_title",
    "stream_aliases",
    "timestamp_field",
    "title",
    "topics",
)


@dataclass(frozen=True, slots=True)
class _Read:
    """A stream as read, with the lines at which mistakes between streams are reported."""

    stream: Stream
    line: int
    key_lines: dict[str, int]
    topic_lines: dict[str, int]
    alias_lines: dict[str, int]


def read_streams(part: Located, findings: Findings) -> list[Stream]:
    """The streams of a mapping from name to configuration. Mistakes and warnings go to `findings`."""
    if not isinstance(part.value, dict) or not part.value:
        what = "holds nothing" if not part.value else f"holds {part.kind}"
        findings.mistake(part.line, f"streams {what}; it takes a mapping of at least one stream name to its keys")
        return []
    read: list[_Read] = []
    for name, item in part.value.items():
        if not _NAME.fullmatch(name):
            findings.mistake(item.line, f'"{name}" cannot be the name of a stream; a name is {NAME_FORM}')
            continue
        if item.value is not None and not isinstance(item.value, dict):
            findings.mistake(item.line, f"{name} is {item.kind}; a stream is a mapping, such as {{description: …}}")
            continue
        read.append(_StreamReader(name, item, findings).read())
    _check_names(read, findings)
    _check_topics(read, findings)
    _check_error_streams(read, findings)
    streams = {one.stream.name: one.stream for one in read}
    return list(
        check_lineage(streams, [one.stream.name for one in read if "partitions" in one.key_lines], findings).values()
    )


def _check_names(read: list[_Read], findings: Findings) -> None:
    """No alias is a stream's name, or another's alias."""
    names = {one.stream.name: one.line for one in read}
    owners: dict[str, tuple[str, int]] = {}
    for one in read:
        for alias, line in one.alias_lines.items():
            if alias in names:
                findings.mistake(
                    line, f"the alias {alias} is the name of the stream at line {names[alias]}; choose another"
                )
            elif alias in owners:
                owner, first = owners[alias]
                findings.mistake(line, f"the alias {alias} belongs to {owner} already, at line {first}; choose another")
            else:
                owners[alias] = (one.stream.name, line)


def _check_topics(read: list[_Read], findings: Findings) -> None:
    """Streams over one topic agree in what belongs to the topic."""
    first_over: dict[str, _Read] = {}
    for one in read:
        for topic, line in one.topic_lines.items():
            first = first_over.setdefault(topic, one)
            for key in ("resume", "partitions", "retention", "public"):
                if getattr(first.stream, key) != getattr(one.stream, key):
                    other = f"{first.stream.name} (line {first.topic_lines[topic]})"
                    findings.mistake(
                        line,
                        f"the topic {topic} is also one of {other}, with another {key}; give both the same {key}",
                    )


def _check_error_streams(read: list[_Read], findings: Findings) -> None:
    """Check that the error stream of each stream exists under its name, and takes events."""
    streams = {one.stream.name: one.stream for one in read}
    for one in read:
        name = one.stream.error_stream
        wrong = None if name is None else error_stream_fault(name, streams)
        if wrong is not None:
            findings.mistake(one.key_lines["error_stream"], f"{one.stream.name}: error_stream {wrong}")


def error_stream_fault(name: str, streams: Mapping[str, Stream]) -> str | None:
    """Why invalid events cannot go to the stream of this name, behind `error_stream`; None where they can."""
    stream = streams.get(name)
    if stream is None:
        return f"is {name}, and there is no stream of that name{did_you_mean(name, streams)}"
    if stream.schema_title is None:
        return f"is {name}, which takes no events; give it a schema_title"
    return None


class _StreamReader:
    """Reads the keys of one stream; a wrong one is reported, and its default applies."""

    def __init__(self, name: str, item: Located, findings: Findings) -> None:
        self._name = name
        self._line = item.line
        self._findings = findings
        self._members: dict[str, Located] = item.value if isinstance(item.value, dict) else {}

    def read(self) -> _Read:
        for key, item in self._members.items():
            if key not in KEYS:
                hint = did_you_mean(key, KEYS)
                # `pubic: false` must not leave a stream public.
                tell = self._findings.mistake if is_misspelt(key, KEYS) else self._findings.warning
                tell(item.line, f"{key} of {self._name} is not used by the gateway{hint}")
        derive = self._derive()
        topics = self._topics(derive)
        for topic, line in list(topics.items()):
            if topic in (".", ".."):
                self._wrong(line, f'"{topic}" cannot be a topic; a topic is {TOPIC_FORM}')
            elif topic in OWN_TOPICS:
                self._wrong(line, f"the gateway keeps something of its own in the topic {topic}; choose another")
        aliases = self._words("stream_aliases", _NAME, "alias", NAME_FORM)
        stream = Stream(
            name=self._name,
            topics=tuple(topics),
            aliases=tuple(aliases),
            title=self._text("title") or self._name,
            description=self._text("description") or "",
            schema_title=self._schema_title(),
            canary_events_enabled=self._flag("canary_events_enabled", False),
            resume=self._resume(),
            resume_overlap=self._overlap(),
            partitions=self._number("partitions", 1, 1, MAXIMUM_PARTITIONS),
            retention=self._retention(),
            timestamp_field=self._text("timestamp_field", _DOTTED, "a dotted path such as meta.dt"),
            message_key_fields=self._key_fields(),
            public=self._flag("public", True),
            error_stream=self._text("error_stream", _NAME, "the name of a stream"),
            derive=derive,
        )
        key_lines = {key: item.line for key, item in self._members.items()}
        return _Read(stream, self._line, key_lines, topics, aliases)

    def _derive(self) -> Derivation | None:
        item = self._get("derive")
        if item is None:
            return None
        for key in ("message_key_fields", "timestamp_field"):
            if (own := self._get(key)) is not None:
                self._wrong(own.line, f"{key} has no place beside derive, which says what key and time of a row are")
        return read_derivation(self._name, item, self._findings)

    def _topics(self, derive: Derivation | None) -> dict[str, int]:
        """The topics with their lines. That of a derived stream is its own, by its version."""
        given = self._words("topics", _TOPIC, "topic", TOPIC_FORM)
        if derive is None:
            return given or {self._name: self._line}
        own = topic_of(self._name, derive)
        if given and list(given) != [own]:
            self._wrong(self._members["topics"].line, f"a derived stream has the topic {own}; leave topics out")
        return {own: self._line}

    def _wrong(self, line: int, text: str) -> None:
        self._findings.mistake(line, f"{self._name}: {text}")

    def _get(self, key: str) -> Located | None:
        """The member, or None where it is missing or empty (`title:` alone is as if not written)."""
        item = self._members.get(key)
        return item if item is not None and item.value is not None else None

    def _text(self, key: str, pattern: re.Pattern[str] | None = None, form: str = "a string") -> str | None:
        item = self._get(key)
        if item is None:
            return None
        if not isinstance(item.value, str):
            hint = "" if isinstance(item.value, list | dict) else " (in quotes)"
            self._wrong(item.line, f"{key} is {item.kind}; it takes {form}{hint}")
            return None
        if pattern is not None and not pattern.fullmatch(item.value):
            self._wrong(item.line, f"{key} is {item.kind}; it takes {form}")
            return None
        return item.value

    def _schema_title(self) -> str | None:
        text = self._text("schema_title", form=TITLE_FORM)
        if text is None or is_title(text):
            return text
        item = self._members["schema_title"]
        if not is_expression(text):
            self._wrong(item.line, f"schema_title is {item.kind}; it takes {TITLE_FORM}")
        elif not is_valid_expression(text):
            self._wrong(item.line, f"schema_title is {item.kind}, which cannot be used; it takes {PATTERN_FORM}")
        else:
            return text
        return None

    def _flag(self, key: str, default: bool) -> bool:
        item = self._get(key)
        if item is None:
            return default
        if not isinstance(item.value, bool):
            self._wrong(item.line, f"{key} is {item.kind}; it takes true or false")
            return default
        return item.value

    def _number(self, key: str, default: int, minimum: int, maximum: int) -> int:
        item = self._get(key)
        if item is None:
            return default
        number = item.value
        if isinstance(number, bool) or not isinstance(number, int) or not minimum <= number <= maximum:
            self._wrong(item.line, f"{key} is {item.kind}; it takes a whole number from {minimum} to {maximum}")
            return default
        return number

    def _resume(self) -> Resume:
        item = self._get("resume")
        if item is None or item.value == "offset":
            return "offset"
        if item.value == "timestamp":
            return "timestamp"
        self._wrong(item.line, f"resume is {item.kind}; it takes offset or timestamp")
        return "offset"

    def _overlap(self) -> int:
        item = self._get("resume_overlap")
        if item is not None and isinstance(item.value, str):
            return self._quantity(item, "resume_overlap", milliseconds, DURATION_FORM, MAXIMUM_OVERLAP) or 0
        return self._number("resume_overlap", 0, 0, MAXIMUM_OVERLAP)

    def _retention(self) -> Retention:
        """`7d`, `1GB`, or both as `{time: 7d, size: 1GB}`."""
        item = self._get("retention")
        if item is None:
            return Retention()
        if isinstance(item.value, dict):
            return self._retention_parts(item.value)
        if isinstance(item.value, str):
            if (duration := milliseconds(item.value)) is not None and duration > 0:
                return Retention(milliseconds=duration)
            if (bound := size(item.value)) is not None and bound > 0:
                return Retention(size=bound)
        forms = "a time such as 7d, a size such as 1GB, or both as {time: 7d, size: 1GB}"
        self._wrong(item.line, f"retention is {item.kind}; it takes {forms}")
        return Retention()

    def _retention_parts(self, parts: dict[str, Located]) -> Retention:
        for key, part in parts.items():
            if key not in ("time", "size"):
                self._wrong(
                    part.line, f"retention has no {key}{did_you_mean(key, ('time', 'size'))}; it takes time, size"
                )
        time = self._quantity(parts.get("time"), "time of the retention", milliseconds, DURATION_FORM)
        bound = self._quantity(parts.get("size"), "size of the retention", size, SIZE_FORM)
        return Retention(time, bound)

    def _quantity(
        self,
        item: Located | None,
        what: str,
        read: Callable[[str], int | None],
        form: str,
        maximum: int | None = None,
    ) -> int | None:
        if item is None:
            return None
        amount = read(item.value) if isinstance(item.value, str) else None
        # A retention of nothing keeps nothing; an overlap of nothing is the default.
        if amount is None or (amount == 0 and maximum is None) or (maximum is not None and amount > maximum):
            bound = f", at most {maximum} milliseconds" if maximum is not None else ""
            self._wrong(item.line, f"the {what} is {item.kind}; it takes {form}{bound}")
            return None
        return amount

    def _words(self, key: str, pattern: re.Pattern[str], what: str, form: str) -> dict[str, int]:
        """The words of a list, in order, with their lines."""
        item = self._get(key)
        if item is None:
            return {}
        if not isinstance(item.value, list) or not item.value:
            found = "an empty list" if item.value == [] else item.kind
            self._wrong(item.line, f"{key} is {found}; it takes a list of at least one {what}, such as [one, two]")
            return {}
        words: dict[str, int] = {}
        for entry in item.value:
            if not isinstance(entry.value, str):
                self._wrong(entry.line, f"{key} holds {entry.kind}; it takes a list of strings (in quotes)")
            elif not pattern.fullmatch(entry.value):
                article = "an" if what == "alias" else "a"
                self._wrong(entry.line, f"{entry.kind} cannot be {article} {what}; {article} {what} is {form}")
            elif entry.value in words:
                self._wrong(entry.line, f"{key} holds {entry.value} twice; keep one")
            else:
                words[entry.value] = entry.line
        return words

    def _key_fields(self) -> tuple[str, ...]:
        """A list of dotted paths, or Wikimedia's mapping from a name to a dotted path."""
        item = self._get("message_key_fields")
        if item is None:
            return ()
        if isinstance(item.value, dict):
            entries = list(item.value.values())
        elif isinstance(item.value, list):
            entries = item.value
        else:
            self._wrong(
                item.line, f"message_key_fields is {item.kind}; it takes a list of paths, such as [wiki, title]"
            )
            return ()
        paths: list[str] = []
        for entry in entries:
            if not isinstance(entry.value, str) or not _DOTTED.fullmatch(entry.value):
                self._wrong(entry.line, f"message_key_fields holds {entry.kind}; it takes dotted paths such as page.id")
            else:
                paths.append(entry.value)
        return tuple(paths)
