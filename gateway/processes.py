"""The processes of a server: one, or several that share the public port."""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import os
import resource
import signal
import time
from contextlib import suppress
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess

from gateway.app import Gateway, open_log
from gateway.catalog.catalog import Catalog
from gateway.logs import configure_logging
from gateway.server import listen
from gateway.settings import Settings

logger = logging.getLogger("gateway")

INTERRUPTED = 130
"""The exit status after Ctrl-C: 128 and the number of the signal."""
RESTART_WAIT = 1.0
"""Seconds before a worker that died is started again."""
COLLECT_AFTER = 50_000
"""Allocations after which the youngest objects are looked through for cycles; frames make none."""


def raise_file_limit() -> None:
    """As many open connections as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def stop_on_signals() -> asyncio.Event:
    """Set at SIGTERM and SIGINT; a second one ends the process at once. Of a worker, set also at the end of its
    supervisor; a second signal is nothing, since what a terminal sends to all processes comes from there once more."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    supervisor = multiprocessing.parent_process()

    def on_signal(number: int) -> None:
        if stop.is_set() and supervisor is None:
            os._exit(128 + number)
        stop.set()

    def on_orphaned(sentinel: int) -> None:
        loop.remove_reader(sentinel)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    if supervisor is not None:
        loop.add_reader(supervisor.sentinel, on_orphaned, supervisor.sentinel)
    return stop


def serve(settings: Settings, catalog: Catalog) -> int:
    """Serve until a signal; returns the exit status."""
    raise_file_limit()
    if settings.workers == 1:
        return _serve_alone(settings, catalog, first=True)
    return _supervise(settings, catalog)


def _serve_alone(settings: Settings, catalog: Catalog, first: bool) -> int:
    async def run() -> None:
        stop = stop_on_signals()
        gateway = Gateway(settings, catalog, open_log(settings))

        async def say(port: int) -> None:
            host = f"[{settings.host}]" if ":" in settings.host else settings.host
            logger.info("serving %d streams on http://%s:%d", len(catalog.streams), host, port)

        gc.collect()
        gc.freeze()
        gc.set_threshold(COLLECT_AFTER, 20, 50)
        await gateway.run(stop, shared=settings.workers > 1, with_admin=first, on_open=say)

    try:
        asyncio.run(run())
    except OSError as error:
        logger.error("%s", error.strerror or error)
        return 1
    return 0


def _worker(settings: Settings, catalog: Catalog, first: bool) -> None:
    configure_logging(settings)
    raise SystemExit(_serve_alone(settings, catalog, first))


def _supervise(settings: Settings, catalog: Catalog) -> int:
    """Start the workers, start those again that die, and stop them all at a signal."""
    if settings.port == 0:
        logger.error("with several workers the port must be named; 0 would give each its own")
        return 1
    try:
        # What the workers cannot have must not start them again and again, nor may they join another server's port.
        for host, port in ((settings.host, settings.port), (settings.admin_host, settings.admin_port)):
            listen(host, port, shared=False).close()
    except OSError as error:
        logger.error("%s", error.strerror or error)
        return 1
    context = multiprocessing.get_context("spawn")
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: stopping.append(number))

    def start(index: int) -> BaseProcess:
        process = context.Process(target=_worker, args=(settings, catalog, index == 0), name=f"worker-{index}")
        # A worker holds back an interrupt until it has come so far that it can end in order.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        process.start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        return process

    resource_tracker.ensure_running()  # which would lift that block when the first worker starts

    workers = [start(index) for index in range(settings.workers)]
    while not stopping:
        time.sleep(0.1)
        for index, process in enumerate(workers):
            if process.is_alive() or stopping:
                continue
            logger.error("worker %d ended with status %s; starting another", index, process.exitcode)
            time.sleep(RESTART_WAIT)
            workers[index] = start(index)
    for process in workers:
        process.terminate()
    deadline = time.monotonic() + settings.drain_time + 5
    while any(process.is_alive() for process in workers):
        if len(stopping) > 1 or time.monotonic() > deadline:
            for process in workers:
                process.kill()
        time.sleep(0.02)
    return 0 if len(stopping) == 1 else 128 + stopping[-1]
