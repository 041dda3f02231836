"""The catalogue that a grant opens."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.access.grant import NOBODY, Grant
from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.definitions import VIEWS, Current, Definitions
from gateway.errors import Problem
from gateway.schemas.repository import SchemaRepository
from tests.routes.tokens import STREAMS

NAMES = st.text("ab.*?", min_size=1, max_size=4)
GLOBS = st.lists(NAMES, max_size=3).map(tuple)


@given(
    st.dictionaries(st.text("ab.", min_size=1, max_size=3), st.booleans(), min_size=1),
    GLOBS,
    st.lists(NAMES, min_size=1),
)
def test_names_lead_to_nothing_that_is_not_granted(
    public: dict[str, bool], globs: tuple[str, ...], asked: list[str]
) -> None:
    streams = [Stream(name, (name,), public=shown) for name, shown in public.items()]
    current = Current(Definitions(Catalog(streams), SchemaRepository([])))
    visible = current.readable(Grant(read=globs))
    alone = Catalog(stream for stream in streams if stream.public or any(_means(glob, stream.name) for glob in globs))

    def outcome(catalog: Catalog) -> object:
        try:
            return [stream.name for stream in catalog.resolve(",".join(asked))]
        except Problem as problem:
            return problem.document()

    assert list(visible.streams) == list(alone.streams)
    assert outcome(visible) == outcome(alone)
    writable = current.writable(Grant(write=globs, writes_public=False))
    assert set(writable.streams) == {name for name in public if any(_means(glob, name) for glob in globs)}


def _means(glob: str, name: str) -> bool:
    """Another way to match."""
    if not glob:
        return not name
    if glob[0] == "*":
        return _means(glob[1:], name) or (bool(name) and _means(glob, name[1:]))
    return bool(name) and glob[0] in ("?", name[0]) and _means(glob[1:], name[1:])


def test_catalogues_are_made_once_and_not_without_end() -> None:
    current = Current(Definitions(Catalog(STREAMS), SchemaRepository([])))
    assert current.readable(NOBODY) is current.public_catalog
    assert current.readable(Grant(read=("*",))) is current.catalog
    assert current.readable(Grant(read=("nothing",))) is current.public_catalog
    secret = current.readable(Grant(read=("secret",)))
    assert current.readable(Grant(read=("secret",), expires=5)) is secret
    assert current.readable(Grant(read=("s?cret",))) is secret
    for number in range(3 * VIEWS):
        current.readable(Grant(read=(f"nothing-{number}",)))
        assert len(current._views) <= VIEWS
    current.replace(Definitions(Catalog(STREAMS[:1]), SchemaRepository([])))
    assert list(current.readable(Grant(read=("*",))).streams) == ["news"]
