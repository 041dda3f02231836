"""Every scenario, on this machine, beside a C program that sends the same bytes (floor.c) where there is one.

    python -m loadtests.bench                        all of them
    python -m loadtests.bench million storm          some of them
    python -m loadtests.bench --quick                a small run of each, to see that they work
    python -m loadtests.bench --output DIRECTORY     writes results.json, RESULTS.md and plots there; what is there of
                                                     other scenarios, measured on the same commit, stays

The server has one core; clients, producer and broker the other. Each repeat measures all sides of a scenario one after
the other; figures are medians, ratios those within one repeat. Every client's events are counted and their sequence is
checked: a run with a lost or repeated event is void, one whose clients had no time left is no result, and the exit
status is 1. Nothing but loopback is talked to.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

from loadtests import kafka, report
from loadtests.feeds import Environment
from loadtests.machine import CLIENT_CORES, MeasurementError, loopback_only
from loadtests.measurement import Measurement
from loadtests.runs import measure
from loadtests.scenario import Scenario
from loadtests.scenarios import SCENARIOS

REPEATS = 3
MINUTES = 45.0
PROFILE_SECONDS = 16.0
"""Of a run with a profile, at most."""


@contextmanager
def broker(given: str | None, directory: Path) -> Iterator[Callable[[], tuple[str, kafka.KafkaBroker | None]]]:
    """What gives the broker's address: of the one that was named, or of one that is started when first asked for."""
    with ExitStack() as stack:
        started: list[kafka.KafkaBroker] = []

        def address() -> tuple[str, kafka.KafkaBroker | None]:
            if given is not None:
                return loopback_only(given), None
            if not started:
                jars = kafka.jars()
                if jars is None:
                    raise MeasurementError(f"there is no Kafka: set {kafka.JARS_VARIABLE}, or --kafka HOST:PORT")
                own = kafka.KafkaBroker(directory / "kafka", jars)
                stack.callback(own.kill)
                own.start()
                started.append(own)
            return started[0].bootstrap, started[0]

        yield address


def parse(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    names = [scenario.name for scenario in SCENARIOS]
    titles = "\n".join(f"  {scenario.name:12} {scenario.title}" for scenario in SCENARIOS)
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench", description=__doc__,
                                     epilog=f"scenarios:\n{titles}",
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="all by default")
    parser.add_argument("--clients", type=int, metavar="N", help="instead of as many as the scenarios have")
    add_options(parser, MINUTES)
    arguments = parser.parse_args(given)
    if unknown := set(arguments.scenarios) - set(names):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    return arguments


def add_options(parser: argparse.ArgumentParser, minutes: float) -> None:
    """What `conduct` asks of the command line."""
    parser.add_argument("--output", type=Path, metavar="DIRECTORY", help="where JSON and plots go")
    parser.add_argument("--results", type=Path, metavar="FILE", help="where the document goes (DIRECTORY/RESULTS.md)")
    parser.add_argument("--quick", action="store_true", help="so small that only the counts mean anything")
    parser.add_argument("--repeat", type=int, metavar="N", help=f"runs of each side ({REPEATS}; 1 with --quick)")
    parser.add_argument("--no-profile", action="store_true", help="no further run that tells where the CPU goes")
    parser.add_argument("--kafka", metavar="HOST:PORT", help="a broker on loopback; one is started by default")
    parser.add_argument("--client-processes", type=int, default=1, metavar="N", help="processes that clients run in")
    parser.add_argument("--minutes", type=float, default=minutes, help=f"given up after so long ({minutes:g})")


def run(environment: Environment, scenarios: Sequence[Scenario], repeats: int, profiles: bool) -> list[Measurement]:
    """Measure, and tell of each run when it has ended; then once more with a profile, which is no figure."""
    results: list[Measurement] = []
    for scenario in scenarios:
        print(f"{scenario.title} ({scenario.name})", flush=True)
        for repeat in range(1 if scenario.once else repeats):
            for side in scenario.sides:
                results.append(measure(environment, scenario, side, repeat))
                print(f"  {report.line(results[-1])}", flush=True)
        if profiles and scenario.profiled:
            add_profile(environment, scenario, results)
    return results


def add_profile(environment: Environment, scenario: Scenario, results: Sequence[Measurement]) -> None:
    """Where the CPU of one side goes, beside its last figures."""
    [side] = (side for side in scenario.sides if side.name == scenario.profiled)
    short = replace(scenario, seconds=min(scenario.seconds, PROFILE_SECONDS))
    profiled = measure(replace(environment, profiled=True), short, side, 0)
    last = next(one for one in reversed(results) if (one.scenario, one.side) == (scenario.name, side.name))
    last.profile = profiled.profile
    print(f"  {side.name:12}    " + (f"no profile: {profiled.error}" if profiled.error else "profile"), flush=True)


def conduct(arguments: argparse.Namespace, scenarios: Sequence[Scenario]) -> list[Measurement]:
    """Measure, bounded in time. Raises MeasurementError where it cannot begin."""
    os.sched_setaffinity(0, CLIENT_CORES)
    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, _give_up)
    signal.setitimer(signal.ITIMER_REAL, 60 * arguments.minutes)
    try:
        if arguments.kafka:
            loopback_only(arguments.kafka)
        with (
            tempfile.TemporaryDirectory(prefix="loadtest-") as directory,
            broker(arguments.kafka, Path(directory)) as address,
        ):
            if any(side.log == "kafka" for scenario in scenarios for side in scenario.sides):
                address()  # a Kafka that is not there is said before anything is measured
            environment = Environment(Path(directory), address, arguments.client_processes)
            repeats = arguments.repeat or (1 if arguments.quick else REPEATS)
            return run(environment, scenarios, repeats, not (arguments.quick or arguments.no_profile))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def main(given: Sequence[str] | None = None) -> int:
    """Measure, show it and write it down; the exit status."""
    arguments = parse(given)
    scenarios = [one for one in SCENARIOS if not arguments.scenarios or one.name in arguments.scenarios]
    if arguments.quick:
        scenarios = [scenario.quick() for scenario in scenarios]
    if arguments.clients:
        scenarios = [replace(scenario, clients=arguments.clients) for scenario in scenarios]
    try:
        results = conduct(arguments, scenarios)
    except MeasurementError as failure:
        print(f"FAILED: {failure}", file=sys.stderr)
        return 1
    print("\n" + report.tables(scenarios, results))
    return write_down(arguments, scenarios, results, report.BENCH)


def write_down(
    arguments: argparse.Namespace, scenarios: Sequence[Scenario], results: Sequence[Measurement], name: str
) -> int:
    """JSON, plots and document, where they are wanted; the exit status."""
    if arguments.output:
        file = arguments.results or arguments.output / "RESULTS.md"
        report.write(arguments.output, file, scenarios, results, arguments.quick, name)
    return 0 if all(result.valid for result in results) else 1


def _give_up(number: int, frame: FrameType | None) -> None:
    raise SystemExit("FAILED: taking too long" if number == signal.SIGALRM else "FAILED: told to stop")


if __name__ == "__main__":
    sys.exit(main())
