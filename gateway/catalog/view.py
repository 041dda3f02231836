"""The declaration of a view: a stream's state by key, as the `views` of the configuration say it."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import orjson

from gateway.catalog.derivation import Expression

Reduce = Literal["latest", "merge"]


@dataclass(frozen=True, slots=True)
class View:
    """A view. `key` has dotted paths into an event; `history` is how far back states are kept, in milliseconds of
    record time (None: as far as the log reaches). `tombstone` has the paths that a record's own key is made of.
    `determined`: the key tells the partition of an event, so that the topic may have several.

    `latest` keeps the newest event of a key; `merge` applies each event to what was before (RFC 7396). An event for
    which `delete` is true deletes its key.
    """

    name: str
    stream: str
    topic: str
    key: tuple[str, ...]
    reduce: Reduce = "latest"
    delete: Expression | None = None
    history: int | None = None
    tombstone: tuple[str, ...] = ()
    determined: bool = False
    line: int = field(default=0, compare=False)

    @property
    def digest(self) -> str:
        """What its state follows from: two views with one digest have the same state."""
        return hashlib.blake2b(self.document(), digest_size=6).hexdigest()

    def document(self) -> bytes:
        """The declaration as JSON, without what may change and leave the state as it is."""
        members = asdict(self)
        members["delete"] = None if self.delete is None else self.delete.text
        return orjson.dumps({name: members[name] for name in sorted(members.keys() - {"history", "line"})})


def view_of(document: bytes) -> View:
    """The view of a document, without its history."""
    members: dict[str, Any] = orjson.loads(document)
    delete = members.pop("delete")
    members |= {name: tuple(members[name]) for name in ("key", "tombstone")}
    return View(**members, delete=None if delete is None else Expression(delete))
