"""Runs worlds for as long as one wants; see `scripts/simulate --help`."""

from __future__ import annotations

import argparse
import sys
import time
import traceback

from tests.simulation.planted import search
from tests.simulation.result import FailureError, Result
from tests.simulation.simulate import simulate

SEEDS = 300


def arguments() -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser("scripts/simulate", description="Seeded worlds, in virtual time, until one fails.")
    number = f"so many worlds (default: {SEEDS}, or as many as --seconds allows)"
    planted = "plant known bugs (those with this in their name), and tell after how many seeds each is found"
    parser.add_argument("--seeds", type=int, help=number)
    parser.add_argument("--seconds", type=float, help="for so long")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default: 0)")
    parser.add_argument("--seed", type=int, help="this world alone, with all that its failing client met")
    parser.add_argument("--clients", type=int, help="so many clients in each world")
    parser.add_argument("--planted", nargs="?", const="", metavar="NAME", help=planted)
    parser.add_argument("-v", "--verbose", action="store_true", help="a line for each world")
    return parser.parse_args()


def line(result: Result) -> str:
    """A world on one line."""
    return (
        f"seed {result.seed}: {result.clients} clients, {result.records} records, {result.delivered} events delivered, "
        f"{result.gaps} gaps told, {result.seconds:.0f} virtual seconds, {result.turns} turns, digest {result.digest}"
    )


def report(error: FailureError, asked: argparse.Namespace) -> None:
    """Why a world failed, and how to see it again."""
    print(f"\r{error}\n", file=sys.stderr)
    if error.__cause__ is not None and (asked.seed is not None or asked.verbose):
        traceback.print_exception(error.__cause__)
    more = f" --clients {asked.clients}" if asked.clients else ""
    print(f"To see it again: scripts/simulate --seed {error.seed}{more}", file=sys.stderr)


def main() -> int:
    """Run worlds until one fails; returns the exit status."""
    asked = arguments()
    if asked.planted is not None:
        return search(asked.seeds or SEEDS, asked.planted)
    first, number = asked.first, asked.seeds or (sys.maxsize if asked.seconds else SEEDS)
    if asked.seed is not None:
        first, number = asked.seed, 1
    begun = shown = time.monotonic()
    totals = ""
    done = delivered = gaps = 0
    for seed in range(first, first + number):
        try:
            result = simulate(seed, asked.clients)
        except FailureError as error:
            report(error, asked)
            return 1
        done, delivered, gaps = done + 1, delivered + result.delivered, gaps + result.gaps
        now = time.monotonic()
        totals = f"{done} worlds, {delivered} events delivered, {gaps} gaps told, {now - begun:.0f} s"
        if asked.verbose or asked.seed is not None:
            print(line(result), flush=True)
        elif now - shown > 1 and sys.stderr.isatty():
            shown = now
            print(f"\r{totals} ", end="", file=sys.stderr, flush=True)
        if asked.seconds and now - begun > asked.seconds:
            break
    print(f"\r{totals}: all held")
    return 0


if __name__ == "__main__":
    sys.exit(main())
