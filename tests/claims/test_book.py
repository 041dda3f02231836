"""The rules of claims: at most one holder at a time, and what is stored is never anybody's again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.claims.book import Book
from gateway.claims.port import LEASE_SECONDS, AskedClaim, ClaimState

HOLDERS = (b"a", b"b", b"c")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["take", "take over", "renew", "store", "free"]),
        st.sampled_from(HOLDERS),
        st.integers(0, 3),
        st.sampled_from([0.0, 0.0, 1.0, LEASE_SECONDS - 0.5, LEASE_SECONDS, 3 * LEASE_SECONDS]),
    ),
    max_size=60,
)


@given(STEPS)
def test_one_holds_a_claim_and_it_lapses_only_when_its_holder_is_silent(
    steps: list[tuple[str, bytes, int, float]],
) -> None:
    book, now = Book(1e9, 1000), 100.0
    holds: dict[int, tuple[bytes, float]] = {}
    stored: set[int] = set()
    for what, holder, number, pause in steps:
        now += pause
        claim = b"%d" % number
        owner, until = holds.get(number, (b"", 0.0))
        if what in ("take", "take over"):
            [standing] = book.take(holder, [AskedClaim(claim, owner if what == "take over" else b"")], now)
            if number in stored:
                assert standing.kind is ClaimState.STORED
            elif owner in (b"", holder):
                assert standing.kind is ClaimState.OWN
            elif now < until:
                assert standing.kind is ClaimState.HELD
            elif what == "take":
                assert standing == (ClaimState.LAPSED, owner)
            else:
                assert standing.kind is ClaimState.OWN
            if standing.kind is ClaimState.OWN:
                holds[number] = holder, now + LEASE_SECONDS
        elif what == "renew":
            own = number not in stored and owner == holder
            assert book.renew(holder, [claim], now) == [own]
            if own:
                holds[number] = holder, now + LEASE_SECONDS
        elif what == "store":
            book.settle(holder, [claim], [], now)
            stored.add(number)
            holds.pop(number, None)
        else:
            book.settle(holder, [], [claim], now)
            if owner == holder:
                holds.pop(number, None)


@given(st.lists(st.integers(0, 30), max_size=100), st.integers(1, 10))
def test_a_book_is_bounded_and_keeps_the_newest(numbers: list[int], maximum: int) -> None:
    book = Book(1e9, maximum)
    for number in numbers:
        book.take(b"a", [AskedClaim(b"%d" % number)], 1.0)
        book.bind(b"%d" % number, b"x", 1.0)
        assert len(book) <= 2 * maximum
        assert book.take(b"b", [AskedClaim(b"%d" % number)], 1.0)[0].kind is ClaimState.HELD


def test_a_claim_is_that_of_the_window() -> None:
    book = Book(60.0, 1000)
    book.take(b"a", [AskedClaim(b"1")], 100.0)
    book.settle(b"a", [b"1"], [], 101.0)
    assert book.take(b"b", [AskedClaim(b"1")], 159.9)[0].kind is ClaimState.STORED
    assert book.take(b"b", [AskedClaim(b"1")], 160.0)[0].kind is ClaimState.OWN
