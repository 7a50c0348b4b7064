"""The commit of our files, and of no other's, whatever git is told elsewhere."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lsbook.core import checkout

PROJECT = Path(__file__).parents[2]
SOMEBODY = "-c", "user.name=a", "-c", "user.email=a@b"


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", folder, *SOMEBODY, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def package(tmp_path) -> Path:
    """A file of a package that is committed with another module."""
    file = tmp_path / "ours" / "lsbook" / "__init__.py"
    (file.parent / "training").mkdir(parents=True)
    for path in (file, file.with_name("models.py"), file.parent / "training" / "loop.py"):
        path.touch()
    git(tmp_path, "init", "-q", "ours")
    git(file.parent, "add", ".")
    git(file.parent, "commit", "-qm", "a commit")
    return file


def test_a_change_anywhere_in_the_folder_marks_the_commit(package):
    assert checkout.commit(package) == git(package.parent, "rev-parse", "--short=12", "HEAD")
    (package.parent / "training" / "loop.py").write_text("changed = True\n")
    assert checkout.commit(package).endswith(" with changes")
    git(package.parent, "commit", "-qam", "another")
    (package.parent / "added.py").touch()
    assert re.fullmatch("[0-9a-f]{12} with changes", checkout.commit(package))


def test_what_is_in_no_checkout_of_its_own_has_the_commit_that_is_said(package, tmp_path, monkeypatch):
    installed = package.parent / "environment" / "lsbook" / "__init__.py"
    installed.parent.mkdir(parents=True)
    nowhere = tmp_path / "nowhere" / "__init__.py"
    nowhere.parent.mkdir()
    for file in (installed, nowhere):
        file.touch()
        monkeypatch.delenv("LSBOOK_COMMIT", raising=False)
        assert checkout.git(file, "log") is None
        assert checkout.commit(file) == "unknown"
        monkeypatch.setenv("LSBOOK_COMMIT", "0123456789ab")
        assert checkout.commit(file) == "0123456789ab"
    monkeypatch.setenv("PATH", str(tmp_path))  # which has no git
    assert checkout.commit(package) == "0123456789ab"


def test_the_readers_git_and_the_owner_change_nothing(package, tmp_path, monkeypatch):
    """Settings that change what git says, a repository in the environment, and files that are another user's."""
    commit, time = git(package.parent, "rev-parse", "HEAD")[:12], git(package.parent, "log", "-1", "--format=%ct")
    git(tmp_path, "init", "-q", "other")
    settings = "[log]\nshowSignature = true\n[status]\nshowUntrackedFiles = no\n[core]\nabbrev = 4\nautocrlf = true\n"
    (tmp_path / ".gitconfig").write_text(settings)
    (package.parent / "added.py").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    if not os.geteuid():
        for path in (package.parents[1], package.parents[1] / ".git", package):
            os.chown(path, 12345, 12345)
    assert checkout.commit(package) == f"{commit} with changes"
    assert checkout.git(package, "log", "-1", "--format=%ct") == time


def test_records_are_whole_in_a_checkout_with_converted_line_ends(tmp_path, monkeypatch):
    """With core.autocrlf, as git is often set up on Windows: a record, a chapter and a module have the same bytes."""
    monkeypatch.setenv("HOME", str(tmp_path))
    record = next((PROJECT / "results").glob("mnist-mlp/*/")).relative_to(PROJECT)
    files = ".gitattributes", "lsbook/__init__.py", "book/index.ipynb", "Makefile", *map(str, record_files(record))
    for name in files:
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, tmp_path / "source" / name)
    git(tmp_path, "init", "-q", "source")
    git(tmp_path / "source", "add", ".")
    git(tmp_path / "source", "commit", "-qm", "a commit")
    git(tmp_path, "clone", "-q", "-c", "core.autocrlf=true", "source", "clone")
    assert [name for name in files if (PROJECT / name).read_bytes() != (tmp_path / "clone" / name).read_bytes()] == []


def record_files(record: Path) -> list[Path]:
    return [record / name for name in ("record.json", "arrays.npz", "SHA256SUMS")]
