"""The line between a worker and its supervisor, from the end of the worker."""

from __future__ import annotations

import asyncio
import multiprocessing
import pickle
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from typing import Any

import pytest

from gateway.definitions import Definitions
from gateway.errors import ConfigurationError, Problem
from gateway.observability import telemetry
from gateway.observability.figures import Figures
from gateway.process import line as supervised
from gateway.process.line import Line
from tests.process.kit import GAUGE, KEY, PATIENCE, definitions, no_rows


@asynccontextmanager
async def line(notes: list[str] | Exception) -> AsyncIterator[tuple[Line[Definitions], Connection, list[Definitions]]]:
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
    while True:
        assert await asyncio.to_thread(connection.poll, PATIENCE)
        message = connection.recv()
        if message[0] != "alive":
            return message


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


async def test_a_line_that_has_ended_begins_nothing() -> None:
    async with line([]) as (worker, _, taken):
        worker.close()
        # The thread that hears the supervisor may have taken this before.
        worker._heard(pickle.dumps(("take", 0, definitions("one"))))
        await asyncio.sleep(0)
        assert (worker._tasks, taken) == (set(), [])


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
    monkeypatch.setattr(supervised, "ANSWER_WAIT", 0.01)
    async with line([]) as (worker, connection, _):
        with pytest.raises(Problem, match="its outcome is unknown"):
            await worker.reload()
        # It comes late, and is not taken for that of the next question.
        await heard(connection)
        connection.send(("answer", {"late": True}))
        monkeypatch.setattr(supervised, "ANSWER_WAIT", PATIENCE)
        worker._answers.put_nowait(await worker._answers.get())
        asking = asyncio.create_task(worker.reload())
        await heard(connection)
        connection.send(("answer", {"late": False}))
        assert await asking == {"late": False}


async def test_a_supervisor_that_is_gone_is_no_error() -> None:
    async with line([]) as (worker, connection, _):
        connection.close()
        worker.drain()
        await asyncio.sleep(0)
        assert not worker.silent


async def test_a_worker_tells_that_it_lives_and_what_it_counts() -> None:
    async with line([]) as (_, connection, _taken):
        assert await asyncio.to_thread(connection.poll, PATIENCE)
        kind, figures = connection.recv()
        assert kind == "alive"
        assert KEY in figures.counts
        assert GAUGE in figures.gauges


async def test_the_metrics_are_those_of_all_processes() -> None:
    async with line([]) as (worker, connection, _):
        asking = asyncio.create_task(worker.exposition())
        kind, question = await heard(connection)
        assert kind == "figures"
        own = telemetry.own_figures().counts[KEY]
        connection.send(("figures", question, [Figures({KEY: 5.0}), Figures({KEY: 2.0}, {GAUGE: 3.0})]))
        assert f"gateway_events_sent_total {own + 7}".encode() in await asking


async def test_metrics_that_the_supervisor_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervised, "FIGURES_WAIT", 0.01)
    async with line([]) as (worker, _, _taken):
        with pytest.raises(Problem) as raised:
            await worker.exposition()
        assert raised.value.status == 503


async def test_a_worker_hears_of_others_that_do_not_answer() -> None:
    async with line([]) as (worker, connection, _):
        connection.send(("workers", ["worker-1"], ["worker-2"]))
        while not worker.silent:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert (worker.silent, worker.down) == (["worker-1"], ["worker-2"])


@pytest.mark.parametrize("prompt", [True, False])
async def test_a_worker_beats_on_however_fast_its_messages_are_sent(
    monkeypatch: pytest.MonkeyPatch, *, prompt: bool
) -> None:
    async with line([]) as (worker, _, _taken):
        waiting: list[Callable[[], bytes]] = []

        def send(message: Callable[[], bytes]) -> bool:
            waiting.append(message)
            if prompt:
                # As a thread that is through with it before the sender goes on.
                message()
            return True

        monkeypatch.setattr(worker._post, "send", send)
        for _ in range(3):
            worker._beat()
        assert len(waiting) == (3 if prompt else 1)
        waiting[0]()
        worker._beat()
        assert len(waiting) == (4 if prompt else 2)


async def test_a_beat_that_finds_no_room_is_sent_later(monkeypatch: pytest.MonkeyPatch) -> None:
    async with line([]) as (worker, _, _taken):
        asked: list[object] = []

        def send(message: object) -> bool:
            asked.append(message)
            return False

        monkeypatch.setattr(worker._post, "send", send)
        worker._beat()
        worker._beat()
        assert len(asked) == 2
