"""Chapters executed by papermill, each in a process of its own, and only when something it was made from has changed.

`<kept>/<chapter>.ipynb` is a chapter as papermill left it, `<chapter>.json` what that was made from: its notebook,
parameters, the pinned versions, the library's modules it imported, the files and records it read or looked for.
"""

import asyncio
import hashlib
import json
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import nbformat
import yaml
from tqdm import tqdm

from lsbook.core.cpus import cores
from lsbook.core.errors import UserError, print_lines
from lsbook.core.paths import project_root
from lsbook.site.isolation import KERNEL
from lsbook.site.watch import fingerprint

INJECTED, ERROR_MARK = "injected-parameters", "papermill-error-cell-tag"  # papermill's tags for cells it adds
STDERR = 2  # the file descriptor
MARK = "CACHEDIR.TAG"
SIGNATURE = "Signature: 8a477f597d28d172789f06886806bc55\n"  # of a folder that may be deleted (bford.info/cachedir)


def execute(notebooks: dict[str, dict], folder: Path, kept: Path, environment: dict, jobs: int) -> None:
    """Put the executed notebooks (chapter -> parameters) in the place of those in `folder`.

    kept: folder of earlier executions, reused and renewed. jobs: how many are executed at the same time.
    A notebook whose metadata have lsbook.last is executed after the others.
    Raises UserError for the first chapter that fails; those done before it are kept.
    """
    kept.mkdir(exist_ok=True)
    (kept / MARK).write_text(SIGNATURE)
    notes = folder.parent / ".notes"
    notes.mkdir()
    last = {name for name in notebooks if _is_last(folder / f"{name}.ipynb")}
    for names in (notebooks.keys() - last, last):
        chosen = {name: parameters for name, parameters in notebooks.items() if name in names}
        _execute_stale(chosen, folder, kept, notes, environment, jobs)


def _is_last(path: Path) -> bool:
    """Whether a chapter shows what is recorded, so that it has to wait for those that may record more."""
    return bool(nbformat.read(path, as_version=4).metadata.get("lsbook", {}).get("last"))


def _execute_stale(
    notebooks: dict[str, dict], folder: Path, kept: Path, notes: Path, environment: dict, jobs: int
) -> None:
    inputs = {name: _inputs(folder / f"{name}.ipynb", parameters) for name, parameters in notebooks.items()}
    results = Path(environment["LSBOOK_RESULTS"])
    reasons = {name: stale(name, kept, results, inputs[name]) for name in notebooks}
    waiting = {name: notebooks[name] for name, reason in reasons.items() if reason}
    for name in notebooks:
        if name in waiting:
            print_lines(f"lsbook: chapter {name} is executed: {reasons[name]}", file=sys.stderr)
            (kept / f"{name}.json").unlink(missing_ok=True)
        else:
            shutil.copy(kept / f"{name}.ipynb", folder)

    shared = _threads(min(jobs, len(waiting))) | environment

    async def one(chapter: str) -> None:
        await _execute(chapter, waiting[chapter], folder, notes, shared)
        _keep(chapter, folder, notes, kept, inputs[chapter])

    if waiting:
        asyncio.run(_all(waiting, one, jobs))


def _threads(chapters: int) -> dict[str, str]:
    """What so many chapters at a time have of the cores for training; NumPy has one, and so always the same sums.

    Threads sleep while they wait: those that spin took fourteen times as long beside others' work on the same cores.
    """
    threads = str(max(1, cores() // max(1, chapters)))
    return {"OMP_NUM_THREADS": threads, "OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_NUM_THREADS": "1"}


def reads(chapter: str, kept: Path) -> list[tuple[int, int, str]]:
    """(number of execution, line of the cell, key) of the runs that a kept chapter read."""
    path = kept / f"{chapter}.json"
    return [tuple(read) for read in json.loads(path.read_text())["reads"]] if path.is_file() else []


def stale(chapter: str, kept: Path, results: Path, inputs: dict) -> str | None:
    """Why a chapter has to be executed; None when its kept execution stands."""
    try:
        last = json.loads((kept / f"{chapter}.json").read_text())
    except (OSError, ValueError):
        return "no earlier execution is kept"
    if last["writes"]:
        return "it writes files of its own"
    if last["executed"] != fingerprint(kept / f"{chapter}.ipynb"):
        return "the one kept is damaged"
    for name, value in inputs.items():
        if last["inputs"].get(name) != value:
            return f"{name} changed"
    for root, found in ((Path(), last["files"]), (results, last["records"])):
        for path, before in found.items():
            if fingerprint(root / path) != before:
                return f"{path} changed"
    return None


def _inputs(path: Path, parameters: dict) -> dict:
    """What is known of a chapter before it runs."""
    return {"its notebook": fingerprint(path), "its parameters": parameters, "the pinned versions": _versions()}


def _versions() -> str:
    """Digest of this Python, of the pins in requirements.txt, and of what is installed of them."""
    path = project_root() / "requirements.txt"
    pins = [line for line in path.read_text().split() if "==" in line] if path.is_file() else []
    installed = []
    for pin in pins:
        try:
            installed.append(metadata.version(pin.partition("==")[0]))
        except metadata.PackageNotFoundError:
            installed.append("none")
    return hashlib.sha256("\n".join([sys.version, *pins, *installed]).encode()).hexdigest()


def _keep(chapter: str, folder: Path, notes: Path, kept: Path, inputs: dict) -> None:
    """Keep an executed notebook; without notes of what it was made from it is never reused."""
    try:
        made_from = json.loads((notes / f"{chapter}.json").read_text())
    except OSError:
        return
    path = Path(shutil.copy(folder / f"{chapter}.ipynb", kept))
    made_from["files"][__file__] = fingerprint(Path(__file__))
    text = made_from | {"inputs": inputs, "executed": fingerprint(path)}
    (kept / f"{chapter}.json").write_text(json.dumps(text, indent=1, sort_keys=True) + "\n")


async def _all(names, one, jobs: int) -> None:
    """await one(name) for all names, `jobs` at a time; the first failure stops all."""
    slots = asyncio.Semaphore(max(jobs, 1))
    with tqdm(total=len(names), desc="chapters", unit="chapter") as bar:

        async def counted(name: str) -> None:
            async with slots:
                await one(name)
            bar.set_postfix_str(f"{name} done", refresh=False)
            bar.update()

        try:
            async with asyncio.TaskGroup() as group:
                for name in names:
                    group.create_task(counted(name))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None


async def _execute(chapter: str, parameters: dict, folder: Path, notes: Path, environment: dict) -> None:
    """Execute one notebook in a process of its own, which ends when this call is cancelled."""
    path = folder / f"{chapter}.ipynb"  # papermill would read braces in a whole path as names of parameters
    command = [sys.executable, "-P", "-m", "papermill", path.name, path.name, "--kernel", KERNEL]
    command += ["--language", "python", "--no-progress-bar", "--parameters_yaml", yaml.safe_dump(parameters)]
    command += ["--stderr-file", "-"]  # a training's progress, passed on to our own standard error as it comes
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=environment | {"LSBOOK_NOTES": str(notes / f"{chapter}.json")},
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
    """Where and how the executed notebook failed; None when no cell of it did, or it was not even written."""
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
    """(number, cell) of the executed notebook's cells, numbered from 1 as in the source."""
    added = {INJECTED, ERROR_MARK}
    return enumerate((cell for cell in notebook.cells if added.isdisjoint(cell.metadata.get("tags", []))), start=1)
