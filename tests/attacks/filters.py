"""Attacks by filters. See Force."""

from __future__ import annotations

import asyncio
import itertools
import json

from gateway.model.record import NewRecord
from tests.attacks.dear import FILTERS, SPENT, STORM, spending, texts
from tests.attacks.force import Force, get, stream
from tests.attacks.grammar import Grammar

BOTH = "plain,hostile"
"""They read what the plain client reads, too."""
EVENT_SECONDS = 0.1
"""Between two dear events."""
OTHERWISE = " || offset == {}"
"""Makes an expression another one, so that no two share its evaluation."""


async def _disturb(force: Force, events: list[bytes]) -> None:
    for value in itertools.cycle(events):
        await force.append("hostile", [NewRecord(value)])
        await asyncio.sleep(EVENT_SECONDS)


async def dear(force: Force) -> None:
    """Many streams of the dearest expressions of a kind, each with its own, and the events for which they are dear."""
    expressions = FILTERS[force.options.kind]

    async def follow(number: int) -> None:
        expression = expressions[number % len(expressions)]
        if len(expression) < 4000:
            expression += OTHERWISE.format(-number)
        await force.follow(get(stream(BOTH, filter=expression)), number)

    await asyncio.gather(
        force.crowd(force.options.count, follow, pause=0.2),
        _disturb(force, texts(force.options.kind)),
    )


async def spent(force: Force) -> None:
    """Streams whose filters run out of steps at each event, and which are opened again."""
    number_of_events = itertools.count()

    async def follow(number: int) -> None:
        expression = SPENT[number % len(SPENT)] + OTHERWISE.format(-next(number_of_events))
        await force.follow(get(stream(BOTH, filter=expression)), number)

    await asyncio.gather(force.crowd(force.options.count, follow, pause=0.2), _disturb(force, [spending()]))


async def storm(force: Force) -> None:
    """Expressions that are dear to compile, good ones and wrong ones, each only once."""
    kinds = [*STORM, *(expression for kind in FILTERS.values() for expression in kind)]
    made = itertools.count()

    async def ask(number: int) -> None:
        turn = next(made)
        expression = kinds[turn % len(kinds)]
        await force.ask(get(stream(BOTH, filter=f"{turn}==0||" + expression)[:200_000], accept="*/*"), number)

    await force.crowd(force.options.count, ask)


async def fuzz(force: Force) -> None:
    """Random expressions, each followed for a moment, over random events."""
    grammar = Grammar(force.options.seed)
    events = [json.dumps(grammar.event()).encode() for _ in range(50)]

    async def behave(number: int) -> None:
        target = stream(BOTH, filter=grammar.expression().encode(errors="replace"), since="1s")
        await force.follow(get(target), number, seconds=0.5)

    await asyncio.gather(force.crowd(40, behave), _disturb(force, events))
