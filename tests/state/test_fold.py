"""A view is the fold of its log at every frame and at every cut, whatever is killed, cut off or forgotten."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from gateway.state import frames, lookup, store
from gateway.state.lookup import Version
from gateway.state.place import Place, written
from gateway.state.reduce import Step
from tests.state.world import World

SEEDS = range(4)


@pytest.fixture(autouse=True)
def many_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that there is something to forget in a short log."""
    monkeypatch.setattr(store, "MARK_CHANGES", 5)
    monkeypatch.setattr(store, "FORGET_CHANGES", 8)


def run(directory: Path, seed: int, reduce: str, total: int = 400) -> World:
    """One world, to its end."""
    with closing(World(seed, reduce, directory)) as world:
        world.run(total)
        world.look_back(25)
    return world


@pytest.mark.long
@pytest.mark.parametrize("reduce", ["latest", "merge"])
def test_each_frame_after_ready_is_the_fold_of_the_log(tmp_path: Path, reduce: str) -> None:
    worlds = [run(tmp_path, seed, reduce) for seed in SEEDS]
    assert sum(world.kills for world in worlds) > 20
    assert sum(world.checks for world in worlds) > 500
    assert sum(world.resets for world in worlds) > 0
    assert sum(world.past for world in worlds) > 0
    assert sum(world.expired for world in worlds) > 0


def _position_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """The position is stored before what follows from it."""
    original = store._Work.flush

    def flush(self: store._Work) -> None:
        values = (written(self.places),)
        self._file.execute("UPDATE state SET places = ?", values)
        self._file.execute("COMMIT")
        self._file.execute("BEGIN IMMEDIATE")
        original(self)

    monkeypatch.setattr(store._Work, "flush", flush)


def _no_horizon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads does not look how far history goes."""
    monkeypatch.setattr(lookup, "covers", lambda cut, other: True)


def _half_a_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """A version at the cut counts."""
    monkeypatch.setattr(Version, "is_before", lambda self, cut: self.offset <= cut.get(self.partition, 0))


def _late_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """An id is one record ahead."""
    monkeypatch.setattr(
        Version, "place", property(lambda self: Place(self.offset + 2, self.offset + 1, self.timestamp, self.seen))
    )


def _forgets_deletes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tombstone is passed over."""
    original = Step.of
    monkeypatch.setattr(Step, "of", lambda self, record: None if record.value is None else original(self, record))


def _repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that resumes gets what it has already, in another order than before."""
    original = frames.Frames.follow

    def follow(self: frames.Frames, versions: list[Version]) -> bytes:
        return original(self, sorted(versions, key=lambda one: (one.partition, -one.offset)))

    monkeypatch.setattr(frames.Frames, "follow", follow)


@pytest.mark.parametrize(
    "plant",
    [_position_apart, _no_horizon, _half_a_cut, _late_id, _forgets_deletes, _repeats],
    ids=lambda plant: plant.__name__,
)
def test_planted_bugs_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    plant(monkeypatch)
    with pytest.raises((AssertionError, ValueError, KeyError, TypeError)):
        _run_all(tmp_path, range(12))


def _run_all(directory: Path, seeds: range) -> None:
    for seed in seeds:
        run(directory, seed, "latest")
