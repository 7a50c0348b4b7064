"""Which folders are the project's."""

import os
import tempfile
from pathlib import Path

import pytest

from lsbook.core import paths

PROJECT = Path(__file__).parents[2]
FOLDERS = {"LSBOOK_RESULTS": paths.results_path, "LSBOOK_RUNS": paths.runs_path, "LSBOOK_DATA": paths.data_path}


@pytest.fixture
def unset(monkeypatch):
    for name in FOLDERS:
        monkeypatch.delenv(name, raising=False)


def test_the_project_is_found_from_anywhere_below(unset, tmp_path, monkeypatch):
    (tmp_path / "book" / "extra").mkdir(parents=True)
    (tmp_path / "_toc.yml").touch()
    (tmp_path / "_config.yml").write_text("sphinx:\n  extra_extensions:\n    - lsbook.site.sphinx.offline\n")
    for folder in (tmp_path, tmp_path / "book", tmp_path / "book" / "extra"):
        monkeypatch.chdir(folder)
        assert paths.project_root() == tmp_path
        assert paths.results_path() == tmp_path / "results"


@pytest.mark.parametrize("settings", ["title: Somebody's thesis\n", None])
def test_another_jupyter_book_is_left_alone(unset, tmp_path, monkeypatch, settings):
    """Where its folders are around us, nothing of ours goes there: records, weights, data."""
    (tmp_path / "notes").mkdir()
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: intro\n")
    if settings:
        (tmp_path / "_config.yml").write_text(settings)
    for folder in (tmp_path / "notes", tmp_path):
        monkeypatch.chdir(folder)
        assert paths.project_root() == PROJECT
        assert [path() for path in FOLDERS.values()] == [PROJECT / name for name in ("results", "runs", "data")]


def test_the_working_directory_may_be_gone(unset, tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert paths.results_path() == PROJECT / "results"


def test_what_is_said_counts(tmp_path, monkeypatch):
    for name, path in FOLDERS.items():
        monkeypatch.setenv(name, str(tmp_path / name))
        assert path() == tmp_path / name


def test_there_is_a_cache_without_a_home_and_a_name(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert paths.cache_path() == tmp_path / "lsbook"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert paths.cache_path() == tmp_path / ".cache" / "lsbook"
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 2)  # whom nobody knows
    assert paths.cache_path().is_relative_to(tempfile.gettempdir())
