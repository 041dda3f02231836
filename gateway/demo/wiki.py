"""Events that look like the changes of a handful of wikis. Pure and seeded: equal seeds and times give equal events.

Pages have a history: an edit begins at the revision and the length at which the last edit left its page.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any
from urllib.parse import quote

from gateway.demo.vocabulary import BOTS, FAMILY_NAMES, GIVEN_NAMES, LANGUAGES, USER_WORDS, Language

Event = dict[str, Any]

MAXIMUM_PAGES = 4000
"""Pages of one wiki that are remembered; beyond it a new page takes the place of an old one."""

FIRST_PAGES = 250
REGULAR_USERS = 120

_USER, _PROJECT = 2, 4
_NEW_SHARE, _LOG_SHARE = 0.03, 0.04
_BOT_SHARE, _ADDRESS_SHARE = 0.22, 0.15

_COUNTERS_BEGIN = 1_577_836_800_000
"""2020 in milliseconds. Revisions are numbered from the start time of a generator, at less than one in 20 ms for
each wiki. So the numbers of a later run are higher than those of this one."""


@dataclass(slots=True)
class _Page:
    """A page as the last change left it; `revision` 0 is one that has only just been thought of."""

    number: int
    title: str
    namespace: int
    url: str
    length: int
    revision: int


@dataclass(slots=True)
class _Wiki:
    """One wiki: its pages, its people and its counters."""

    language: Language
    revision: int
    change: int
    log: int
    page: int
    users: list[str] = field(default_factory=list)
    pages: list[_Page] = field(default_factory=list)
    titles: set[str] = field(default_factory=set)


class WikiSample:
    """A generator of events. `begin` (milliseconds since the epoch) sets where the counters start; `seed` the rest."""

    def __init__(self, seed: int, begin: int) -> None:
        self._random = random.Random(seed)
        base = max(1, (begin - _COUNTERS_BEGIN) // 20)
        self._wikis = [_Wiki(language, base, base // 2, base // 40, 10_000) for language in LANGUAGES]
        self._weights = list(accumulate(language.weight for language in LANGUAGES))
        self._second = -1
        self._second_text = ""
        for wiki in self._wikis:
            wiki.users = [self._user_name() for _ in range(REGULAR_USERS)]
            for _ in range(FIRST_PAGES):
                self._add_page(wiki, max(1, wiki.revision - self._random.randrange(1, 2_000_000)))

    def next(self, now: int) -> tuple[Event, Event | None]:
        """The change at this time (milliseconds since the epoch); for a new page also the event of its creation."""
        wiki = self._random.choices(self._wikis, cum_weights=self._weights)[0]
        chance = self._random.random()
        if chance < _NEW_SHARE:
            return self._new_page(wiki, now)
        if chance < _NEW_SHARE + _LOG_SHARE:
            return self._log_entry(wiki, now), None
        return self._edit(wiki, now), None

    def _edit(self, wiki: _Wiki, now: int) -> Event:
        chance = self._random
        # Some pages are changed far more often than others: the square favours the first.
        page = wiki.pages[int(chance.random() ** 2 * len(wiki.pages))]
        user, bot = self._who(wiki)
        old_length, old_revision = page.length, page.revision
        wiki.revision += 1
        page.length, page.revision = max(40, old_length + self._growth(old_length, bot)), wiki.revision
        event = self._event(wiki, page, now, "edit", user=user, bot=bot, comment=self._comment(wiki, bot))
        event["minor"] = bot or chance.random() < 0.25
        event["length"] = {"old": old_length, "new": page.length}
        event["revision"] = {"old": old_revision, "new": page.revision}
        host = wiki.language.host
        event["notify_url"] = f"https://{host}/w/index.php?diff={page.revision}&oldid={old_revision}"
        return event

    def _new_page(self, wiki: _Wiki, now: int) -> tuple[Event, Event]:
        wiki.revision += 1
        page = self._add_page(wiki, wiki.revision)
        user, bot = self._who(wiki)
        comment = wiki.language.new_page
        event = self._event(wiki, page, now, "new", user=user, bot=bot, comment=comment)
        event["minor"] = False
        event["length"] = {"old": None, "new": page.length}
        event["revision"] = {"old": None, "new": page.revision}
        event["notify_url"] = f"https://{wiki.language.host}/w/index.php?oldid={page.revision}"
        creation: Event = {
            "$schema": "/wiki/page-create/1.0.0",
            "meta": {**event["meta"], "id": self._uuid(), "stream": "wiki.page-create"},
            "wiki": wiki.language.wiki,
            "page": {"id": page.number, "title": page.title, "namespace": page.namespace},
            "revision": {"id": page.revision, "length": page.length},
            "user": user,
            "bot": bot,
            "comment": comment,
        }
        return event, creation

    def _log_entry(self, wiki: _Wiki, now: int) -> Event:
        chance = self._random
        page = chance.choice(wiki.pages)
        user = chance.choice(wiki.users)
        wiki.log += 1
        kind = chance.random()
        if kind < 0.5:
            target = self._free_title(wiki, page.namespace)
            event = self._event(
                wiki, page, now, "log", user=user, bot=False, comment=chance.choice(wiki.language.moves)
            )
            self._log_fields(event, wiki, "move", "move", {"target": target, "noredir": "0"})
            # From now on the page is changed under its new title.
            wiki.titles.discard(page.title)
            self._rename(wiki, page, target)
        elif kind < 0.8:
            level = chance.choice(("autoconfirmed", "sysop"))
            event = self._event(wiki, page, now, "log", user=user, bot=False, comment="")
            self._log_fields(event, wiki, "protect", "protect", {"details": [{"type": "edit", "level": level}]})
        else:
            event = self._event(wiki, page, now, "log", user=user, bot=False, comment="")
            self._log_fields(event, wiki, "patrol", "patrol", {"curid": page.revision, "auto": 0})
        return event

    def _log_fields(self, event: Event, wiki: _Wiki, log: str, action: str, parameters: Event) -> None:
        event["log_id"] = wiki.log
        event["log_type"] = log
        event["log_action"] = action
        event["log_params"] = parameters

    def _event(self, wiki: _Wiki, page: _Page, now: int, kind: str, *, user: str, bot: bool, comment: str) -> Event:
        """The members that all kinds of change have."""
        host = wiki.language.host
        wiki.change += 1
        return {
            "$schema": "/wiki/change/1.0.0",
            "meta": {
                "uri": page.url,
                "request_id": self._uuid(),
                "id": self._uuid(),
                "dt": self._iso(now),
                "domain": host,
                "stream": "wiki.change",
            },
            "id": wiki.change,
            "type": kind,
            "namespace": page.namespace,
            "title": page.title,
            "title_url": page.url,
            "comment": comment,
            "timestamp": now // 1000,
            "user": user,
            "bot": bot,
            "server_url": f"https://{host}",
            "server_name": host,
            "wiki": wiki.language.wiki,
        }

    def _who(self, wiki: _Wiki) -> tuple[str, bool]:
        """The author of a change, and whether it is a bot; some people are not logged in."""
        chance = self._random.random()
        if chance < _BOT_SHARE:
            return self._random.choice(BOTS), True
        if chance < _BOT_SHARE + _ADDRESS_SHARE:
            number = self._random.getrandbits(16)
            if number & 1:
                return f"198.51.100.{number >> 8}", False
            return f"2001:DB8:0:{number:X}:0:0:0:{number >> 4:X}", False
        return wiki.users[int(self._random.random() ** 2 * len(wiki.users))], False

    def _comment(self, wiki: _Wiki, bot: bool) -> str:
        chance = self._random
        if bot:
            return f"Bot: {wiki.language.comments[1]}"
        comment = chance.choice(wiki.language.comments)
        if "{" in comment:
            return comment.format(user=chance.choice(wiki.users))
        if chance.random() < 0.4:
            return f"/* {chance.choice(wiki.language.sections)} */ {comment}".rstrip()
        return comment

    def _growth(self, length: int, bot: bool) -> int:
        """By how many bytes an edit changes a page: mostly little, pages over 60 KB rather shrink."""
        change = int(self._random.expovariate(1 / 25 if bot else 1 / 180)) + 1
        shrinks = self._random.random() < (0.55 if length > 60_000 else 0.3)
        return -min(change, length // 2) if shrinks else change

    def _add_page(self, wiki: _Wiki, revision: int) -> _Page:
        share = self._random.random()
        main = wiki.language.main
        namespace = main if share < 0.78 else main + 1 if share < 0.9 else _USER if share < 0.96 else _PROJECT
        wiki.page += 1
        length = int(self._random.lognormvariate(8.0, 1.2)) + 60
        page = _Page(wiki.page, "", namespace, "", length, revision)
        self._rename(wiki, page, self._free_title(wiki, namespace))
        if len(wiki.pages) < MAXIMUM_PAGES:
            wiki.pages.append(page)
        else:
            place = self._random.randrange(len(wiki.pages))
            wiki.titles.discard(wiki.pages[place].title)
            wiki.pages[place] = page
        return page

    def _rename(self, wiki: _Wiki, page: _Page, title: str) -> None:
        page.title = title
        page.url = f"https://{wiki.language.host}/wiki/{quote(title.replace(' ', '_'), safe='/:()')}"
        wiki.titles.add(title)

    def _free_title(self, wiki: _Wiki, namespace: int) -> str:
        """A title that no page of the wiki has. When the words are used up, it gets a number."""
        language, chance = wiki.language, self._random
        prefix = {
            language.main: language.main_prefix,
            language.main + 1: language.talk,
            _USER: language.user,
            _PROJECT: language.project,
        }[namespace]
        title = ""
        for _ in range(4):
            title = chance.choice(wiki.users) if namespace == _USER else self._title(language)
            if prefix:
                title = f"{prefix}:{title}"
            if title not in wiki.titles:
                return title
        number = 2
        while f"{title} ({number})" in wiki.titles:
            number += chance.randrange(1, 50)
        return f"{title} ({number})"

    def _title(self, language: Language) -> str:
        chance = self._random
        title = chance.choice(language.titles).format(
            place=chance.choice(language.places),
            thing=chance.choice(language.things),
            person=f"{chance.choice(GIVEN_NAMES)} {chance.choice(FAMILY_NAMES)}",
            year=chance.randrange(1850, 2027),
            digit=chance.randrange(1, 10),
        )
        return title[0].upper() + title[1:]

    def _user_name(self) -> str:
        chance = self._random
        if chance.random() < 0.5:
            return f"{chance.choice(GIVEN_NAMES)} {chance.choice(FAMILY_NAMES)}"
        return f"{chance.choice(USER_WORDS)}{chance.choice(USER_WORDS).lower()}{chance.randrange(1, 100)}"

    def _uuid(self) -> str:
        """A random UUID (version 4); made here since the module uuid would not take our seed, and takes longer."""
        bits = f"{self._random.getrandbits(128):032x}"
        return f"{bits[:8]}-{bits[8:12]}-4{bits[13:16]}-a{bits[17:20]}-{bits[20:]}"

    def _iso(self, now: int) -> str:
        second = now // 1000
        if second != self._second:
            self._second = second
            self._second_text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._second_text}.{now % 1000:03d}Z"
