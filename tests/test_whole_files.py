"""Files are written whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from gateway.whole_files import copy_whole, link_whole, write_whole


def full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_file_keeps_its_mode_and_its_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "real").chmod(0o640)
    (tmp_path / "link").symlink_to("real")
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"
    assert stat.S_IMODE((tmp_path / "real").stat().st_mode) == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]


def test_a_new_file_replaces_none(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", b"first", new=True)
    with pytest.raises(FileExistsError):
        write_whole(tmp_path / "file", b"second", new=True)
    assert (tmp_path / "file").read_bytes() == b"first"


@pytest.mark.parametrize("new", [False, True])
def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new: bool) -> None:
    if not new:
        (tmp_path / "file").write_bytes(b"old")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "file", b"new", new=new)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_link_takes_the_place_of_another(tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to("1.0.0")
    link_whole(tmp_path / "latest", "1.1.0")
    assert [(path.name, str(path.readlink())) for path in tmp_path.iterdir()] == [("latest", "1.1.0")]


def test_a_directory_is_copied_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "source" / "in").mkdir(parents=True)
    (tmp_path / "source" / "in" / "file").write_bytes(b"x")
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            copy_whole(tmp_path / "source", tmp_path / "target")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
    copy_whole(tmp_path / "source", tmp_path / "target")
    assert (tmp_path / "target" / "in" / "file").read_bytes() == b"x"
    with pytest.raises(FileExistsError):
        copy_whole(tmp_path / "source", tmp_path / "target")
