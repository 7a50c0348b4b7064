"""Chapters executed by papermill, each in a process of its own."""

import asyncio
import subprocess
import sys
from pathlib import Path

import nbformat
import yaml
from tqdm import tqdm

from lsbook.core.cpus import cores
from lsbook.core.errors import UserError
from lsbook.site.isolation import KERNEL

INJECTED, ERROR_MARK = "injected-parameters", "papermill-error-cell-tag"  # papermill's tags for cells it adds
STDERR = 2  # the file descriptor


def execute(notebooks: dict[str, dict], folder: Path, environment: dict, jobs: int) -> None:
    """Execute notebooks in place. One whose metadata have lsbook.last is executed after the others.

    Args:
        notebooks: chapter -> its parameters.
        folder: where the notebooks are.
        environment: variables of the kernels.
        jobs: how many are executed at the same time.

    Raises:
        UserError: a chapter failed; no more are executed then.
    """
    last = [name for name in notebooks if _is_last(folder / f"{name}.ipynb")]
    first = [name for name in notebooks if name not in last]
    with tqdm(total=len(notebooks), desc="chapters", unit="chapter") as bar:
        for names in (first, last):
            shared = _threads(min(jobs, len(names))) | environment

            async def one(chapter: str, environment=shared) -> None:
                await _execute(chapter, notebooks[chapter], folder, environment)
                bar.set_postfix_str(f"{chapter} done", refresh=False)
                bar.update()

            asyncio.run(_all(names, one, jobs))


def _is_last(path: Path) -> bool:
    """Whether a chapter shows what is recorded, so that it has to wait for those that may record more."""
    return bool(nbformat.read(path, as_version=4).metadata.get("lsbook", {}).get("last"))


def _threads(chapters: int) -> dict[str, str]:
    """Return the variables that give each of so many chapters its threads for training; NumPy has one, for equal sums.

    Threads sleep while they wait: those that spin took fourteen times as long beside others' work on the same cores.
    """
    threads = str(max(1, cores() // max(1, chapters)))
    return {"OMP_NUM_THREADS": threads, "OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_NUM_THREADS": "1"}


async def _all(names, one, jobs: int) -> None:
    """Await one(name) for all names, `jobs` at a time; the first failure stops all."""
    slots = asyncio.Semaphore(max(jobs, 1))

    async def in_turn(name: str) -> None:
        async with slots:
            await one(name)

    try:
        async with asyncio.TaskGroup() as group:
            for name in names:
                group.create_task(in_turn(name))
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def _execute(chapter: str, parameters: dict, folder: Path, environment: dict) -> None:
    """Execute one notebook in a process of its own, which ends when this call is cancelled."""
    path = folder / f"{chapter}.ipynb"  # papermill would read braces in a whole path as names of parameters
    command = [sys.executable, "-P", "-m", "papermill", path.name, path.name, "--kernel", KERNEL]
    command += ["--language", "python", "--no-progress-bar", "--parameters_yaml", yaml.safe_dump(parameters)]
    command += ["--stderr-file", "-"]  # a training's progress, passed on to our own standard error as it comes
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=STDERR,
        stderr=subprocess.PIPE,
    )
    try:
        _, log = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()  # its kernel notices within a second and ends too
            await process.wait()
    if process.returncode:
        last_line = log.decode().strip().rpartition("\n")[2]
        raise UserError(f"chapter {chapter}{_failure(path) or f' failed: {last_line}'}")


def _failure(path: Path) -> str | None:
    """Say where and how a notebook failed; None when no cell of it did, or it was not even written."""
    try:
        notebook = nbformat.read(path, as_version=4)
    except nbformat.reader.NotJSONError:
        return None
    for number, cell in source_cells(notebook):
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                name = "" if output.ename == UserError.__name__ else f"{output.ename}: "
                return f", cell {number} failed: {name}{' '.join(output.evalue.split())}"
    return None


def source_cells(notebook):
    """Yield (number, cell) of an executed notebook, numbered from 1 as in the source."""
    added = {INJECTED, ERROR_MARK}
    return enumerate((cell for cell in notebook.cells if added.isdisjoint(cell.metadata.get("tags", []))), start=1)
