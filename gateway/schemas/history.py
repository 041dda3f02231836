"""Asks git about the files of a repository: how each version was when it was released.

A version is released when its file is first committed or, if a tag or a branch is named, when it stands there. Git
itself knows what was committed, so that nothing has to be kept beside the schemas.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gateway.errors import GatewayError

PATIENCE = 60.0
"""Seconds that one call of git may take."""
MAXIMUM_MOVES = 20
"""How many renames of a directory are followed back."""
_BY_HOOKS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR")
"""Variables by which git tells a hook where its repository is, and which would be taken for that of the schemas."""


class HistoryError(GatewayError):
    """The history cannot be read, or has no such tag or branch; says why, and what helps."""


@dataclass(frozen=True, slots=True)
class Committed:
    """A file as it was released. `where` is the commit, shortened, or the tag or branch that was named."""

    path: Path
    where: str
    content: bytes


def released_files(directory: Path, reference: str | None = None) -> list[Committed]:
    """All files of the directory as they were when they were released. Raises HistoryError."""
    top = _top(directory)
    found = _origins(directory, top) if reference is None else _files_at(directory, reference)
    wanted = [f"{commit}:{path}" for commit, path in found.values()]
    contents = _contents(directory, wanted)
    here = directory.resolve()
    return [
        # Named as the caller names the directory, not as git does.
        Committed(directory / (top / path).relative_to(here), reference or commit[:10], content)
        for (path, (commit, _)), content in zip(found.items(), contents, strict=True)
        if (top / path).is_relative_to(here)
    ]


def lacking(directory: Path) -> str | None:
    """The reason why the history of the directory does not show every release; None for a whole one. Raises
    HistoryError."""
    if _git(directory, "rev-parse", "--is-shallow-repository").strip() == b"true":
        return (
            "the clone is shallow, and git knows its newest commits alone; `git fetch --unshallow` brings the others "
            "(`fetch-depth: 0` of actions/checkout, `GIT_DEPTH: 0` of GitLab)"
        )
    if not _git(directory, "ls-files", "--", ".") and _holds(directory, "check-ignore", "--quiet", "."):
        return "git ignores the directory"
    return None


def _top(directory: Path) -> Path:
    """The top of the work tree. Raises HistoryError."""
    try:
        top = _git(directory, "rev-parse", "--show-toplevel")
    except HistoryError as error:
        raise _explained(directory, error) from error
    if not top.strip():
        raise HistoryError("it lies in git's own directory, of which there is no history")
    return Path(os.fsdecode(top.removesuffix(b"\n")))


def _explained(directory: Path, error: HistoryError) -> HistoryError:
    """The same in our words, where git's are common."""
    here = directory.resolve()
    if "dubious ownership" in str(error):
        return HistoryError(
            "its repository belongs to another user, and git does not read it; "
            "`git config --global --add safe.directory '*'` lets it, or a path for the star"
        )
    if "not a git repository" not in str(error):
        return error
    found = next((folder / ".git" for folder in (here, *here.parents) if (folder / ".git").exists()), None)
    return HistoryError("it is not kept in git" if found is None else f"{found} is there, and damaged; {error}")


def _origins(directory: Path, top: Path) -> dict[str, tuple[str, str]]:
    """By path from the top: the commit that first brought a file of the directory, and its path then. A rename of the
    directory is followed back: with it, a released version could change unseen."""
    if _has_no_commit(directory):
        return {}
    here = directory.resolve().relative_to(top).as_posix()
    found = {path: (commit, path) for path, commit in _first_commits(directory, ".").items()}
    for _ in range(MAXIMUM_MOVES):
        removed = _removed(directory, {commit for commit, _ in found.values()})
        moved: dict[str, tuple[str, str]] = {}
        for path, (commit, _) in found.items():
            name = PurePosixPath(path).relative_to(here).as_posix()
            before = removed.get((commit, name))
            if before is not None:
                moved[path] = before, before.removesuffix(name)
        first: dict[str, str] = {}
        for folder in {folder for _, folder in moved.values()}:
            first |= _first_commits(directory, f":(top,literal){folder}")
        older = {path: (first[before], before) for path, (before, _) in moved.items() if before in first}
        if not older:
            break
        found |= older
    return found


def _first_commits(directory: Path, pathspec: str) -> dict[str, str]:
    """The first commit of each file of a pathspec, by its path from the top. Merges are followed on both sides, and
    what a merge itself brings counts."""
    options = ("-c", "--diff-filter=A", "--no-renames", "--format=%x00%H", "--name-only", "-z")
    # From the newest commit to the oldest: the last one stays.
    return {
        word: commit for commit, words in _by_commit(_git(directory, "log", *options, "--", pathspec)) for word in words
    }


def _removed(directory: Path, commits: Iterable[str]) -> dict[tuple[str, str], str]:
    """What commits removed, by commit and each end of its path: what they brought under the same end is that, moved."""
    given = "".join(f"{commit}\n" for commit in commits).encode()
    options = ("--stdin", "-r", "--no-renames", "--diff-filter=D", "--name-only", "-z")
    found = {}
    for commit, words in _by_commit(_git(directory, "diff-tree", *options, given=given)):
        for word in words:
            parts = word.split("/")
            for number in range(len(parts)):
                found[commit, "/".join(parts[number:])] = word
    return found


def _by_commit(output: bytes) -> list[tuple[str, list[str]]]:
    """Each commit that git tells of, and what it tells of it."""
    found: list[tuple[str, list[str]]] = []
    for item in output.decode(errors="surrogateescape").split("\0"):
        word = item.strip("\n")
        if len(word) in (40, 64) and all(character in "0123456789abcdef" for character in word):
            found.append((word, []))
        elif word:
            found[-1][1].append(word)
    return found


def _files_at(directory: Path, reference: str) -> dict[str, tuple[str, str]]:
    if reference.startswith("-"):
        raise HistoryError(f"{reference!r} is no tag or branch")
    commit = _git(directory, "rev-parse", "--verify", "--quiet", f"{reference}^{{commit}}").decode().strip()
    output = _git(directory, "ls-tree", "-r", "-z", "--full-name", "--name-only", commit)
    return {path: (commit, path) for path in output.decode(errors="surrogateescape").split("\0") if path}


def _has_no_commit(directory: Path) -> bool:
    """Whether nothing was ever committed. Where a branch is named that is not there, and others are, it is lost."""
    return not (
        _holds(directory, "rev-parse", "--verify", "--quiet", "HEAD")
        or _git(directory, "rev-list", "--all", "--max-count=1").strip()
    )


def _contents(directory: Path, objects: list[str]) -> list[bytes]:
    """Raises HistoryError where one is not there."""
    # No name of a version has a line break.
    asked = "".join(f"{name}\n" for name in objects if "\n" not in name)
    output = _git(directory, "cat-file", "--batch", given=asked.encode(errors="surrogateescape"))
    contents = []
    for name in objects:
        if "\n" in name:
            contents.append(b"")
            continue
        head, _, output = output.partition(b"\n")
        words = head.rsplit(b" ", 2)
        if len(words) != 3 or not words[2].isdigit():
            raise HistoryError(f"git has lost an object: {head.decode(errors='replace')}")
        size = int(words[2])
        contents.append(output[:size])
        output = output[size + 1 :]
    return contents


def _git(directory: Path, *arguments: str, given: bytes = b"") -> bytes:
    """The output of git. Raises HistoryError."""
    result = _run(directory, arguments, given)
    if result.returncode != 0:
        said = result.stderr.decode(errors="replace").strip() or f"it knows nothing of {arguments[-1]}"
        raise HistoryError(f"git {arguments[0]}: {said}")
    return result.stdout


def _holds(directory: Path, *arguments: str) -> bool:
    """Whether git says yes. Raises HistoryError."""
    return _run(directory, arguments).returncode == 0


def _run(directory: Path, arguments: Iterable[str], given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    # Names as they are, messages in English, and nothing that the user's settings would add.
    command = ["git", "--no-replace-objects", "-c", "core.quotePath=false", "-c", "log.showSignature=false", *arguments]
    environment = {name: value for name, value in os.environ.items() if name not in _BY_HOOKS} | {"LC_ALL": "C"}
    try:
        return subprocess.run(
            command, cwd=directory, env=environment, input=given, capture_output=True, timeout=PATIENCE, check=False
        )
    except FileNotFoundError as error:
        raise HistoryError("git is not installed") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HistoryError(f"git does not answer: {error}") from error
