"""Reads the `streams` part of the configuration file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar, get_args

from gateway.catalog.derivation import Derivation, topic_of
from gateway.catalog.derive_part import read_derivation
from gateway.catalog.document import Findings, Located, did_you_mean, is_misspelt, kind_of
from gateway.catalog.lineage import NOTHING, check_lineage
from gateway.catalog.part import Part
from gateway.catalog.quantity import DURATION_FORM, SIZE_FORM, milliseconds, size
from gateway.catalog.stream import Form, KeyForm, Resume, Retention, Stream
from gateway.catalog.titles import PATTERN_FORM, TITLE_FORM, is_expression, is_title, is_valid_expression

Choice = TypeVar("Choice", bound=str)

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

OF_TOPICS = {
    "resume": "resume",
    "partitions": "partitions",
    "retention": "retention",
    "public": "public",
    "format": "form",
    "key_format": "key_form",
}
"""The keys of a stream that belong to its topics, with the attributes."""

KEYS = (
    "archive",
    "canary_events_enabled",
    "derive",
    "description",
    "error_stream",
    "format",
    "key_format",
    "keep",
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


def read_streams(part: Located, findings: Findings, beside: Mapping[str, Stream] = NOTHING) -> list[Stream]:
    """The streams of a mapping from name to configuration. They may name streams `beside` them, which are not
    returned. Mistakes and warnings go to `findings`."""
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
    _check_error_streams(read, beside, findings)
    streams = {one.stream.name: one.stream for one in read}
    given = [one.stream.name for one in read if "partitions" in one.key_lines]
    return list(check_lineage(streams, given, findings, beside).values())


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
            for key, name in OF_TOPICS.items():
                if getattr(first.stream, name) != getattr(one.stream, name):
                    other = f"{first.stream.name} (line {first.topic_lines[topic]})"
                    findings.mistake(
                        line,
                        f"the topic {topic} is also one of {other}, with another {key}; give both the same {key}",
                    )


def _check_error_streams(read: list[_Read], beside: Mapping[str, Stream], findings: Findings) -> None:
    """Check that the error stream of each stream exists under its name, and takes events."""
    streams = {**beside, **{one.stream.name: one.stream for one in read}}
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
    if stream.form != "json":
        return f"is {name}, whose format is {stream.form}; what the gateway makes itself is JSON"
    return None


class _StreamReader(Part):
    """Reads the keys of one stream."""

    def read(self) -> _Read:
        for key, item in self.members.items():
            if key not in KEYS:
                hint = did_you_mean(key, KEYS)
                # `pubic: false` must not leave a stream public.
                tell = self.findings.mistake if is_misspelt(key, KEYS) else self.findings.warning
                tell(item.line, f"{key} of {self.name} is not used by the gateway{hint}")
        derive = self._derive()
        topics = self._topics(derive)
        for topic, line in list(topics.items()):
            if topic in (".", ".."):
                self.wrong(line, f'"{topic}" cannot be a topic; a topic is {TOPIC_FORM}')
            elif topic in OWN_TOPICS:
                self.wrong(line, f"the gateway keeps something of its own in the topic {topic}; choose another")
        keep = self._keep()
        aliases = self._names("stream_aliases", _NAME, "alias", NAME_FORM)
        stream = Stream(
            name=self.name,
            topics=tuple(topics),
            aliases=tuple(aliases),
            title=self._text("title") or self.name,
            description=self._text("description") or "",
            schema_title=self._schema_title(),
            canary_events_enabled=self.flag("canary_events_enabled", False),
            resume=self._resume(),
            resume_overlap=self._overlap(),
            partitions=self.number("partitions", 1, 1, MAXIMUM_PARTITIONS),
            retention=replace(self._retention(), compacted=derive is not None and bool(derive.latest)),
            timestamp_field=self._text("timestamp_field", _DOTTED, "a dotted path such as meta.dt"),
            message_key_fields=self._key_fields(),
            public=self.flag("public", True),
            error_stream=self._text("error_stream", _NAME, "the name of a stream"),
            derive=derive,
            form=self._choice("format", get_args(Form), derive) or "json",
            key_form=self._choice("key_format", get_args(KeyForm), derive) or "string",
            archive=keep is not None or self.flag("archive", False),
            keep=keep,
        )
        key_lines = {key: item.line for key, item in self.members.items()}
        return _Read(stream, self.line, key_lines, topics, aliases)

    def _derive(self) -> Derivation | None:
        item = self.get("derive")
        if item is None:
            return None
        for key in ("message_key_fields", "timestamp_field"):
            if (own := self.get(key)) is not None:
                self.wrong(own.line, f"{key} has no place beside derive, which says what key and time of a row are")
        return read_derivation(self.name, item, self.findings)

    def _topics(self, derive: Derivation | None) -> dict[str, int]:
        """The topics with their lines. That of a derived stream is its own, by its version."""
        given = self._names("topics", _TOPIC, "topic", TOPIC_FORM)
        if derive is None:
            return given or {self.name: self.line}
        own = topic_of(self.name, derive.version)
        if given and list(given) != [own]:
            self.wrong(self.members["topics"].line, f"a derived stream has the topic {own}; leave topics out")
        return {own: self.line}

    def _text(self, key: str, pattern: re.Pattern[str] | None = None, form: str = "a string") -> str | None:
        item = self.get(key)
        if item is None:
            return None
        if not isinstance(item.value, str):
            hint = "" if isinstance(item.value, list | dict) else " (in quotes)"
            self.wrong(item.line, f"{key} is {item.kind}; it takes {form}{hint}")
            return None
        if pattern is not None and not pattern.fullmatch(item.value):
            self.wrong(item.line, f"{key} is {item.kind}; it takes {form}")
            return None
        return item.value

    def _schema_title(self) -> str | None:
        text = self._text("schema_title", form=TITLE_FORM)
        if text is None or is_title(text):
            return text
        item = self.members["schema_title"]
        if not is_expression(text):
            self.wrong(item.line, f"schema_title is {item.kind}; it takes {TITLE_FORM}")
        elif not is_valid_expression(text):
            self.wrong(item.line, f"schema_title is {item.kind}, which cannot be used; it takes {PATTERN_FORM}")
        else:
            return text
        return None

    def _choice(self, key: str, known: tuple[Choice, ...], derive: Derivation | None) -> Choice | None:
        """One of the known words. A derived stream has none: what the gateway makes is JSON."""
        item = self.get(key)
        if item is None:
            return None
        if derive is not None:
            self.wrong(item.line, f"{key} has no place beside derive: the rows of a derived stream are JSON")
        for word in known:
            if item.value == word:
                return word
        hint = did_you_mean(item.value, known) if isinstance(item.value, str) else ""
        self.wrong(item.line, f"{key} is {item.kind}; it takes {', '.join(known[:-1])} or {known[-1]}{hint}")
        return None

    def _resume(self) -> Resume:
        item = self.get("resume")
        if item is None or item.value == "offset":
            return "offset"
        if item.value == "timestamp":
            return "timestamp"
        self.wrong(item.line, f"resume is {item.kind}; it takes offset or timestamp")
        return "offset"

    def _overlap(self) -> int:
        item = self.get("resume_overlap")
        if item is not None and isinstance(item.value, str):
            return self._quantity(item, "resume_overlap", milliseconds, DURATION_FORM, MAXIMUM_OVERLAP) or 0
        return self.number("resume_overlap", 0, 0, MAXIMUM_OVERLAP)

    def _keep(self) -> int | None:
        """`5y`: the stream is archived, and records stay in the archive for so long."""
        item = self.get("keep")
        if item is None:
            return None
        if (given := self.get("archive")) is not None and given.value is False:
            self.wrong(item.line, "keep says how long the archive keeps records, and archive is false; leave one out")
        return self._quantity(item, "time to keep", milliseconds, DURATION_FORM)

    def _retention(self) -> Retention:
        """`7d`, `1GB`, or both as `{time: 7d, size: 1GB}`."""
        item = self.get("retention")
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
        self.wrong(item.line, f"retention is {item.kind}; it takes {forms}")
        return Retention()

    def _retention_parts(self, parts: dict[str, Located]) -> Retention:
        for key, part in parts.items():
            if key not in ("time", "size"):
                self.wrong(
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
            self.wrong(item.line, f"the {what} is {item.kind}; it takes {form}{bound}")
            return None
        return amount

    def _names(self, key: str, pattern: re.Pattern[str], what: str, form: str) -> dict[str, int]:
        """The names of a list, in order, with their lines."""
        names = self.words(key, f"a list of at least one {what}, such as [one, two] (numbers in quotes)")
        for name, line in list(names.items()):
            if not pattern.fullmatch(name):
                article = "an" if what == "alias" else "a"
                self.wrong(line, f"{kind_of(name)} cannot be {article} {what}; {article} {what} is {form}")
                del names[name]
        return names

    def _key_fields(self) -> tuple[str, ...]:
        """A list of dotted paths, or Wikimedia's mapping from a name to a dotted path."""
        item = self.get("message_key_fields")
        if item is None:
            return ()
        if isinstance(item.value, dict):
            entries = list(item.value.values())
        elif isinstance(item.value, list):
            entries = item.value
        else:
            self.wrong(item.line, f"message_key_fields is {item.kind}; it takes a list of paths, such as [wiki, title]")
            return ()
        paths: list[str] = []
        for entry in entries:
            if not isinstance(entry.value, str) or not _DOTTED.fullmatch(entry.value):
                self.wrong(entry.line, f"message_key_fields holds {entry.kind}; it takes dotted paths such as page.id")
            else:
                paths.append(entry.value)
        return tuple(paths)
