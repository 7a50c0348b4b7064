"""What is written: sweeps of trainings, the book."""

import contextlib
import dataclasses
import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.timing import Benchmark
from lsbook.core.config import Recipe, Run
from lsbook.core.cpus import cores
from lsbook.core.errors import UserError
from lsbook.core.paths import TABLE_OF_CONTENTS, project_root, results_path
from lsbook.core.store import Store
from lsbook.runner import sweep as sweeping

RUNS = 40  # of a sweep
PLAIN_RUNS = 2  # the same of the plain way
TINY = Run(
    dataset="digits",
    model="alexnet-16",
    alpha=0.1,
    seed=0,
    recipe=Recipe(steps=40, batch=32, learning_rate=0.02, momentum=0.9, schedule="one-cycle"),
    examples=1_000,
)


def sweep() -> Benchmark:
    """Forty tiny runs, a worker a core, against `lsbook train`'s way: one process after the other."""
    runs = [dataclasses.replace(TINY, seed=seed) for seed in range(RUNS)]

    def ours() -> None:
        with _folders() as folder, contextlib.redirect_stderr(io.StringIO()):
            sweeping.sweep(runs, Store(folder), jobs=cores())

    script = (
        "import json, sys; from lsbook.runner.obtain import obtain; from lsbook.core.config import from_dict;"
        "from lsbook.core.store import Store; obtain([from_dict(json.loads(sys.argv[1]))], Store(sys.argv[2]))"
    )

    def plain() -> None:
        from lsbook.core.config import canonical_json

        with _folders() as folder:
            for run in runs[:PLAIN_RUNS]:
                command = [sys.executable, "-c", script, canonical_json(run), folder]
                subprocess.run(command, check=True, capture_output=True)

    return Benchmark(
        "Sweep of tiny runs",
        "runs",
        RUNS,
        ours,
        plain,
        "the runs themselves: processes are forked with torch already imported, one for each core",
        plain_units=PLAIN_RUNS,
    )


@contextlib.contextmanager
def _folders():
    """An empty folder for records; checkpoints and weights go there too."""
    before = os.environ.get("LSBOOK_RUNS")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LSBOOK_RUNS"] = str(Path(folder) / ".runs")
        try:
            yield folder
        finally:
            os.environ.pop("LSBOOK_RUNS")
            if before is not None:
                os.environ["LSBOOK_RUNS"] = before


def book() -> Benchmark:
    """The whole book from its records, against Jupyter Book executing the chapters itself."""
    from lsbook.site.build import build, chapters

    def ours() -> None:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
            build(out=Path(folder) / "book", jobs=cores())

    def plain() -> None:
        with tempfile.TemporaryDirectory() as folder:
            plain_build(Path(folder))

    return Benchmark(
        "Book, every chapter executed",
        "chapters",
        len(chapters()),
        ours,
        plain,
        "starting a kernel for each chapter, and Sphinx",
        rounds=1,
    )


def plain_build(folder: Path) -> None:
    """`jupyter-book build` with execution switched on. UserError when it fails."""
    root = project_root()
    for name in (TABLE_OF_CONTENTS, "_config.yml", "_static", "book"):
        (shutil.copytree if (root / name).is_dir() else shutil.copy)(root / name, folder / name)
    settings = folder / "_config.yml"
    settings.write_text(settings.read_text().replace('execute_notebooks: "off"', 'execute_notebooks: "force"'))
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", folder]
    environment = os.environ | {"LSBOOK_RESULTS": str(results_path())}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"jupyter-book failed: {done.stderr.strip().rpartition(chr(10))[2]}")
