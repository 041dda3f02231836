"""What git knows about the files of a repository: how each version was when it was released.

A version is released when its file is first committed; where a tag or a branch is named, when it stands there. What was
committed is asked of git itself, so nothing has to be kept beside the schemas.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import GatewayError

PATIENCE = 60.0
"""Seconds that one call of git may take."""


class HistoryError(GatewayError):
    """Git does not answer, or knows no such tag or branch."""


@dataclass(frozen=True, slots=True)
class Committed:
    """A file as it was released. `where` is the commit, shortened, or the tag or branch that was named."""

    path: Path
    where: str
    content: bytes


def is_kept_in_git(directory: Path) -> bool:
    """Whether the directory lies in a git work tree that has a commit."""
    try:
        _git(directory, "rev-parse", "--is-inside-work-tree", "--verify", "HEAD")
    except HistoryError:
        return False
    return True


def released_files(directory: Path, reference: str | None = None) -> list[Committed]:
    """All files of the directory as they were when they were released. Raises HistoryError."""
    found = _first_commits(directory) if reference is None else _files_at(directory, reference)
    top = Path(_git(directory, "rev-parse", "--show-toplevel").decode().rstrip("\n"))
    wanted = [f"{commit}:{path}" for path, commit in found.items()]
    contents = _contents(directory, wanted)
    here = directory.resolve()
    return [
        # Named as the caller names the directory, not as git does.
        Committed(directory / (top / path).relative_to(here), reference or commit[:10], content)
        for (path, commit), content in zip(found.items(), contents, strict=True)
        if (top / path).is_relative_to(here)
    ]


def _first_commits(directory: Path) -> dict[str, str]:
    """The first commit of each file, by its path from the top. Merges are followed on both sides."""
    output = _git(
        directory, "log", "--diff-filter=A", "--no-renames", "--format=%x00%H", "--name-only", "-z", "--", "."
    )
    found: dict[str, str] = {}
    commit = ""
    for item in output.decode(errors="surrogateescape").split("\0"):
        word = item.strip("\n")
        if len(word) in (40, 64) and all(character in "0123456789abcdef" for character in word):
            commit = word
        elif word:
            # From the newest commit to the oldest: the last one stays.
            found[word] = commit
    return found


def _files_at(directory: Path, reference: str) -> dict[str, str]:
    if reference.startswith("-"):
        raise HistoryError(f"{reference!r} is no tag or branch")
    commit = _git(directory, "rev-parse", "--verify", "--quiet", f"{reference}^{{commit}}").decode().strip()
    output = _git(directory, "ls-tree", "-r", "-z", "--full-name", "--name-only", commit)
    return {path: commit for path in output.decode(errors="surrogateescape").split("\0") if path}


def _contents(directory: Path, objects: list[str]) -> list[bytes]:
    asked = "".join(f"{name}\n" for name in objects if "\n" not in name)
    output = _git(directory, "cat-file", "--batch", given=asked.encode(errors="surrogateescape"))
    contents = []
    for name in objects:
        if "\n" in name:
            contents.append(b"")
            continue
        head, _, output = output.partition(b"\n")
        words = head.split()
        size = int(words[2]) if len(words) == 3 and words[2].isdigit() else 0
        contents.append(output[:size])
        output = output[size + 1 :] if len(words) == 3 else output
    return contents


def _git(directory: Path, *arguments: str, given: bytes = b"") -> bytes:
    # Names as they are, and nothing that the user's settings would add.
    command = ["git", "-c", "core.quotePath=false", "-c", "log.showSignature=false", *arguments]
    try:
        result = subprocess.run(command, cwd=directory, input=given, capture_output=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HistoryError(f"git does not answer: {error}") from error
    if result.returncode != 0:
        said = result.stderr.decode(errors="replace").strip() or f"it knows nothing of {arguments[-1]}"
        raise HistoryError(f"git {arguments[0]}: {said}")
    return result.stdout
