"""The supervisor and its workers, each end of the line by itself."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from typing import Any, cast

import pytest

from gateway import supervisor as supervisor_module
from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.definitions import Definitions
from gateway.errors import ConfigurationError, Problem, RestartNeeded
from gateway.reload import Found, Reloader
from gateway.schemas.repository import SchemaRepository
from gateway.settings import Settings
from gateway.supervisor import Line, Supervisor, _Worker

PATIENCE = 10.0


def definitions(*names: str) -> Definitions:
    return Definitions(Catalog(Stream(name, (name,)) for name in names), SchemaRepository([]))


async def no_rows(order: str, limit: int) -> tuple[list[Any], int]:
    return [], 0


class FakeProcess:
    """A process that lives."""

    def __init__(self) -> None:
        # It is never readable: the other end stays open and silent.
        self.sentinel, self._other = multiprocessing.Pipe()

    def is_alive(self) -> bool:
        return True


class FakeReloader:
    """Finds what it is told to find."""

    def __init__(self, outcome: Definitions | Exception) -> None:
        self.outcome = outcome

    def read(self) -> Found:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        nothing: dict[str, list[str]] = {"added": [], "removed": [], "changed": []}
        settings: dict[str, list[str]] = {"changed": [], "restart": []}
        document = {"streams": nothing, "schemas": nothing, "settings": settings, "warnings": []}
        return Found(Settings(), self.outcome, document)

    def take(self, found: Found) -> None:
        assert found.definitions is self.outcome


def supervised(outcome: Definitions | Exception, count: int) -> tuple[Supervisor, list[Connection]]:
    """A supervisor of workers that are this test."""
    supervisor = Supervisor(Settings(), definitions("old"), cast(Reloader, FakeReloader(outcome)), lambda *_: None)
    ours, theirs = zip(*(multiprocessing.Pipe() for _ in range(count)), strict=True)
    supervisor._workers = [_Worker(number, cast(Any, FakeProcess()), line) for number, line in enumerate(ours)]
    return supervisor, list(theirs)


def answering(line: Connection, *statuses: str, late: int = 0) -> tuple[threading.Thread, list[Any]]:
    """A worker that answers so to each message (or to one so much before), and keeps what was said to it."""
    heard: list[Any] = []

    def run() -> None:
        for status in statuses:
            kind, serial, taken = line.recv()
            heard.append((kind, list(taken.catalog.streams)))
            line.send(("taken", serial - late, status))

    thread = threading.Thread(target=run)
    thread.start()
    return thread, heard


def test_every_worker_gets_the_same_and_the_answer_tells_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "RELOAD_WAIT", 0.5)
    supervisor, lines = supervised(definitions("new"), 4)
    # The third hangs; the fourth answers a question that was asked before.
    workers = [
        answering(lines[0], "reloaded"),
        answering(lines[1], "KeyError: 'x'"),
        answering(lines[3], "reloaded", late=1),
    ]
    lines[0].send(("reload",))
    supervisor._listen(PATIENCE)
    supervisor._reload()
    for thread, heard in workers:
        thread.join(PATIENCE)
        assert heard == [("take", ["new"])]
    kind, answer = lines[0].recv()
    assert kind == "answer"
    assert answer["workers"] == ["reloaded", "KeyError: 'x'", "has not answered", "has not answered"]
    assert list(supervisor._definitions.catalog.streams) == ["new"]
    assert not lines[1].poll()


@pytest.mark.parametrize("error", [ConfigurationError(["a:1: x"]), RestartNeeded(["a:2: y"]), ZeroDivisionError()])
def test_no_worker_hears_of_what_is_broken(error: Exception) -> None:
    supervisor, lines = supervised(error, 2)
    lines[0].send(("reload",))
    supervisor._listen(PATIENCE)
    supervisor._reload()
    assert lines[0].poll(PATIENCE)
    kind, answer = lines[0].recv()
    assert kind == "answer"
    if isinstance(error, ConfigurationError):
        assert (type(answer), answer.mistakes) == (type(error), error.mistakes)
    else:
        assert answer is None
    assert not lines[1].poll()
    assert list(supervisor._definitions.catalog.streams) == ["old"]


@asynccontextmanager
async def line(notes: list[str] | Exception) -> AsyncIterator[tuple[Line, Connection, list[Definitions]]]:
    """A worker's end, the supervisor's, and what the worker has put in force."""
    ours, theirs = multiprocessing.Pipe()
    taken: list[Definitions] = []

    async def take(new: Definitions) -> list[str]:
        if isinstance(notes, Exception):
            raise notes
        taken.append(new)
        return notes

    made = Line(theirs, take, no_rows, 1)
    async with asyncio.timeout(PATIENCE):
        yield made, ours, taken
    made.close()


async def heard(connection: Connection) -> Any:
    assert await asyncio.to_thread(connection.poll, PATIENCE)
    return connection.recv()


async def test_a_worker_puts_in_force_what_it_is_given_in_order() -> None:
    async with line([]) as (_, connection, taken):
        for serial, name in enumerate(("one", "two", "three")):
            connection.send(("take", serial, definitions(name)))
        assert [await heard(connection) for _ in range(3)] == [("taken", serial, "reloaded") for serial in range(3)]
        assert [list(one.catalog.streams) for one in taken] == [["one"], ["two"], ["three"]]


async def test_a_worker_that_cannot_says_so() -> None:
    async with line(ZeroDivisionError("by nothing")) as (_, connection, _taken):
        connection.send(("take", 7, definitions("one")))
        assert await heard(connection) == ("taken", 7, "ZeroDivisionError: by nothing")


async def test_a_worker_asks_for_a_reload() -> None:
    async with line([]) as (worker, connection, _):
        answers: list[object] = [{"streams": {}}, ConfigurationError(["a:1: x"]), None]
        for answer in answers:
            asking = asyncio.create_task(worker.reload())
            assert await heard(connection) == ("reload",)
            connection.send(("answer", answer))
            if isinstance(answer, dict):
                assert await asking == answer
            else:
                with pytest.raises(ConfigurationError if answer else Problem):
                    await asking


async def test_an_answer_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "ANSWER_WAIT", 0.01)
    async with line([]) as (worker, connection, _):
        with pytest.raises(Problem, match="not known to be done"):
            await worker.reload()
        # It comes late, and is not taken for that of the next question.
        await heard(connection)
        connection.send(("answer", {"late": True}))
        monkeypatch.setattr(supervisor_module, "ANSWER_WAIT", PATIENCE)
        worker._answers.put_nowait(await worker._answers.get())
        asking = asyncio.create_task(worker.reload())
        await heard(connection)
        connection.send(("answer", {"late": False}))
        assert await asking == {"late": False}


async def test_a_supervisor_that_is_gone_is_no_error() -> None:
    async with line([]) as (worker, connection, _):
        connection.close()
        worker._readable()
        assert not asyncio.get_running_loop().remove_reader(worker._connection.fileno())
