"""The gateway beside other servers of event streams, in the same run and on the same core.

    loadtests/peers/setup                     gets the peers, once
    python -m loadtests.peers                 all of them
    python -m loadtests.peers nchan mercure   some of them
    python -m loadtests.peers --quick         a small run of each scenario, to see that they work

Each repeat measures all sides of a scenario one after the other; figures are medians, ratios those within one repeat.
Every client's events are counted and their sequence is checked, as by `loadtests.bench`, whose machinery this is.
Nothing but loopback is talked to.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from loadtests import report
from loadtests.bench import add_options, conduct, write_down
from loadtests.feeds import SERVERS
from loadtests.machine import MeasurementError
from loadtests.peers.scenarios import SCENARIOS, among
from loadtests.peers.servers import PEERS, require

MINUTES = 60.0


def parse(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    names = [scenario.name for scenario in SCENARIOS]
    titles = "\n".join(f"  {scenario.name:12} {scenario.title}" for scenario in SCENARIOS)
    parser = argparse.ArgumentParser(prog="python -m loadtests.peers", description=__doc__,
                                     epilog=f"scenarios:\n{titles}",
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("peers", nargs="*", metavar="PEER", help=f"of {', '.join(PEERS)}; all by default")
    parser.add_argument("--scenario", action="append", choices=names, help="repeatable; all by default")
    add_options(parser, MINUTES)
    arguments = parser.parse_args(given)
    if unknown := set(arguments.peers) - set(PEERS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    return arguments


def main(given: Sequence[str] | None = None) -> int:
    """Measure, show it and write it down; the exit status."""
    arguments = parse(given)
    peers = arguments.peers or list(PEERS)
    chosen = [scenario for scenario in SCENARIOS if not arguments.scenario or scenario.name in arguments.scenario]
    scenarios = [found for scenario in chosen if (found := among(scenario, peers)) is not None]
    if arguments.quick:
        scenarios = [scenario.quick() for scenario in scenarios]
    try:
        require(peers)
        SERVERS.update(PEERS)
        results = conduct(arguments, scenarios)
    except MeasurementError as failure:
        print(f"FAILED: {failure}", file=sys.stderr)
        return 1
    print("\n" + report.tables(scenarios, results))
    return write_down(arguments, scenarios, results, report.PEERS)


if __name__ == "__main__":
    sys.exit(main())
