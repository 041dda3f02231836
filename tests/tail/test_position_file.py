"""A position in a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.tail.position_file import PositionFile, PositionFileError


def test_what_is_saved_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "position"
    file = PositionFile(path)
    assert file.read() == ""
    file.save('[{"topic":"é"}]')
    assert PositionFile(path).read() == '[{"topic":"é"}]'
    assert [entry.name for entry in tmp_path.iterdir()] == ["position"]


@pytest.mark.parametrize("content", [b"a\nb\n", b"\xff", b"\x00", b"x" * 70_000], ids=["lines", "bytes", "nul", "long"])
def test_another_kind_of_file_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(PositionFileError, match=r"notes\.txt holds something else than a position"):
        PositionFile(path).read()
    assert path.read_bytes() == content


def test_a_place_that_cannot_be_written_is_told_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(PositionFileError, match="No such file"):
        PositionFile(tmp_path / "nowhere" / "position").read()


def test_a_directory_that_vanishes(tmp_path: Path) -> None:
    directory = tmp_path / "here"
    directory.mkdir()
    file = PositionFile(directory / "position")
    file.read()
    (directory / "position").unlink()
    directory.rmdir()
    with pytest.raises(PositionFileError, match="cannot be written: No such file"):
        file.save("1")
