"""Fuzzers: whatever a parser is given, it reads it or refuses it as documented, in bounded time and memory.

`pytest tests/fuzz --hypothesis-profile=soak` tries a hundred times as many inputs as scripts/test does.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from hypothesis import strategies as st

from tests.columns import columns

CPU_SECONDS = 1.0
"""Of the processor's time, that one input may take; usual ones take less than a hundredth of it."""
MEMORY = 32 << 20
"""Bytes that one input may take on top of itself."""
WEIGHED_EVERY = 8
"""Of so many inputs, the memory of one is measured, which takes several times as long."""

T = TypeVar("T")


@dataclass(eq=False)
class Fuzzer:
    """Counts what is tried on one parser. `refusals` are the exceptions that say that an input is wrong."""

    name: str
    refusals: tuple[type[Exception], ...]
    seconds: float = CPU_SECONDS
    memory: int = MEMORY
    silent: bool = False
    """Whether the exception alone says all."""
    inputs: int = 0
    refused: int = 0
    slowest: float = 0.0
    """CPU seconds."""
    largest: int = 0
    """Bytes of memory."""

    def __post_init__(self) -> None:
        FUZZERS.append(self)

    def attempt(self, parse: Callable[[], T]) -> T | None:
        """What the parser makes of an input, or None where it refuses it. Any other exception passes."""
        self.inputs += 1
        try:
            with self._measured(self.inputs % WEIGHED_EVERY == 0):
                return parse()
        except self.refusals as error:
            self.refuse(error)
            return None

    def refuse(self, error: Exception) -> None:
        """Count a refusal, which has to say something."""
        self.refused += 1
        assert str(error) or self.silent, "a refusal says what is wrong"
        assert "Traceback" not in str(error)

    @contextmanager
    def _measured(self, weighed: bool) -> Iterator[None]:
        if weighed:
            tracemalloc.start()
        begun = time.thread_time()
        try:
            yield
        finally:
            # Also of what is refused.
            spent = time.thread_time() - begun
            if weighed:
                peak = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
                self.largest = max(self.largest, peak)
                assert peak < self.memory, f"{self.name}: {peak} bytes for one input"
            else:
                self.slowest = max(self.slowest, spent)
                assert spent < self.seconds, f"{self.name}: {spent:.2f} s of CPU for one input"


FUZZERS: list[Fuzzer] = []


def table() -> list[str]:
    """A line for each fuzzer that ran, as in Markdown."""
    heads = ("fuzzer", "inputs", "refused", "slowest, ms of CPU", "most memory, KB")
    rows = [
        (one.name, f"{one.inputs:,}", f"{one.refused:,}", f"{one.slowest * 1000:.1f}", f"{one.largest / 1024:,.0f}")
        for one in FUZZERS
        if one.inputs
    ]
    return columns(heads, rows, {"fuzzer"}) if rows else []


def pieces(*words: str, most: int = 30) -> st.SearchStrategy[str]:
    """Texts made of these words, of characters, and of either many times over."""
    part = st.sampled_from(words) | st.text(max_size=4)
    many = st.tuples(part, st.sampled_from([1, 1, 1, 2, 50, 1000])).map(lambda pair: pair[0] * pair[1])
    return st.lists(many, max_size=most).map("".join)


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Something that is right, with some bytes changed, taken out, put in, or repeated."""
    data = bytearray(draw(whole))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        change = draw(st.sampled_from(["replace", "insert", "cut", "repeat", "end"]))
        if change == "replace" and at < len(data):
            data[at] = draw(st.integers(0, 255))
        elif change == "insert":
            data[at:at] = draw(st.binary(max_size=8))
        elif change == "cut":
            del data[at : at + draw(st.integers(1, 20))]
        elif change == "repeat":
            data[at:at] = data[at : at + 20] * draw(st.sampled_from([1, 10, 500]))
        elif change == "end":
            del data[at:]
    return bytes(data)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**63 - 1, 2**63, -(2**63), 2**64, 10**400])
    | st.floats()
    | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
"""What `json.dumps` can write."""
