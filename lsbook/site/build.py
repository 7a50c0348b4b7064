"""The book: papermill executes the chapters of the table of contents, Jupyter Book renders them.

Everything happens in a copy, `<out>/source`; the pages replace those of the build before, `<out>/html`, once they
are complete. Chapters that nothing has changed for are taken from `<out>/executed`. The same sources and records give
the same bytes either way.
"""

import ast
import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from lsbook.core.errors import UserError, needing, one_of
from lsbook.core.paths import TABLE_OF_CONTENTS, data_path, project_root, results_path, runs_path

with needing("book", "building the book"):
    import jupyter_book  # noqa: F401  (called as a program)
    import nbformat
    import papermill
    import yaml

    from lsbook.site import execute, figure_reference, printing, provenance
    from lsbook.site.execute import INJECTED, source_cells

SOURCES = (TABLE_OF_CONTENTS, "_config.yml", "_static", "benchmarks", "book")
KEPT = "executed"
READERS = {"str": str, "int": int, "float": float, "bool": lambda text: {"true": True, "false": False}[text.lower()]}


def build(
    names=(),
    profile=None,
    parameters=None,
    out=None,
    jobs=2,
    notebook=False,
    pdf=False,
    check_figures=False,
    renew=False,
) -> Path:
    """Build the book, or only the chapters `names`, each with the index page; return its index.html.

    profile: the chapters' parameter of that name.
    parameters: name -> value, given to those of the chapters that declare it.
    out: folder to build in, `_build` of the project by default.
    jobs: how many chapters are executed at the same time.
    notebook: stop at the executed notebooks and return their folder.
    pdf: print the book as well, to book.pdf in the folder.
    check_figures: when all is built, UserError if a figure looks different from its reference.
    renew: make figures and timings of these chapters the reference.
    Raises UserError for an unknown chapter or parameter, an unfit value, a folder that cannot be
    written, and the first chapter that fails; the pages built before then stay as they are.
    """
    chosen = _chosen(names)
    given = _share_out(({} if profile is None else {"profile": profile}) | (parameters or {}), chosen)
    if check_figures or renew:
        if profile or parameters:
            raise UserError("the reference is of the chapters' own parameters; leave out --profile and -p")
        figure_reference.renderer()
    if pdf:
        printing.browser()
    out = Path(out or project_root() / "_build").absolute()
    with _alone_in(out):
        source = _copy_sources(out, chosen)
        environment = _environment()
        given = {name: given[name] for name in chosen if _file(name).suffix == ".ipynb"}
        execute.execute(given, source / "book", out / KEPT, environment, jobs)
        timings = {name: _normalise(source / "book" / f"{name}.ipynb") for name in given}
        (out / "timings.json").write_text(json.dumps(timings, indent=1) + "\n")
        notebooks = {name: nbformat.read(source / "book" / f"{name}.ipynb", as_version=4) for name in given}
        made = source / "book"
        if not notebook:
            _write_provenance(source, notebooks, given, out / KEPT)
            _publish_records(source)
            made = _replace(out / "html", _render(source, environment, strict=not names)) / "index.html"
        if pdf:
            _print(source, environment, out / "book.pdf")
        if renew:
            figure_reference.renew(notebooks, timings)
        if check_figures and (changes := figure_reference.check(notebooks)):
            raise UserError(f"{'; '.join(changes)}. If that is right: lsbook build --renew-reference")
        return made


def chapters() -> list[str]:
    """Names (file stems) of the table of contents, the index first."""

    def files(node):
        if isinstance(node, dict):
            return [node[key] for key in ("root", "file") if key in node] + files(list(node.values()))
        return [name for item in node for name in files(item)] if isinstance(node, list) else []

    return [Path(name).stem for name in files(_contents())]


def check_parameters(chapter: str, parameters: dict) -> dict:
    """`parameters` as the types that the chapter declares for them: {"alpha": "0.2"} -> {"alpha": 0.2}.

    Raises UserError for a name that the chapter does not declare or a value that does not fit.
    """
    declared = _declared(chapter)
    for name in parameters:
        one_of(f"parameter of chapter {chapter}", name, declared)
    return {name: _typed(name, value, declared[name]) for name, value in parameters.items()}


def _declared(chapter: str) -> dict[str, str]:
    """Parameter -> annotated type, as written in the cell tagged `parameters`."""
    path = _file(chapter)
    if path.suffix != ".ipynb":
        return {}
    return {name: found["inferred_type_name"] for name, found in papermill.inspect_notebook(path).items()}


def _defaults(chapter: str) -> dict:
    """Parameter -> the value that the chapter gives it."""
    found = papermill.inspect_notebook(_file(chapter))
    return {name: ast.literal_eval(parameter["default"]) for name, parameter in found.items()}


def _typed(name: str, value, kind: str):
    try:
        return READERS[kind](str(value)) if kind in READERS else value
    except (KeyError, ValueError):
        raise UserError(f"parameter {name} takes a value of type {kind}, not {value!r}") from None


def _share_out(parameters: dict, chosen: list[str]) -> dict[str, dict]:
    """Chapter -> those of the parameters that it declares, typed; none may be left over."""
    declared = {chapter: _declared(chapter) for chapter in chosen}
    allowed = list(dict.fromkeys(name for names in declared.values() for name in names))
    for name in parameters:
        one_of("parameter", name, allowed)
    return {
        chapter: check_parameters(chapter, {name: parameters[name] for name in parameters if name in names})
        for chapter, names in declared.items()
    }


def _contents() -> dict:
    path = project_root() / TABLE_OF_CONTENTS
    if not path.is_file():
        raise UserError(f"no {TABLE_OF_CONTENTS} in {path.parent} or above; run this inside the project")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _chosen(names) -> list[str]:
    known = chapters()
    for name in names:
        one_of("chapter", name, known)
    return [name for name in known if not names or name in names or name == known[0]]


def _file(chapter: str) -> Path:
    paths = [project_root() / "book" / f"{chapter}{suffix}" for suffix in (".ipynb", ".md")]
    for path in paths:
        if path.is_file():
            return path
    raise UserError(f"chapter {chapter} is in {TABLE_OF_CONTENTS}, but there is no {paths[0]}")


@contextlib.contextmanager
def _alone_in(out: Path) -> Iterator[None]:
    """Held by one build in the folder at a time; the system releases it when the process ends.

    UserError when the folder is taken, is among the sources, or cannot be written.
    """
    if any(out.resolve().is_relative_to(project_root() / name) for name in SOURCES):
        raise UserError(f"{out} is among the sources of the book; choose another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / ".lock", blocking=False).acquire()
    except Timeout:
        raise UserError(f"another build is at work in {out}; wait for it, or choose another --out") from None
    except OSError as error:
        raise UserError(f"cannot build in {out}: {error.strerror}") from error
    with lock:
        yield


def _copy_sources(out: Path, chosen: list[str]) -> Path:
    """A clean copy of what the book is made from, its table of contents cut down to `chosen`."""
    source = out / "source"
    marks = (source, TABLE_OF_CONTENTS), (out / "html", "searchindex.js"), (out / KEPT, execute.MARK)
    for made, mark in marks:
        if made.exists() and not (made / mark).is_file():
            raise UserError(f"{made} is in the way and no earlier build of this book; choose another --out")
    try:
        shutil.rmtree(source, ignore_errors=True)
        source.mkdir(parents=True)
        for name in SOURCES:
            path = project_root() / name
            (shutil.copytree if path.is_dir() else shutil.copy)(path, source / name)
    except OSError as error:
        raise UserError(f"cannot build in {out}: {error.strerror or error}") from error
    if chosen != chapters():
        kept = {key: value for key, value in _contents().items() if key not in ("parts", "chapters")}
        kept["chapters"] = [{"file": f"book/{name}"} for name in chosen[1:]]
        (source / TABLE_OF_CONTENTS).write_text(yaml.safe_dump(kept))
    return source


def _publish_records(source: Path) -> None:
    """Let the pages link to what every recorded run says of itself: records/<key>.json."""
    folder = source / "book" / "_extra" / "records"
    folder.mkdir(parents=True)
    for path in results_path().glob("[!.]*/*/record.json"):
        shutil.copy(path, folder / f"{path.parent.name}.json")


def _environment() -> dict[str, str]:
    """What kernels and Sphinx see: the project's records, and nothing that varies between two builds."""
    return os.environ | {
        "LSBOOK_RESULTS": str(results_path()),
        "LSBOOK_DATA": str(data_path()),
        "LSBOOK_RUNS": str(runs_path()),
        "SOURCE_DATE_EPOCH": _git("log", "-1", "--format=%ct") or "0",
        "PYTHONHASHSEED": "0",
        "TZ": "UTC",
        "LC_ALL": "C.UTF-8",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "JUPYTER_PREFER_ENV_PATH": "1",  # the kernel of this interpreter, not one of the same name elsewhere
    }


def _git(*arguments: str) -> str:
    """What git says about the project, "" when it is in no repository."""
    try:
        return subprocess.run(["git", "-C", project_root(), *arguments], capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""


def _write_provenance(source: Path, notebooks: dict, given: dict[str, dict], kept: Path) -> None:
    """For the Sphinx extension: page -> number of execution -> what to show under the cell's figure or table."""
    commit = _git("describe", "--always", "--dirty", "--abbrev=12") or "unknown"
    page = "status.html" if "status" in notebooks else None
    texts = {}
    for name, notebook in notebooks.items():
        parameters = _defaults(name) | given[name]
        behind = provenance.runs_behind(notebook.cells, execute.reads(name, kept))
        texts[f"book/{name}"] = {
            cell.execution_count: provenance.details(
                f"Chapter {name}, cell {number}", parameters, commit, behind[cell.execution_count], page
            )
            for number, cell in source_cells(notebook)
            if cell.cell_type == "code"
        }
    (source / "provenance.json").write_text(json.dumps(texts))


def _normalise(path: Path) -> dict:
    """Take out of an executed notebook what differs between two runs; return its timings in seconds.

    Progress bars (standard error) go; an object's address in an output is refused.
    """
    notebook = nbformat.read(path, as_version=4)
    for number, cell in source_cells(notebook):
        if " at 0x" in json.dumps(cell.get("outputs", [])):
            raise UserError(f"chapter {path.stem}, cell {number} shows an object's address; end its last line with ;")
    whole = notebook.metadata.pop("papermill")
    timings = {"seconds": whole["duration"], "executed": whole["start_time"][:10], "cells": []}
    for cell in notebook.cells:
        timings["cells"].append(cell.metadata.pop("papermill", {}).get("duration"))
        cell.metadata.pop("execution", None)
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
        if INJECTED in cell.metadata.get("tags", []):
            cell.id = INJECTED
    nbformat.write(notebook, path)
    return timings


def _print(source: Path, environment: dict, target: Path) -> None:
    """Make the PDF of the rendered chapters in `source`. The single page is moved to where its images are."""
    folder = _render(source, environment, strict=False, builder="singlehtml")
    page = folder / f"{_contents()['root']}.html"
    printing.print_page(page.replace(folder / "print.html"), target)


def _render(source: Path, environment: dict, strict: bool, builder: str = "html") -> Path:
    """Run Jupyter Book. Warnings are errors if `strict`: not in a part of the book, whose links lead to the rest."""
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", source]
    command += ["--builder", "custom", "--custom-builder", builder]
    command += ["-W", "-n", "--keep-going"] if strict else []
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        print(done.stderr.replace(f"{source}/", "").strip(), file=sys.stderr)
        raise UserError("Jupyter Book did not accept the chapters; its warnings are above")
    return source / "_build" / builder


def _replace(old: Path, new: Path) -> Path:
    """Put the folder `new` in the place of `old`."""
    aside = old.with_name(old.name + ".old")
    shutil.rmtree(aside, ignore_errors=True)
    if old.exists():
        old.rename(aside)
    new.rename(old)
    shutil.rmtree(aside, ignore_errors=True)
    return old
