"""Which pages the browser's tests visit when `make test` runs them."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
SOURCES = "book/index.ipynb", "lsbook/cli.py", "results/a/b/record.json", "_static/book.css", "_config.yml", "_toc.yml"


@pytest.fixture
def project(tmp_path) -> Path:
    """A project whose book was built a minute after its sources were written, in a folder with a space in its name."""
    folder = tmp_path / "a project"
    for number, name in enumerate((*SOURCES, "_build/html/index.html", "_build/book")):
        write(folder / name, 60 * (number >= len(SOURCES)))
    shutil.copy(PROJECT / "Makefile", folder)
    for name in ("pyproject.toml", "requirements.txt", "requirements-uv.txt", ".venv/ready"):
        write(folder / name, 0)
    return folder


def write(path: Path, seconds: float) -> None:
    """An empty file of so many seconds after a fixed time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (1e9 + seconds, 1e9 + seconds))


def visited(project: Path) -> bool:
    """Whether the tests would be given the pages that are there."""
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
    command = ["make", "-n", "test-alone"]
    said = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=True).stdout
    assert ".venv/bin/pytest" in said
    return "LSBOOK_PAGES=_build/html " in said


def test_pages_that_nothing_is_newer_than_are_visited(project):
    assert visited(project)
    for left in ("results/.lock", "lsbook/__pycache__/cli.cpython-311.pyc"):
        write(project / left, 120)
    assert visited(project)


@pytest.mark.parametrize("newer", [*SOURCES, "lsbook/chapters/new.py", "_build/html/index.html"])
def test_others_are_not(project, newer):
    """`lsbook build` may have written pages of one chapter or with other parameters; `make book` had not."""
    write(project / newer, 120)
    assert not visited(project)


@pytest.mark.parametrize("missing", ["_build/book", "_build/html/index.html", "_static"])
def test_pages_that_are_missing_are_not(project, missing):
    path = project / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert not visited(project)
