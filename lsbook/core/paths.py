"""Where the project's folders are, seen from its root, from `book/` or from anywhere below."""

import os
import tempfile
from pathlib import Path

TABLE_OF_CONTENTS, SETTINGS = "_toc.yml", "_config.yml"


def project_root() -> Path:
    """Return the project's root, whose `book/` holds the chapters.

    It is the nearest folder at or above the working directory that holds the book, else the one that this package is
    from, so that a downloaded notebook finds it; else the working directory.
    """
    try:
        here = Path.cwd()
    except FileNotFoundError:  # it has been removed
        here = Path(__file__).parents[2]
    places = here, *here.parents, Path(__file__).parents[2]
    return next(filter(_holds_the_book, places), here)


def _holds_the_book(place: Path) -> bool:
    """Whether a folder has a table of contents and our settings: other people's books have a table of contents, too."""
    try:
        return b"lsbook." in (place / SETTINGS).read_bytes() and (place / TABLE_OF_CONTENTS).is_file()
    except OSError:  # it is not there, or not for us to read
        return False


def results_path() -> Path:
    """Return the folder of recorded runs: `LSBOOK_RESULTS`, else `results/` of the project."""
    return _from_environment("LSBOOK_RESULTS", "results")


def data_path() -> Path:
    """Return the folder of data sets: `LSBOOK_DATA`, else `data/` of the project."""
    return _from_environment("LSBOOK_DATA", "data")


def runs_path() -> Path:
    """Return the folder of what trainings keep for this machine alone, such as weights: `LSBOOK_RUNS`, else `runs/`."""
    return _from_environment("LSBOOK_RUNS", "runs")


def cache_path() -> Path:
    """Return the folder of what is kept for faster reading of data that lie where nothing can be written.

    It is `lsbook` in `XDG_CACHE_HOME`, else in ~/.cache; in the temporary folder where there is no home.
    """
    if folder := os.environ.get("XDG_CACHE_HOME"):
        return Path(folder).absolute() / "lsbook"
    try:
        return Path.home().absolute() / ".cache" / "lsbook"
    except RuntimeError:
        return Path(tempfile.gettempdir()) / f"cache-{os.getuid()}" / "lsbook"


def reference_path() -> Path:
    """Return the folder of the figures that builds of the book are compared with."""
    return project_root() / "book" / "_reference"


def _from_environment(variable: str, default: str) -> Path:
    value = os.environ.get(variable)
    return project_root() / (value or default)
