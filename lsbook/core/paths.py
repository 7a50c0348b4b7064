"""Where the project's folders are, seen from its root, from `book/` or from anywhere below."""

import os
from pathlib import Path

TABLE_OF_CONTENTS = "_toc.yml"


def project_root() -> Path:
    """The nearest folder at or above the working directory that holds the book, else the one that this package is from,
    so that a downloaded notebook finds it; else the working directory."""
    here = Path.cwd()
    places = here, *here.parents, Path(__file__).parents[2]
    return next((place for place in places if (place / TABLE_OF_CONTENTS).is_file()), here)


def results_path() -> Path:
    """The folder of recorded runs: `LSBOOK_RESULTS`, else `results/` of the project."""
    return _from_environment("LSBOOK_RESULTS", "results")


def data_path() -> Path:
    """The folder of data sets: `LSBOOK_DATA`, else `data/` of the project."""
    return _from_environment("LSBOOK_DATA", "data")


def runs_path() -> Path:
    """The folder of what trainings keep for this machine alone, such as weights: `LSBOOK_RUNS`, else `runs/`."""
    return _from_environment("LSBOOK_RUNS", "runs")


def reference_path() -> Path:
    """The folder of what builds of the book are compared with."""
    return project_root() / "book" / "_reference"


def _from_environment(variable: str, default: str) -> Path:
    value = os.environ.get(variable)
    return project_root() / (value or default)
