"""Runs a server: in one process, or in several that share the public port."""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import os
import pickle
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from gateway.app.composition import open_log
from gateway.app.gateway import Gateway
from gateway.app.operations import Operations
from gateway.definitions import Definitions
from gateway.errors import ConfigurationError, LogNewer
from gateway.observability import telemetry
from gateway.observability.logs import STANDARD_ERROR, Output, configure_logging
from gateway.process import signals
from gateway.process.companion import Companion
from gateway.process.line import Line
from gateway.process.processing import Declared, Processing
from gateway.process.reload import OwnReload, Reloader, Source
from gateway.process.restarts import REFUSED_STATUS
from gateway.process.supervisor import Run, Supervisor
from gateway.process.watchdog import end_process, watched
from gateway.process.worker import tell_stacks_when_asked
from gateway.server.acceptor import NoRoom, allowed_connections, raise_file_limit
from gateway.server.server import listen
from gateway.settings.table import Settings
from gateway.subscription.connections import ConnectionRow
from gateway.text import counted

logger = logging.getLogger("gateway")

COLLECT_AFTER = 50_000
"""Allocations after which the youngest objects are looked through for cycles; frames make none."""

SWITCH_SECONDS = 0.0001
"""Seconds for which a thread that reads the log waits for the serving thread. Python's default is ten times as long,
for each call into SQLite while that thread is busy."""


def stop_on_signals(output_blocks: bool = False) -> asyncio.Event:
    """Set at SIGTERM and SIGINT; a second signal ends the process at once. `output_blocks`: the command may be
    blocked by a reader of its output. In a worker, it is also set when the supervisor ends. There a second signal
    has no effect, because a terminal sends signals to all processes, and the supervisor passes them on."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    supervisor = multiprocessing.parent_process()
    signalled = False

    def on_signal(number: int) -> None:
        nonlocal signalled
        # Not whether it is set: a drain that the admin port asked for sets it, too, and is no reason to end at once.
        if signalled and supervisor is None:
            os._exit(128 + number)
        signalled = True
        stop.set()

    def on_orphaned(sentinel: int) -> None:
        loop.remove_reader(sentinel)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        if output_blocks:
            signals.on_signal(number, partial(on_signal, number))
        else:
            loop.add_signal_handler(number, on_signal, number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    if supervisor is not None:
        loop.add_reader(supervisor.sentinel, on_orphaned, supervisor.sentinel)
    return stop


@asynccontextmanager
async def reloading_at_hang_up(reload: Callable[[], Awaitable[dict[str, Any]]]) -> AsyncIterator[None]:
    """Reload at each SIGHUP. One that was blocked until now is seen at once, and one after the end is ignored. The
    signal never ends a process that serves."""
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()

    async def answer() -> None:
        while True:
            await asked.wait()
            asked.clear()
            try:
                await reload()
            except ConfigurationError:
                pass  # which has been told
            except Exception:
                logger.exception("nothing was reloaded, by an internal error")

    answering = asyncio.create_task(answer())
    # Not by the loop, which would give the signal its default back when it is closed.
    signal.signal(signal.SIGHUP, lambda *_: loop.call_soon_threadsafe(asked.set))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        answering.cancel()
        # Not awaited by itself: a cancellation of this task would be taken for that of the other.
        await asyncio.wait([answering])


def tell_connections(settings: Settings) -> bool:
    """Raise the limit of open files, and say how many connections a process may have; False where they are too few to
    serve anybody."""
    raise_file_limit()
    try:
        most, files, advice = allowed_connections(settings.process_connections)
    except NoRoom as error:
        logger.error("%s", error)
        return False
    logger.info("a process may have %d open files, and so at most %d connections", files, most)
    if advice:
        logger.warning("%s", advice)
    return True


def serve(settings: Settings, declared: Declared, source: Source, output: Output) -> int:
    """Serve until a signal; returns the exit status. `source` is read at each reload."""
    if not tell_connections(settings):
        return 1
    reloader = Reloader(source, settings, declared.definitions, declared.rules)
    if settings.workers == 1 and not is_processing(settings, declared):
        return _serve_in_process(settings, declared.definitions, output, reloader=reloader)
    return supervise(settings, declared, reloader, _work)


def is_processing(settings: Settings, declared: Declared) -> bool:
    """Whether there is something to process, and it is done beside the servers."""
    return settings.processing == "beside" and not declared.is_empty


def supervise(settings: Settings, declared: Declared, reloader: Reloader, work: Run) -> int:
    """Serve in workers, each of which runs `work`, until a signal; returns the exit status."""
    if settings.port == 0 and settings.workers > 1:
        logger.error("with several workers the port must be named; 0 would give each its own")
        return 1
    try:
        # What the workers cannot have must not start them again and again, nor may they join another server's port.
        for host, port in ((settings.host, settings.port), (settings.admin_host, settings.admin_port)):
            listen(host, port, shared=False).close()
    except OSError as error:
        logger.error("%s", error.strerror or error)
        return 1
    process = _process if settings.processing == "beside" else None
    return Supervisor(settings, declared, reloader, work, process).run()


def _work(settings: Settings, number: int, line: Connection) -> None:
    """A worker; the first of them has the admin port."""
    output, definitions = begin_worker(settings, line)
    status = _serve_in_process(settings, definitions, output, with_admin=number == 0, line=line)
    output.flush()
    raise SystemExit(status)


def begin_worker(settings: Settings, line: Connection) -> tuple[Output, Any]:
    """The beginning of each worker: its log, and what its supervisor gives it first."""
    tell_stacks_when_asked(STANDARD_ERROR)
    output = configure_logging(settings.log_format, settings.log_level)
    output.take_streams()
    try:
        return output, pickle.loads(line.recv_bytes())
    except EOFError:
        raise SystemExit(1) from None  # the supervisor has ended already


def _process(settings: Settings, _: int, line: Connection) -> None:
    """The process that derives streams, runs rules and builds views. A reload never needs it to start anew."""
    output, declared = begin_worker(settings, line)

    async def run() -> None:
        stop = stop_on_signals()
        collect_rarely()
        processing = Processing(settings, open_log(settings, declared.definitions.catalog))
        work = [counted(len(declared.derived), "derived stream"), counted(len(declared.rules), "rule")]
        if declared.archived:
            work.append(counted(len(declared.archived), "archive"))
        if views := declared.definitions.views:
            work.append(counted(len(views), "view"))
        logger.info("processing %s in process %d", " and ".join(work), os.getpid())
        supervised = Line(
            line, processing.take, no_rows, settings.workers, settings.stall_limit, telemetry.labelled_figures
        )
        try:
            with watched(settings.stall_limit, end_process(output.last_words)):
                await processing.run(declared, stop)
        finally:
            supervised.close()

    try:
        asyncio.run(run())
    except (LogNewer, ConfigurationError) as error:
        logger.error("%s", error)
        output.flush()
        raise SystemExit(1) from None
    output.flush()


def collect_rarely() -> None:
    """Look for cycles seldom, and never in what is there when a process begins its work."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 50)


def address_of(host: str, port: int) -> str:
    """An address for people."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def no_rows(_: str, __: int) -> tuple[list[ConnectionRow], int]:
    """A process without streams."""
    return [], 0


def _serve_in_process(
    settings: Settings,
    definitions: Definitions,
    output: Output,
    with_admin: bool = True,
    reloader: Reloader | None = None,
    line: Connection | None = None,
) -> int:
    """Serve in this process, which reloads by itself, or along the line to its supervisor."""

    async def run() -> None:
        stop = stop_on_signals()
        gateway = Gateway(settings, definitions, open_log(settings, definitions.catalog))

        async def say(port: int) -> None:
            streams = counted(len(gateway.current.catalog.streams), "stream")
            logger.info("serving %s on %s", streams, address_of(settings.host, port))
            if with_admin and settings.admin_port:
                logger.info("metrics and administration on %s", address_of(settings.admin_host, settings.admin_port))

        sys.setswitchinterval(SWITCH_SECONDS)
        collect_rarely()
        with watched(settings.stall_limit, end_process(output.last_words)):
            async with operating(gateway, stop, reloader, line) as operations:
                await gateway.run(stop, operations, shared=settings.workers > 1, with_admin=with_admin, on_open=say)

    try:
        asyncio.run(run())
    except OSError as error:
        logger.error("%s", error.strerror or error)
        return 1
    except LogNewer as error:
        logger.error("%s", error)
        return 1 if line is None else REFUSED_STATUS
    except ConfigurationError as error:
        # It was in order when the configuration was read: a file that it names has changed since, and may change back.
        logger.error("%s", error)
        return 1
    return 0


@asynccontextmanager
async def operating(
    gateway: Gateway, stop: asyncio.Event, reloader: Reloader | None, line: Connection | None
) -> AsyncIterator[Operations]:
    """The operations of a process: along its line to the supervisor, or by itself."""
    if line is not None:
        settings = gateway.settings
        supervised = Line(line, gateway.take, gateway.own_connections, settings.workers, settings.stall_limit)
        try:
            yield Operations(
                supervised.reload,
                supervised.drain,
                supervised.connections,
                supervised.exposition,
                lambda: (supervised.silent, supervised.down),
                lambda: supervised.lags,
            )
        finally:
            supervised.close()
    elif reloader is not None:
        if gateway.settings.processing != "beside":
            reload = OwnReload(gateway, reloader)
            async with reloading_at_hang_up(reload):
                yield gateway.operations(reload, stop.set)
            return
        companion = Companion(gateway.settings, Declared(gateway.declared, ()), _process)
        reload = OwnReload(gateway, reloader, companion.take)
        try:
            async with reloading_at_hang_up(reload):
                own = gateway.operations(reload, stop.set)
                yield replace(
                    own,
                    exposition=companion.exposition,
                    workers=lambda: companion.told,
                    lags=lambda: companion.lags,
                )
        finally:
            await companion.close()
    else:
        yield gateway.operations(drain=stop.set)
