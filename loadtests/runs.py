"""One run of one side of a scenario: start everything, measure, and hold against each other what was sent and read."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from urllib.parse import quote

from loadtests.crowd import Audience, Crowd, Heard
from loadtests.feeds import PAST, SERVERS, Environment, Feed, both_gateway
from loadtests.filters import FILTERS, expected
from loadtests.machine import MeasurementError, Usage, allow_files, allowed_files, busy, kernel_memory
from loadtests.measurement import Measurement, distribution, percentiles
from loadtests.people import Locust
from loadtests.scenario import Scenario, Side
from loadtests.server import Server

CONNECT_SECONDS = 300.0
LATE_SECONDS = 60.0
"""How long after the last event was made the last client may have it."""
SLOWEST_REPLAY = 20_000
"""Deliveries a second; a replay that is slower is given up."""
SATURATED_PERCENT = 90.0
SPARE_FILES = 200
WARM_PART = 0.01
"""Of idle connections, those that open first, so that what a server loads for its first client is not counted."""
SETTLE_SECONDS = 1.0
UNEVEN = 1.1
QUIET_SECONDS = 32.0
QUIET_CLIENTS = 10_000
"""So long so many clients are looked at while nothing happens: each has two heartbeats."""
STORM_AFTER = 0.2
"""The part of the time in which events come that has passed when the connections are dropped."""
COMPRESSED_SPREAD = 0.25
"""By how much the bytes of a compressed stream may differ between clients: they join at different blocks."""


class Watch:
    """The CPU time of a server, of its core and of the machine, from when it was made."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._usages = server.usages()
        self._machine = busy()
        self._counters = server.counters()
        self.profile: dict[str, dict[str, float]] = {}
        server.begin_profile()

    def values(self, heard: Heard, deliveries: int) -> dict[str, float]:
        """What was used until now, a delivery and in part of a core."""
        self.profile = self._server.end_profile()
        usages = self._server.usages()
        if len(usages) != len(self._usages):
            raise MeasurementError("a process of the server has ended, or was started again")
        each = [after - before for after, before in zip(usages, self._usages, strict=True)]
        used, busiest = sum(each, Usage()), max(one.cpu for one in each)
        machine, seconds = busy() - self._machine, heard.seconds
        if not deliveries:
            return self._shares(used, heard)
        micro = 1e6 / deliveries
        return {
            "deliveries": deliveries,
            "deliveries_per_second": deliveries / seconds,
            "cpu_us_per_delivery": micro * used.cpu,
            "user_us_per_delivery": micro * used.user,
            "system_us_per_delivery": micro * used.system,
            "machine_us_per_delivery": micro * machine,
            "core_deliveries_per_second": deliveries / used.cpu if used.cpu else 0.0,
            "busiest_deliveries_per_second": deliveries / busiest if busiest else 0.0,
            "client_us_per_delivery": micro * heard.running,
            "client_over_server": heard.running / used.cpu if used.cpu else 0.0,
            "client_deliveries_per_second": deliveries / heard.running if heard.running else 0.0,
            **self._shares(used, heard),
        }

    @staticmethod
    def _shares(used: Usage, heard: Heard) -> dict[str, float]:
        seconds = heard.seconds
        return {
            "seconds": seconds,
            "server_percent": 100 * used.cpu / seconds,
            "server_waited_percent": 100 * used.waited / seconds,
            "client_percent": 100 * heard.running / seconds,
            "client_busy_percent": heard.busy_percent,
        }

    def counters(self) -> dict[str, float]:
        """By how much what the server counts of itself has grown."""
        return {name: value - self._counters.get(name, 0.0) for name, value in self._server.counters().items()}


def measure(environment: Environment, scenario: Scenario, side: Side, repeat: int) -> Measurement:
    """One run. What makes it void is its error."""
    result = Measurement(scenario.name, side.name, repeat)
    try:
        files = scenario.of(side).clients + SPARE_FILES
        allow_files(min(files, allowed_files()) if scenario.kind == "crowded" else files)
        run = locust if side.client == "locust" else RUNS[scenario.kind]
        run(environment, scenario.of(side), side, result)
    except MeasurementError as error:
        result.error = str(error)
    except OSError as error:
        result.error = f"a process has ended: {error!r}"
    result.values = {name: value for name, value in result.values.items() if math.isfinite(value)}
    as_fast_as_read = scenario.kind == "replay" and side.server == "floor"
    if result.values.get("client_busy_percent", 0.0) > SATURATED_PERCENT and not as_fast_as_read:
        result.doubts.append("the clients had no time left: they, or others on their core, are what was measured")
    return result


def fan_out(environment: Environment, scenario: Scenario, side: Side, result: Measurement) -> None:
    """Every event to every client, or to those whose filter it passes."""
    count, events = scenario.clients, scenario.total
    filters = FILTERS[side.filters](count) if side.filters else None
    wanted = expected(filters, events) if filters else [events] * count
    reading = "gzip" if side.gzip else "sparse" if filters else "plain"
    with SERVERS[side.server](environment, scenario, side) as feed:
        paths = [each.path(feed.path) for each in filters] if filters else [feed.path]
        audience = Audience(feed.server.port, paths, count, min(scenario.sampled, count), reading, scenario.slow)
        with Crowd(audience, environment.client_processes) as crowd:
            before = feed.server.memory()
            crowd.connect(CONNECT_SECONDS)
            crowd.read(feed.settle)
            after = feed.server.memory()
            crowd.watch()
            watch = Watch(feed.server)
            feed.go()
            if filters:
                crowd.read(events / scenario.rate)  # what nobody gets is evaluated as well
            heard = crowd.read_events(wanted, events / scenario.rate + LATE_SECONDS)
            deliveries = sum(wanted)
            result.values, result.profile = watch.values(heard, deliveries), watch.profile
            result.counters = watch.counters()
            final = feed.server.memory()
        check(heard, wanted)
        if side.gzip:
            check_compressed(heard)
        acknowledged = feed.wait()
    skip = 0 if filters else min(scenario.rate, events // 2)
    delays = [delay for sample in heard.delays for delay in sample[skip:]]
    result.values |= percentiles(delays) | {
        "clients": count,
        "events": events,
        # Of the time in which the events come; a server that is late takes more, at fewer percent.
        "pace_percent": 100 * events / scenario.rate / heard.seconds,
        "load_percent": result.values["server_percent"] * heard.seconds * scenario.rate / events,
        "bytes_per_delivery": sum(heard.received) / deliveries if deliveries else math.nan,
        "megabytes": sum(heard.received) / 1e6,
        "memory_mb": final / 1e6,
        "kb_per_connection": (after - before) / count / 1024,
    }
    result.delays_ms = distribution(delays)
    if acknowledged and not filters:
        result.values |= _after_log(heard, acknowledged, skip)


def _after_log(heard: Heard, acknowledged: Sequence[int], skip: int) -> dict[str, float]:
    """The delays from when the log had each event, but for the first."""
    later = [
        arrival - moment
        for sample in heard.arrivals
        for arrival, moment in list(zip(sample, acknowledged, strict=True))[skip:]
    ]
    return {f"after_log_{name}": value for name, value in percentiles(later).items()}


def locust(environment: Environment, scenario: Scenario, side: Side, result: Measurement) -> None:
    """The browsers of locustfile.py, to see what they cost beside the clients that all else is measured with."""
    count, events = scenario.clients, scenario.total
    with (
        SERVERS[side.server](environment, scenario, side) as feed,
        Locust(feed.server.port, count, environment.directory) as people,
    ):
        people.wait_until(lambda: feed.server.counters().get("gateway_streams") == count, CONNECT_SECONDS)
        watch, before, began = Watch(feed.server), people.usage(), time.monotonic()
        feed.go()
        feed.wait()
        people.settle(LATE_SECONDS)
        used, seconds = people.usage() - before, time.monotonic() - began
        heard = Heard(seconds=seconds, running=used.cpu, waiting=used.waited)
        deliveries = people.events()
        if deliveries != events * count:
            raise MeasurementError(f"Locust has {deliveries} of {events * count} events")
        result.values = watch.values(heard, deliveries) | {"clients": count, "events": events}


def idle(environment: Environment, scenario: Scenario, side: Side, result: Measurement) -> None:
    """Connections on which nothing happens but heartbeats."""
    with SERVERS[side.server](environment, scenario, side) as feed:
        audience = Audience(feed.server.port, [feed.path], scenario.clients, 0)
        with Crowd(audience, environment.client_processes) as crowd:
            crowd.connect(CONNECT_SECONDS, WARM_PART)
            warm = len(crowd.read(SETTLE_SECONDS).events)
            before = feed.server.memory()
            crowd.connect(CONNECT_SECONDS)
            greeted = crowd.read(SETTLE_SECONDS)
            after = feed.server.memory()
            crowd.watch()
            watch = Watch(feed.server)
            heard = crowd.read(scenario.seconds if side.server == "gateway" else SETTLE_SECONDS)
            values, result.profile = watch.values(heard, 0), watch.profile
            values["memory_mb"] = feed.server.memory() / 1e6
    values["kb_per_connection"] = (after - before) / (scenario.clients - warm) / 1024
    values["megabytes"] = (sum(heard.received) - sum(greeted.received)) / 1e6
    values["clients"] = scenario.clients
    result.values = values
    silent = sum(now <= then for now, then in zip(heard.received, greeted.received, strict=True))
    if silent and side.server == "gateway":
        raise MeasurementError(f"{silent} connections had no heartbeat")


def crowded(environment: Environment, scenario: Scenario, side: Side, result: Measurement) -> None:
    """Very many clients: what they cost while nothing happens but heartbeats, and then with events."""
    count, events = scenario.clients, scenario.total
    # The kernel does not spread connections over workers quite evenly.
    files = allowed_files() - SPARE_FILES
    workers, processes = math.ceil(UNEVEN * count / files), math.ceil(count / files)
    with SERVERS[side.server](environment, scenario, replace(side, workers=workers)) as feed:
        server = feed.server
        audience = Audience(server.port, [feed.path], count, min(scenario.sampled, count))
        with Crowd(audience, max(processes, environment.client_processes)) as crowd:
            crowd.connect(CONNECT_SECONDS, WARM_PART)
            warm = len(crowd.read(SETTLE_SECONDS).events)
            before, kernel = server.memory(), kernel_memory()
            crowd.connect(CONNECT_SECONDS)
            greeted = crowd.read(SETTLE_SECONDS)
            after, kernel = server.memory(), kernel_memory() - kernel
            idle = Watch(server)
            quiet = crowd.read(QUIET_SECONDS if count >= QUIET_CLIENTS else scenario.seconds)
            resting = idle.values(Heard(seconds=quiet.seconds - greeted.seconds), 0)["server_percent"]
            crowd.watch()
            watch = Watch(server)
            feed.go()
            heard = crowd.read_events(events, events / scenario.rate + LATE_SECONDS)
            result.values, result.profile = watch.values(heard, events * count), watch.profile
            result.counters = watch.counters()
            final = server.memory()
        check(heard, [events] * count)
        acknowledged = feed.wait()
    skip = min(scenario.rate, events // 2)
    result.values |= percentiles([delay for sample in heard.delays for delay in sample[skip:]])
    result.values |= _after_log(heard, acknowledged, skip) | {
        "clients": count,
        "events": events,
        "pace_percent": 100 * events / scenario.rate / heard.seconds,
        "bytes_per_delivery": (sum(heard.received) - sum(quiet.received)) / (events * count),
        "memory_mb": final / 1e6,
        "kb_per_connection": (after - before) / (count - warm) / 1024,
        "kernel_kb_per_connection": kernel / (count - warm) / 1024,
        "idle_percent": resting,
        "workers": workers,
    }
    silent = sum(now <= then for now, then in zip(quiet.received, greeted.received, strict=True))
    if silent:
        raise MeasurementError(f"{silent} connections had no heartbeat")


def replay(environment: Environment, scenario: Scenario, side: Side, result: Measurement) -> None:
    """History, read from the log: the gateway's memory holds none of it."""
    count, events = scenario.clients, scenario.total
    with PAST[side.server](environment, scenario, side) as feed:
        server = feed.server
        audience = Audience(server.port, [feed.path], count, min(scenario.sampled, count))
        with Crowd(audience, environment.client_processes) as crowd:
            read = environment.log_bytes(side, server)
            crowd.watch()
            watch = Watch(server)
            began = time.time()
            crowd.connect(CONNECT_SECONDS)
            feed.go()
            heard = crowd.read_events(events, events * count / SLOWEST_REPLAY + LATE_SECONDS)
            result.values, result.profile = watch.values(heard, events * count), watch.profile
            result.counters = watch.counters()
            read = environment.log_bytes(side, server) - read
            memory = server.memory()
    check(heard, [events] * count)
    took = [finished - began for finished in heard.finished]
    result.values |= {
        "clients": count,
        "events": events,
        "events_per_second": events / statistics.median(took),
        "median_seconds": statistics.median(took),
        "slowest_seconds": max(took),
        "log_read_mb": read / 1e6,
        "memory_mb": memory / 1e6,
        "megabytes": sum(heard.received) / 1e6,
    }


def storm(environment: Environment, scenario: Scenario, side: Side, result: Measurement) -> None:
    """All clients are cut off at once, and come back with their ids, while events go on."""
    count, events = scenario.clients, scenario.total
    quiet_seconds = STORM_AFTER * events / scenario.rate
    with SERVERS[side.server](environment, scenario, side) as feed:
        audience = Audience(feed.server.port, [feed.path], count, 0, "resume")
        with Crowd(audience, environment.client_processes) as crowd:
            crowd.connect(CONNECT_SECONDS)
            crowd.watch()
            watch = Watch(feed.server)
            feed.go()
            read = environment.log_bytes(side, feed.server)
            crowd.read(quiet_seconds)
            quiet = environment.log_bytes(side, feed.server) - read
            before = feed.server.usage()
            stormed = crowd.storm(events / scenario.rate + LATE_SECONDS)
            used = feed.server.usage() - before
            read = environment.log_bytes(side, feed.server) - read - quiet
            heard = crowd.read_events(events, events / scenario.rate + LATE_SECONDS)
            result.values, result.profile = watch.values(heard, events * count), watch.profile
            result.counters = watch.counters()
            memory = feed.server.memory()
        check(heard, [events] * count)
    result.values |= {
        "clients": count,
        "events": events,
        "live_seconds": stormed.live_seconds,
        "storm_cpu_seconds": used.cpu,
        "storm_client_percent": 100 * stormed.running / stormed.seconds,
        "storm_log_read_mb": max(0.0, read - quiet / quiet_seconds * stormed.live_seconds) / 1e6,
        "memory_mb": memory / 1e6,
    }


def fair(environment: Environment, scenario: Scenario, side: Side, result: Measurement) -> None:
    """Events live to some clients, while others replay history: each from a place of its own, so that they share none
    of it, and so much that none of them comes to its end."""
    count, events = scenario.clients, scenario.live_events
    with both_gateway(environment, scenario, side) as feed, ExitStack() as crowds:
        server = feed.server
        live = crowds.enter_context(
            Crowd(Audience(server.port, [feed.path], count, min(scenario.sampled, count)), environment.client_processes)
        )
        live.connect(CONNECT_SECONDS)
        replaying = None
        if side.replaying:
            paths = [
                _from_offset(feed, scenario.events * number // (2 * side.replaying)) for number in range(side.replaying)
            ]
            audience = Audience(server.port, paths, side.replaying, 0, "sparse")
            replaying = crowds.enter_context(Crowd(audience))
            replaying.connect(CONNECT_SECONDS)
        live.watch()
        watch = Watch(server)
        feed.go()
        heard = live.read_events(events, events / scenario.rate + LATE_SECONDS)
        result.values, result.profile = watch.values(heard, events * count), watch.profile
        replayed = replaying.read(0.0) if replaying else Heard()
        result.values["memory_mb"] = server.memory() / 1e6
        acknowledged = feed.wait()
    check(heard, [events] * count)
    if not all(replayed.events):
        raise MeasurementError("a client had nothing to replay")
    if any(had >= scenario.events // 2 for had in replayed.events):
        result.doubts.append("there was too little history: some had come to its end")
    skip = min(scenario.rate, events // 2)
    result.values |= percentiles([delay for sample in heard.delays for delay in sample[skip:]])
    result.values |= _after_log(heard, acknowledged, skip) | {
        "clients": count,
        "events": events,
        "pace_percent": 100 * events / scenario.rate / heard.seconds,
        "replayed_per_second": sum(replayed.events) / heard.seconds,
    }


def _from_offset(feed: Feed, offset: int) -> str:
    position = json.dumps([{"topic": feed.topic, "partition": 0, "offset": offset}])
    return f"{feed.path}?last_event_id={quote(position)}"


RUNS = {"fan-out": fan_out, "idle": idle, "replay": replay, "storm": storm, "fair": fair, "crowded": crowded}


def check(heard: Heard, wanted: Sequence[int]) -> None:
    """Each counted client must have had each event once; a slow one none too many, none out of order. Raises
    MeasurementError."""
    faults = []
    for number, counted in enumerate(heard.counted):
        if counted and heard.events[number] != wanted[number]:
            faults.append(f"client {number}: {heard.events[number]} of {wanted[number]} events")
        if heard.gaps[number] or heard.repeated[number]:
            faults.append(f"client {number}: {heard.gaps[number]} missing, {heard.repeated[number]} repeated")
    if not heard.in_time:
        _raise(["not finished in time", *faults])
    if not any(heard.counted):
        raise MeasurementError("no client was checked")
    _raise(faults)


def check_compressed(heard: Heard) -> None:
    """The clients whose bytes were not read must have had as many as those whose were. Raises MeasurementError."""
    read = statistics.median(
        received for received, counted in zip(heard.received, heard.counted, strict=True) if counted
    )
    spread = COMPRESSED_SPREAD * read
    _raise([
        f"client {number}: {received} bytes, others {read:g}"
        for number, received in enumerate(heard.received)
        if abs(received - read) > spread
    ])  # fmt: skip


def _raise(faults: list[str]) -> None:
    if faults:
        raise MeasurementError(f"{len(faults)} faults: " + "; ".join(faults[:5]))
