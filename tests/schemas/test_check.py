"""`gateway schemas check`: validity, compatibility, and that released versions stay as they are."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.errors import ConfigurationError
from gateway.schemas.check import check
from tests.conftest import absent

FIELDS = "properties: {$schema: {type: string}, name: {type: string}}"


def put(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false")
    program = shutil.which("git") or absent("there is no git")
    subprocess.run([program, *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git work tree whose directory `schemas` holds a released version."""
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    folder = tmp_path / "schemas"
    put(folder, "page/edit/1.0.0.yaml", FIELDS)
    put(folder, "page/edit/current.yaml", f"$id: /page/edit/1.0.0\n{FIELDS}")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "Release 1.0.0")
    return folder


def test_a_repository_without_mistakes(repository: Path) -> None:
    report = check([repository])
    assert (report.mistakes, report.notes, report.unread, report.versions) == ([], [], [], 1)


def test_a_directory_that_is_not_kept_in_git(tmp_path: Path) -> None:
    put(tmp_path, "a/1.0.0.yaml", FIELDS)
    report = check([tmp_path])
    (unread,) = report.unread
    assert "not kept in git" in unread
    assert report.mistakes == report.notes == []
    (mistake,) = check([tmp_path], released_in="main").mistakes
    assert "not kept in git" in mistake


def test_schemas_that_cannot_be_read_and_titles_that_are_not_there(tmp_path: Path) -> None:
    put(tmp_path, "a/1.0.0.yaml", "type: objekt")
    with pytest.raises(ConfigurationError, match="at /type"):
        check([tmp_path])
    put(tmp_path, "a/1.0.0.yaml", "type: object")
    with pytest.raises(ConfigurationError, match="there is no schema 'b'"):
        check([tmp_path], ("b",))


def test_examples_are_valid(repository: Path) -> None:
    put(repository, "page/edit/1.1.0.yaml", f"{FIELDS}\nexamples: [{{name: Ada}}, {{name: 1}}]")
    (mistake,) = check([repository]).mistakes
    assert "example 2 is not valid: /name" in mistake


def test_a_minor_version_breaks_nobody(repository: Path) -> None:
    put(repository, "page/edit/1.1.0.yaml", "properties: {$schema: {type: string}, name: {type: integer}}")
    put(repository, "page/edit/1.2.0.yaml", "properties: {$schema: {type: string}, name: {type: integer}, x: {}}")
    put(repository, "page/edit/2.0.0.yaml", "properties: {$schema: {type: string}}")
    put(repository, "page/edit/current.yaml", "$id: /page/edit/2.0.0\nproperties: {$schema: {type: string}}")
    report = check([repository])
    (mistake,) = report.mistakes
    assert mistake.splitlines() == [
        f"{repository}/page/edit/1.1.0.yaml: it breaks what was made for 1.0.0:",
        "  ! /name: the type changed: string → integer",
    ]
    assert report.notes == []


def test_before_the_first_major_version_everything_may_change(repository: Path) -> None:
    put(repository, "a/0.1.0.yaml", FIELDS)
    put(repository, "a/0.2.0.yaml", "properties: {}")
    put(repository, "a/0.2.1.yaml", "properties: {x: {type: string}}")
    report = check([repository], ("a",))
    assert report.mistakes == []
    first, second = report.notes
    assert "it breaks what was made for 0.1.0" in first
    assert "0.2.1.yaml: it says more than a patch of 0.2.0" in second


def test_what_is_being_written_breaks_nobody(repository: Path) -> None:
    current = put(repository, "page/edit/current.yaml", "$id: /page/edit/1.0.0\nproperties: {$schema: {type: string}}")
    (mistake,) = check([repository]).mistakes
    assert mistake.splitlines() == [
        f"{current}: it breaks what was made for 1.0.0; take it back, or `gateway schemas bump page/edit --major`:",
        "  ! /name: the field was removed: string → nothing",
    ]
    put(repository, "page/edit/current.yaml", "$id: /page/edit/2.0.0\nproperties: {$schema: {type: string}}")
    report = check([repository])
    assert report.mistakes == []
    assert "`gateway schemas bump page/edit --major` releases what breaks" in report.notes[0]


def test_what_is_being_written_and_not_released(repository: Path) -> None:
    more = "properties: {$schema: {type: string}, name: {type: string}, user: {type: string}}"
    put(repository, "page/edit/current.yaml", f"$id: /page/edit/1.0.0\n{more}")
    put(repository, "b/current.yaml", "$id: /b/1.0.0")
    report = check([repository])
    assert report.mistakes == []
    first, second = report.notes
    assert "no version is released yet" in first
    assert "`gateway schemas bump page/edit` releases them" in second
    assert "/user: a new field: nothing → string" in second


def test_fields_that_additional_properties_forbid(repository: Path) -> None:
    closed = "allOf: [{properties: {a: {}, b: {}}}]\nadditionalProperties: false\nproperties: {a: {}}"
    put(repository, "c/1.0.0.yaml", closed)
    (mistake,) = check([repository], ("c",)).mistakes
    assert "at /: additionalProperties is false, and so forbids the fields" in mistake
    assert "(b)" in mistake
    # Also in a field that is called as a keyword is; what stands in a value is no schema.
    put(repository, "e/1.0.0.yaml", f"properties: {{default: {{{closed.replace(chr(10), ', ')}}}}}")
    (mistake,) = check([repository], ("e",)).mistakes
    assert "at /properties/default: additionalProperties is false" in mistake
    put(repository, "f/1.0.0.yaml", f"default: {{{closed.replace(chr(10), ', ')}}}")
    assert not check([repository], ("f",)).mistakes


def test_a_released_version_refers_to_released_ones(repository: Path) -> None:
    put(repository, "b/current.yaml", "$id: /b/1.0.0")
    references = "[{$ref: /page/edit/1.0.0#}, {$ref: /page/edit/latest}, {$ref: /b/1.0.0#}, {$ref: '#/definitions/x'}]"
    put(repository, "c/1.0.0.yaml", f"allOf: {references}\ndefinitions: {{x: {{}}}}\nconst: {{$ref: /d/latest}}")
    put(
        repository,
        "c/current.yaml",
        f"$id: /c/1.0.0\nallOf: {references}\ndefinitions: {{x: {{}}}}\nconst: {{$ref: /d/latest}}",
    )
    first, second = check([repository], ("c",)).mistakes
    assert "it refers to /b/1.0.0, which may change" in first
    assert "it refers to /page/edit/latest, which may change" in second


def test_a_released_version_never_changes(repository: Path) -> None:
    path = put(repository, "page/edit/1.0.0.yaml", f"description: Better words\n{FIELDS}")
    (mistake,) = check([repository]).mistakes
    assert mistake.startswith(f"{path}: it has changed since it was released (")
    assert mistake.splitlines()[1:] == ["    /description: added"]
    # Committed changes are changes too.
    git(repository, "commit", "--quiet", "--all", "--message", "Change 1.0.0")
    assert check([repository]).mistakes == [mistake]
    assert check([repository], ("page/edit",)).mistakes == [mistake]


@pytest.mark.long
def test_a_released_version_never_changes_with_a_rename_of_its_directory(repository: Path) -> None:
    top = repository.parent
    for place in ("elsewhere/deep/schemas", "again", "schemas"):
        (top / place).parent.mkdir(parents=True, exist_ok=True)
        git(top, "mv", str(repository.relative_to(top)), place)
        git(top, "commit", "--quiet", "--message", f"Move it to {place}")
        repository = top / place
        assert check([repository]).mistakes == []
    git(top, "mv", "schemas", "more")
    put(top, "more/page/edit/1.0.0.yaml", FIELDS.replace("name: {type: string}", "name: {type: integer}"))
    git(top, "commit", "--quiet", "--all", "--message", "Move, and change")
    assert any("1.0.0.yaml: it has changed since it was released" in one for one in check([top / "more"]).mistakes)
    # Another version is released where it is.
    git(top, "mv", "more/page/edit/1.0.0.yaml", "more/page/edit/1.0.1.yaml")
    git(top, "commit", "--quiet", "--message", "Number it anew")
    assert any("1.0.0.yaml: it was released" in one for one in check([top / "more"]).mistakes)


def test_the_same_in_another_form_is_no_change(repository: Path) -> None:
    put(repository, "page/edit/1.0.0.yaml", "# a comment\n" + FIELDS.replace("type: string", "type: 'string'"))
    assert check([repository]).mistakes == []


def test_a_released_version_stays(repository: Path) -> None:
    (repository / "page/edit/1.0.0.yaml").rename(repository / "page/edit/1.0.1.yaml")
    (repository / "page/edit/current.yaml").unlink()
    (mistake,) = check([repository]).mistakes
    assert "it was released (" in mistake
    assert "and is gone" in mistake


@pytest.mark.long
def test_a_tag_or_a_branch_says_what_is_released(repository: Path) -> None:
    git(repository, "tag", "v1")
    path = put(repository, "page/edit/1.1.0.yaml", FIELDS)
    git(repository.parent, "add", ".")
    git(repository, "commit", "--quiet", "--message", "Try 1.1.0")
    path.write_text(f"description: Ripened\n{FIELDS}", encoding="utf-8")
    assert len(check([repository]).mistakes) == 1
    assert check([repository], released_in="v1").mistakes == []
    put(repository, "page/edit/1.0.0.yaml", f"description: Changed\n{FIELDS}")
    (mistake,) = check([repository], released_in="v1").mistakes
    assert "1.0.0.yaml: it has changed since it was released (v1)" in mistake
    for reference in ("absent", "--all", "-x"):
        (mistake,) = check([repository], released_in=reference).mistakes
        assert reference in mistake


def test_a_work_tree_in_another_place(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository.parent)
    put(repository, "page/edit/1.0.0.yaml", "description: Changed")
    put(repository, "page/edit/current.yaml", "$id: /page/edit/1.0.0\ndescription: Changed")
    (mistake,) = check([Path("schemas")]).mistakes
    assert mistake.startswith("schemas/page/edit/1.0.0.yaml: it has changed")


def unread(folder: Path) -> str:
    """Why the history could not be read, which is no mistake."""
    report = check([folder])
    assert report.mistakes == []
    (told,) = report.unread
    assert told.startswith(f"{folder}: its history could not be read, so nobody knows whether a version has changed: ")
    return told


@pytest.mark.long
def test_a_shallow_clone_is_no_whole_history(repository: Path, tmp_path: Path) -> None:
    changed = f"description: Changed\n{FIELDS}"
    put(repository, "page/edit/1.0.0.yaml", changed)
    git(repository, "commit", "--quiet", "--all", "--message", "Change 1.0.0")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{tmp_path}", str(clone))
    # The change was made before the only commit that is there.
    assert "git fetch --unshallow" in unread(clone / "schemas")
    git(clone, "tag", "v1")
    assert check([clone / "schemas"], released_in="v1").mistakes == []
    put(clone / "schemas", "page/edit/1.0.0.yaml", FIELDS)
    assert len(check([clone / "schemas"], released_in="v1").mistakes) == 1
    git(clone, "fetch", "--quiet", "--unshallow")
    put(clone / "schemas", "page/edit/1.0.0.yaml", changed)
    report = check([clone / "schemas"])
    assert report.unread == []
    assert "it has changed since it was released" in report.mistakes[0]


def test_a_repository_of_another_user(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As git's own tests have it.
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "true")
    assert "safe.directory" in unread(repository)
    (mistake,) = check([repository], released_in="main").mistakes
    assert "safe.directory" in mistake


def test_no_git(repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "git is not installed" in unread(repository)


@pytest.mark.long
@pytest.mark.parametrize("damage", ["HEAD", "ref", "lost ref", "commit", "blob", "objects"])
def test_a_damaged_repository(repository: Path, damage: str) -> None:
    inside = repository.parent / ".git"
    git(repository, "tag", "v1")

    def path_of(name: str) -> Path:
        found = subprocess.run(
            ["git", "rev-parse", name], cwd=repository, check=True, capture_output=True, text=True
        ).stdout.strip()
        return inside / "objects" / found[:2] / found[2:]

    match damage:
        case "HEAD":
            (inside / "HEAD").write_text("?")
        case "ref":
            (inside / "refs/heads/main").write_text("?")
        case "lost ref":
            (inside / "refs/heads/main").unlink()
        case "commit":
            path_of("HEAD").unlink()
        case "blob":
            path_of("HEAD:schemas/page/edit/1.0.0.yaml").unlink()
        case "objects":
            shutil.rmtree(inside / "objects")
    assert "git" in unread(repository)


@pytest.mark.long
def test_a_version_that_only_a_merge_brings_is_released_with_it(repository: Path) -> None:
    git(repository, "checkout", "--quiet", "-b", "other")
    put(repository.parent, "other.txt", "other")
    git(repository.parent, "add", ".")
    git(repository, "commit", "--quiet", "--message", "Other")
    git(repository, "checkout", "--quiet", "main")
    put(repository.parent, "third.txt", "third")
    git(repository.parent, "add", ".")
    git(repository, "commit", "--quiet", "--message", "Third")
    git(repository, "merge", "--quiet", "--no-commit", "other")
    path = put(repository, "page/edit/1.1.0.yaml", FIELDS)
    git(repository.parent, "add", ".")
    git(repository, "commit", "--quiet", "--message", "Merge")
    path.write_text(f"description: Changed\n{FIELDS}", encoding="utf-8")
    (mistake,) = check([repository]).mistakes
    assert mistake.startswith(f"{path}: it has changed since it was released (")


def test_a_directory_that_git_ignores(repository: Path) -> None:
    put(repository.parent, ".gitignore", "made/\n")
    made = repository.parent / "made"
    put(made, "a/1.0.0.yaml", FIELDS)
    assert "git ignores the directory" in unread(made)


def test_what_was_committed_and_cannot_be_read_is_told(repository: Path) -> None:
    put(repository, "page/edit/1.1.0.yaml", "properties: {")
    git(repository.parent, "add", ".")
    git(repository, "commit", "--quiet", "--message", "Slip")
    put(repository, "page/edit/1.1.0.yaml", FIELDS)
    (mistake,) = check([repository]).mistakes
    assert "as it was released (" in mistake


def test_before_the_first_commit_nothing_is_released(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    put(tmp_path, "a/1.0.0.yaml", FIELDS)
    report = check([tmp_path])
    assert (report.mistakes, report.notes, report.unread, report.versions) == ([], [], [], 1)


def test_a_hook_of_another_repository_reads_that_of_the_schemas(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", ".git")
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    assert check([repository]).unread == []
