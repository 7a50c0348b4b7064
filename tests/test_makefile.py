"""Which pages the browser's tests visit when `make test` runs them, and what installs the environments."""

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


def make(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The answer of `make`."""
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
    return subprocess.run(["make", *arguments], cwd=project, env=environment, capture_output=True, text=True)


def visited(project: Path) -> bool:
    """Whether the tests would be given the pages that are there."""
    said = make(project, "-n", "test-alone").stdout
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


# A Python that makes an environment of a pip and a uv that install nothing: they write down what they are asked for.
PYTHON = """#!/bin/sh
case "$*" in
"-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
*"pip install"*requirements-uv.txt) cp ./uv .venv-book/bin/uv ;;
*"pip install"*) [ ! -e pip-fails ] && echo "pip $*" >>installed ;;
esac
"""
UV = """#!/bin/sh
[ ! -e uv-fails ] && echo "uv $*" >>installed
"""


@pytest.mark.parametrize("uv", ["works", "fails", "is not to be had"])
def test_pip_installs_what_uv_does_not(project, uv):
    assert install(project, uv).returncode == 0
    installed = (project / "installed").read_text().splitlines()
    assert [line.split()[0] for line in installed] == 2 * ["uv" if uv == "works" else "pip"]
    assert "--no-deps --require-hashes --requirement requirements-book.txt" in installed[0]
    assert "--no-build-isolation --editable ." in installed[1]
    assert (project / ".venv-book" / "ready").exists()


def test_an_environment_that_neither_can_fill_is_not_ready(project):
    (project / "pip-fails").touch()
    assert install(project, "fails").returncode
    assert not (project / ".venv-book" / "ready").exists()


def install(project: Path, uv: str) -> subprocess.CompletedProcess[str]:
    """Let `make` set up the book's environment with stand-ins for Python, pip and uv."""
    (project / "requirements-book.txt").touch()
    scripts = {"python": PYTHON} | ({"uv": UV} if uv != "is not to be had" else {})
    for name, script in scripts.items():
        (project / name).write_text(script)
        (project / name).chmod(0o755)
    if uv == "fails":
        (project / "uv-fails").touch()
    return make(project, "PYTHON=./python", ".venv-book/ready")
