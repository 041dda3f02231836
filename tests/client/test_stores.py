"""Where positions are kept: memory, a file, Redis."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from gateway.client import FilePositions, MemoryPositions, PositionStoreError, stores
from gateway.client.redis import RedisPositions


def names(directory: Path) -> list[str]:
    return [entry.name for entry in directory.iterdir()]


def test_memory() -> None:
    store = MemoryPositions()
    assert store.load() == ""
    store.save("1")
    assert store.load() == "1"


async def test_what_is_saved_in_a_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "position"
    store = FilePositions(path)
    assert await store.load() == ""
    await store.save('[{"topic":"é"}]')
    assert await FilePositions(str(path)).load() == '[{"topic":"é"}]'
    assert names(tmp_path) == ["position"]


async def test_it_is_on_the_disk_before_it_takes_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "position"
    await FilePositions(path).save("old")
    synced: list[tuple[str, str]] = []
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: synced.append((os.readlink(f"/proc/self/fd/{descriptor}"), path.read_text()))
    )
    await FilePositions(path).save("new")
    assert [(Path(name).name, content) for name, content in synced] == [
        (f".position.{os.getpid()}", "old\n"),
        (tmp_path.name, "new\n"),
    ]


async def test_a_full_disk_leaves_the_old_position(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    store = FilePositions(tmp_path / "position")
    await store.save("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PositionStoreError, match="position cannot be written: No space left on device"):
        await store.save("new")
    assert names(tmp_path) == ["position"]
    # It is full at the next start, too.
    with pytest.raises(PositionStoreError, match="position cannot be written: No space left on device"):
        await FilePositions(tmp_path / "position").load()
    monkeypatch.undo()
    assert await store.load() == "old"
    assert names(tmp_path) == ["position"]


POSITIONS = ["a", "a\tb", " a ", "\x01", "é\u00a0\u2028\u202e", "x" * 92_000, "[" + "1," * 500_000 + "1]"]


@pytest.mark.parametrize("position", POSITIONS, ids=lambda position: ascii(position[:10]))
async def test_what_a_server_may_send_is_saved_and_loaded(tmp_path: Path, position: str) -> None:
    path = tmp_path / "position"
    await FilePositions(path).save(position)
    assert await FilePositions(path).load() == position
    assert await FilePositions(path).load() == position, "the trial at a start writes what was there"


@pytest.mark.parametrize("position", ["a\nb", "a\r", "\0", "\udcff"], ids=ascii)
async def test_what_could_not_be_loaded_is_not_saved(tmp_path: Path, position: str) -> None:
    store = FilePositions(tmp_path / "position")
    await store.save("old")
    with pytest.raises(PositionStoreError, match="is not a position: one line"):
        await store.save(position)
    assert await store.load() == "old"


async def test_a_position_that_is_too_long_is_neither_saved_nor_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "LONGEST", 100)
    store = FilePositions(tmp_path / "position")
    await store.save("x" * 100)
    assert await store.load() == "x" * 100
    with pytest.raises(PositionStoreError, match="at most 100 bytes"):
        await store.save("x" * 101)
    (tmp_path / "position").write_bytes(b"x" * 101)
    with pytest.raises(PositionStoreError, match="something else"):
        await store.load()


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o664])
async def test_rights_stay(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "position"
    path.write_text("old\n")
    path.chmod(mode)
    store = FilePositions(path)
    assert await store.load() == "old"
    await store.save("new")
    assert path.stat().st_mode & 0o7777 == mode


async def test_symbolic_links_stay(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    link, further = tmp_path / "link", tmp_path / "data" / "further"
    link.symlink_to("data/further")
    further.symlink_to(tmp_path / "data" / "position")
    store = FilePositions(link)
    assert await store.load() == ""
    await store.save("1")
    assert link.is_symlink()
    assert further.is_symlink()
    assert (tmp_path / "data" / "position").read_text() == "1\n"
    assert set(names(tmp_path / "data")) == {"further", "position"}


async def test_a_name_as_long_as_names_may_be(tmp_path: Path) -> None:
    path = tmp_path / ("ä" * 127)
    await FilePositions(path).save("1")
    assert await FilePositions(path).load() == "1"


async def test_what_a_killed_program_left_is_in_nobodys_way(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    (tmp_path / f".position.{os.getpid()}").symlink_to(elsewhere)
    await FilePositions(tmp_path / "position").save("1")
    assert elsewhere.read_text() == "mine"
    assert set(names(tmp_path)) == {"elsewhere", "position"}


async def test_places_that_are_no_file_are_told_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to("/dev/null")
    for name, said in (
        (".", "Is a directory"),
        ("pipe", "it is not a file, but a device or a pipe"),
        ("null", "it is not a file, but a device or a pipe"),
    ):
        with pytest.raises(PositionStoreError, match=f"cannot be used: {said}"):
            await FilePositions(tmp_path / name).load()


async def test_a_read_only_file_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "position"
    path.write_text("old\n")
    path.chmod(0o444)
    with pytest.raises(PositionStoreError, match="cannot be used: it is read-only"):
        await FilePositions(path).load()
    assert path.read_text() == "old\n"


async def test_a_directory_that_takes_no_other_file_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the file itself may be written, and none beside it."""
    path = tmp_path / "position"
    path.write_text("old\n")
    opening = Path.open

    def refuse(self: Path, mode: str = "r", **more: Any) -> IO[Any]:
        if "x" in mode:
            raise PermissionError(13, "Permission denied")
        return opening(self, mode, **more)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(PositionStoreError, match="position cannot be written: Permission denied"):
        await FilePositions(path).load()
    assert path.read_bytes() == b"old\n"


@pytest.mark.parametrize("content", [b"a\nb\n", b"\xff", b"\x00", b"a\r\n"], ids=["lines", "bytes", "nul", "return"])
async def test_another_kind_of_file_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(PositionStoreError, match=r"notes\.txt holds something else than a position"):
        await FilePositions(path).load()
    assert path.read_bytes() == content


async def test_a_place_that_cannot_be_written_is_told_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(PositionStoreError, match="No such file"):
        await FilePositions(tmp_path / "nowhere" / "position").load()


async def test_a_directory_that_vanishes(tmp_path: Path) -> None:
    directory = tmp_path / "here"
    directory.mkdir()
    store = FilePositions(directory / "position")
    await store.load()
    (directory / "position").unlink()
    directory.rmdir()
    with pytest.raises(PositionStoreError, match="cannot be written: No such file"):
        await store.save("1")


@asynccontextmanager
async def redis(values: dict[bytes, bytes]) -> AsyncIterator[str]:
    """The address of a server that speaks as much of Redis's protocol (RESP 2) as a position needs."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readline():
            words = []
            for _ in range(int(head[1:])):
                length = int((await reader.readline())[1:])
                words.append((await reader.readexactly(length + 2))[:-2])
            match words:
                case [b"SET", key, value]:
                    values[key] = value
                    writer.write(b"+OK\r\n")
                case [b"GET", key]:
                    held = values.get(key)
                    writer.write(b"$-1\r\n" if held is None else b"$%d\r\n%b\r\n" % (len(held), held))
                case [b"CLIENT", *_]:
                    writer.write(b"+OK\r\n")
                case _:
                    writer.write(b"-ERR unknown command\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"redis://me:secret@127.0.0.1:{server.sockets[0].getsockname()[1]}?protocol=2"


async def test_a_value_in_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    values: dict[bytes, bytes] = {}
    async with redis(values) as address:
        store = RedisPositions(address.replace("me:secret@", ""), "my position")
        assert await store.load() == ""
        await store.save('[{"topic":"é"}]')
        assert values == {b"my position": '[{"topic":"é"}]'.encode()}
        assert await store.load() == '[{"topic":"é"}]'
        values[b"my position"] = b"a\nb"
        with pytest.raises(PositionStoreError, match="holds something else than a position"):
            await store.load()


async def test_redis_that_refuses_is_told_without_its_password() -> None:
    async with redis({}) as address:
        for call in (RedisPositions(address, "k").load(), RedisPositions(address, "k").save("1")):
            with pytest.raises(PositionStoreError, match=r"the position 'k' in redis://127\.0\.0\.1:\d+: ") as raised:
                await call
            assert "secret" not in str(raised.value)


async def test_redis_that_is_not_there() -> None:
    with pytest.raises(PositionStoreError, match=r"'k' in redis://127\.0\.0\.1:1: "):
        await RedisPositions("redis://127.0.0.1:1", "k").load()
