"""The book: papermill executes the chapters of the table of contents, Jupyter Book renders them.

Everything happens in a copy, `<out>/source`; the pages replace those of the build before, `<out>/html`, once they
are complete. Every build executes every chapter; the same sources and records give the same bytes.
"""

import ast
import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from lsbook.core import checkout
from lsbook.core.cpus import cores
from lsbook.core.errors import UserError, brief, needing, one_of, print_lines
from lsbook.core.literals import LITERAL_ERRORS, read_literal
from lsbook.core.notebooks import NARROW_SVG
from lsbook.core.paths import SETTINGS, TABLE_OF_CONTENTS, project_root, results_path
from lsbook.core.store import Store
from lsbook.site import isolation

with needing("book", "building the book"):
    import jupyter_book  # noqa: F401  (called as a program)
    import nbformat
    import papermill  # noqa: F401  (called as a program)
    import yaml

    from lsbook.site import execute, figure_reference, printing, provenance
    from lsbook.site.execute import INJECTED, source_cells

SOURCES = (TABLE_OF_CONTENTS, SETTINGS, "_static", "book")
EXAMPLE_NOTEBOOKS = "examples"  # notebooks to download, for pages that name them
SERVERS = {"binderhub_url": "https://mybinder.org", "colab_url": "https://colab.research.google.com"}
PAGES_MARK = "searchindex.js"  # which Sphinx writes
READERS: dict[str, Callable[[str], object]] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": lambda text: {"true": True, "false": False}[text.lower()],
    "None": lambda text: {"none": None}[text.lower()],
}


def build(
    names=(),
    profile=None,
    parameters=None,
    out=None,
    jobs: int | None = None,
    notebook=False,
    pdf=False,
    check_figures=False,
    renew=False,
    without_index=False,
) -> Path:
    """Build the book, or only the chapters `names` with the index page; return the path of its first page.

    The pages of the build before stay as they are until those of this one are complete.

    Args:
        names: chapters; all when there are none.
        profile: the chapters' parameter of that name.
        parameters: name -> value, given to those of the chapters that declare it.
        out: folder to build in; `_build` of the project when None.
        jobs: how many chapters are executed at the same time; when None as many as there are cores, and one more,
            because each waits for its process to start.
        notebook: stop at the executed notebooks and return their folder.
        pdf: print the book as well, to book.pdf in the folder.
        check_figures: when all is built, compare the figures with their reference.
        renew: make figures and timings of these chapters the reference.
        without_index: leave the index page out, so that the first of the names is the book's first page.

    Raises:
        UserError: a chapter or parameter is unknown, a value unfit, or the folder cannot be written; a chapter failed;
            or a figure looks different from its reference.
    """
    chosen = _chosen(names, without_index)
    given = _assign_parameters(({} if profile is None else {"profile": profile}) | (parameters or {}), chosen)
    if check_figures or renew:
        if profile or parameters:
            raise UserError("the reference is of the chapters' own parameters; leave out --profile and -p")
        figure_reference.renderer()
    if pdf:
        printing.browser()
    out = Path(out or project_root() / "_build").absolute()
    with _locked(out):
        source = _copy_sources(out, chosen)
        environment = isolation.environment(source / ".home")
        given = {name: given[name] for name in chosen if _file(name).suffix == ".ipynb"}
        execute.execute(given, source / "book", environment, jobs or cores() + 1)
        timings = {name: _normalise(source / "book" / f"{name}.ipynb") for name in given}
        for name in given:
            _move_narrow_figures(source / "book" / f"{name}.ipynb")
        notebooks = {name: nbformat.read(source / "book" / f"{name}.ipynb", as_version=4) for name in given}
        made = source / "book"
        if not notebook:
            _write_provenance(source, notebooks, given)
            _publish_records(source)
            made = _replace(out / "html", _render(source, environment, strict=not names)) / "index.html"
        if pdf:
            _print(source, environment, out / "book.pdf")
        if renew:
            figure_reference.renew(notebooks, timings, chapter_names())
        if check_figures and (changes := figure_reference.find_changes(notebooks)):
            raise UserError(f"{'; '.join(changes)}. If that is right: lsbook build --renew-reference")
        return made


def chapter_names() -> list[str]:
    """Return the names (file stems) of the table of contents, the index first."""

    def files(node):
        if isinstance(node, dict):
            return [node[key] for key in ("root", "file") if key in node] + files(list(node.values()))
        return [name for item in node for name in files(item)] if isinstance(node, list) else []

    return [Path(name).stem for name in files(_contents())]


def check_parameters(chapter: str, parameters: dict) -> dict:
    """Convert parameters to the types that the chapter declares for them: {"alpha": "0.2"} -> {"alpha": 0.2}.

    UserError for a name that the chapter does not declare or a value that does not fit.
    """
    known = declared(chapter)
    for name in parameters:
        one_of(f"parameter of chapter {chapter}", name, known)
    return {name: _typed(name, value, known[name][0]) for name, value in parameters.items()}


def declared(chapter: str) -> dict[str, tuple[str, object]]:
    """Read the parameters of a chapter, name -> (annotated type, default), from the cell tagged `parameters`.

    UserError for an assignment of anything but a plain value to a name.
    """
    path = _file(chapter)
    if path.suffix != ".ipynb":
        return {}
    cells = nbformat.read(path, as_version=4).cells
    source = "\n".join(cell.source for cell in cells if "parameters" in cell.metadata.get("tags", []))
    found: dict[str, tuple[str, object]] = {}
    try:
        for node in ast.parse(source).body:
            if not isinstance(node, ast.AnnAssign | ast.Assign):
                continue
            default = ast.literal_eval(node.value or "")
            targets: Sequence[ast.expr]
            if isinstance(node, ast.AnnAssign):
                targets, kind = [node.target], ast.unparse(node.annotation).strip("'")
            else:
                targets, kind = node.targets, type(default).__name__
            for target in targets:
                if not isinstance(target, ast.Name):
                    raise ValueError(f"{ast.unparse(target)} is not a name")
                found[target.id] = kind, default
    except LITERAL_ERRORS as error:
        raise UserError(f"chapter {chapter}: its parameters must be names with plain values ({error})") from None
    return found


def _typed(name: str, value, kind: str):
    """Convert `value` to the first of the types in `kind`, such as "float | str", that it can be read as."""
    for one in kind.split(" | "):
        with contextlib.suppress(KeyError, ValueError):
            return READERS.get(one, read_literal)(str(value))
    raise UserError(f"parameter {name} takes a value of type {kind}, not {brief(value)}")


def _assign_parameters(parameters: dict, chosen: list[str]) -> dict[str, dict]:
    """Give each chapter those of the parameters that it declares, converted; UserError for one that none declares."""
    known = {chapter: declared(chapter) for chapter in chosen}
    allowed = list(dict.fromkeys(name for names in known.values() for name in names))
    for name in parameters:
        one_of("parameter", name, allowed)
    return {
        chapter: check_parameters(chapter, {name: parameters[name] for name in parameters if name in names})
        for chapter, names in known.items()
    }


def _contents() -> dict:
    path = project_root() / TABLE_OF_CONTENTS
    if not path.is_file():
        raise UserError(f"no {TABLE_OF_CONTENTS} in {path.parent} or above; run this inside the project")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _chosen(names, without_index: bool = False) -> list[str]:
    known = chapter_names()
    for name in names:
        one_of("chapter", name, known)
    return [name for name in known if not names or name in names or (name == known[0] and not without_index)]


def _file(chapter: str) -> Path:
    paths = [project_root() / "book" / f"{chapter}{suffix}" for suffix in (".ipynb", ".md")]
    for path in paths:
        if path.is_file():
            return path
    raise UserError(f"chapter {chapter} is in {TABLE_OF_CONTENTS}, but there is no {paths[0]}")


@contextlib.contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Hold the lock of a folder, which one build has at a time; the system frees it when the process ends.

    UserError when the folder is taken, is among the sources, or cannot be written, now or within.
    """
    if any(out.resolve().is_relative_to(project_root() / name) for name in SOURCES):
        raise UserError(f"{out} is among the sources of the book; choose another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        with FileLock(out / ".lock", blocking=False):
            yield
    except Timeout:
        raise UserError(f"another build is at work in {out}; wait for it, or choose another --out") from None
    except OSError as error:
        why = f"{error.strerror or error}{f' ({error.filename})' if error.filename else ''}"
        raise UserError(f"cannot build in {out}: {why}; choose another --out") from None


def _copy_sources(out: Path, chosen: list[str]) -> Path:
    """Make a clean copy of what the book is made from, with `chosen` alone in its table of contents."""
    source = out / "source"
    for made, mark in ((source, TABLE_OF_CONTENTS), (out / "html", PAGES_MARK)):
        if made.exists() and not (made / mark).is_file() and (not made.is_dir() or _visible(made)):
            raise UserError(f"{made} is in the way and no earlier build of this book; choose another --out")
    source.mkdir(exist_ok=True)
    for left in source.iterdir():
        shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
    for name in SOURCES:
        _copy(project_root() / name, source / name)
    if (project_root() / EXAMPLE_NOTEBOOKS).is_dir():
        _copy(project_root() / EXAMPLE_NOTEBOOKS, source / EXAMPLE_NOTEBOOKS)
    settings = yaml.safe_load((source / SETTINGS).read_text(encoding="utf-8")) or {}
    if (settings.get("repository") or {}).get("url"):
        (source / SETTINGS).write_text(yaml.safe_dump(_with_links(settings)), encoding="utf-8")
    if chosen != chapter_names():
        kept = {key: value for key, value in _contents().items() if key not in ("parts", "chapters")}
        kept["root"] = f"book/{chosen[0]}"
        if chosen[1:]:
            kept["chapters"] = [{"file": f"book/{name}"} for name in chosen[1:]]
        (source / TABLE_OF_CONTENTS).write_text(yaml.safe_dump(kept), encoding="utf-8")
    return source


def _with_links(settings: dict) -> dict:
    """Return the settings of a book whose sources are published.

    Each page leads to them, to their issues and to a notebook server. Without an address no page hints at any.
    """
    html = dict.fromkeys(("use_repository_button", "use_issues_button", "use_edit_page_button"), True)
    launch = {"notebook_interface": "jupyterlab", **SERVERS}
    return settings | {"html": settings["html"] | html, "launch_buttons": launch}


def _visible(folder: Path) -> list[Path]:
    """List what is in a folder, but what is hidden and what a file system keeps for itself."""
    return [path for path in folder.iterdir() if not path.name.startswith(".") and path.name != "lost+found"]


def _copy(path: Path, target: Path) -> None:
    """Copy a file, or what is visible in a folder, but not who may write it: the sources may be read-only."""
    if path.is_dir():
        target.mkdir()
        for child in _visible(path):
            _copy(child, target / child.name)
    else:
        shutil.copyfile(path, target)


def _publish_records(source: Path) -> None:
    """Write what every recorded run says of itself to records/<key>.json, to which the pages link.

    UserError when a record is damaged.
    """
    folder = source / "book" / "_extra" / "records"
    folder.mkdir(parents=True)
    for record in Store(results_path()):
        (folder / f"{record.run.key}.json").write_text(record.text())


def _write_provenance(source: Path, notebooks: dict, given: dict[str, dict]) -> None:
    """Write for the Sphinx extension: page -> number of execution -> what to show under the cell's figure or table."""
    commit = checkout.commit(project_root() / TABLE_OF_CONTENTS)
    page = "status.html" if "status" in notebooks else None
    texts: dict[str, dict[int, str]] = {}
    for name, notebook in notebooks.items():
        parameters = {parameter: default for parameter, (_, default) in declared(name).items()} | given[name]
        found = texts.setdefault(f"book/{name}", {})
        for number, cell in source_cells(notebook):
            if cell.cell_type == "code" and (made_from := provenance.runs_behind(cell)):
                place = f"Chapter {name}, cell {number}"
                found[cell.execution_count] = provenance.details(place, parameters, commit, made_from, page)
    (source / "provenance.json").write_text(json.dumps(texts))


def _move_narrow_figures(path: Path) -> None:
    """Move every figure's drawing for phones from an executed notebook to a file; see `sphinx.narrow_figures`."""
    folder = path.parent / "_extra" / "narrow"
    folder.mkdir(parents=True, exist_ok=True)
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if drawn := output.get("data", {}).pop(NARROW_SVG, None):
                (folder / f"{path.stem}-{cell.execution_count}.svg").write_text(drawn, encoding="utf-8")
    nbformat.write(notebook, path)


def _normalise(path: Path) -> dict:
    """Remove from an executed notebook what differs between two runs; return its seconds, and the day.

    Progress bars (standard error) go, what a cell prints is one output, and an object's address in one is refused.
    """
    notebook = nbformat.read(path, as_version=4)
    for number, cell in source_cells(notebook):
        if " at 0x" in json.dumps(cell.get("outputs", [])):
            raise UserError(f"chapter {path.stem}, cell {number} shows an object's address; end its last line with ;")
    whole = notebook.metadata.pop("papermill")
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if "outputs" in cell:
            cell.outputs = _joined([output for output in cell.outputs if output.get("name") != "stderr"])
        if INJECTED in cell.metadata.get("tags", []):
            cell.id = INJECTED
    nbformat.write(notebook, path)
    return {"seconds": whole["duration"], "executed": whole["start_time"][:10]}


def _joined(outputs: list) -> list:
    """The outputs with what was printed between two others as one, in however many messages the kernel sent it."""
    joined: list = []
    for output in outputs:
        if joined and output.output_type == joined[-1].output_type == "stream":
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def _print(source: Path, environment: dict, target: Path) -> None:
    """Make the PDF of the rendered chapters in `source`. The single page is moved to where its images are."""
    folder = _render(source, environment, strict=False, builder="singlehtml")
    page = folder / f"{_contents()['root']}.html"
    printing.print_page(page.replace(folder / "print.html"), target)


def _render(source: Path, environment: dict, strict: bool, builder: str = "html") -> Path:
    """Run Jupyter Book. Warnings are errors if `strict`: not in a part of the book, whose links lead to the rest."""
    command = [sys.executable, "-P", "-c", "from jupyter_book.cli.main import main; main()", "build", str(source)]
    command += ["--builder", "custom", "--custom-builder", builder]
    command += ["-W", "-n", "--keep-going"] if strict else []
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode:
        print_lines(done.stderr.replace(f"{source}/", "").strip(), file=sys.stderr)
        raise UserError("Jupyter Book did not accept the chapters; its warnings are above")
    return source / "_build" / builder


def _replace(old: Path, new: Path) -> Path:
    """Put the folder `new` in the place of `old`, or of what that links to, and return `old`.

    Where a folder cannot be moved, as a mount point cannot, its content takes the place of the other's.
    """
    target = Path(os.path.realpath(old))
    staged, backup = (target.with_name(target.name + ending) for ending in (".new", ".old"))
    for left in (staged, backup):
        shutil.rmtree(left, ignore_errors=True)
    try:
        new = new.rename(staged)
        if target.exists():
            target.rename(backup)
        new.rename(target)
    except OSError:
        _refill(target, new)
    for left in (staged, backup):
        shutil.rmtree(left, ignore_errors=True)
    return old


def _refill(folder: Path, new: Path) -> None:
    """Copy every file of `new` to `folder`, the mark first, each whole; then remove what else is visible."""
    files = [path.relative_to(new) for path in (new / PAGES_MARK, *new.rglob("*")) if path.is_file()]
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        part = folder / f".{PAGES_MARK}"
        shutil.copyfile(new / file, part)
        part.replace(folder / file)
    wanted = {folder / part for file in files for part in (file, *file.parents)}
    for path in sorted((path for top in _visible(folder) for path in (top, *top.rglob("*"))), reverse=True):
        if path not in wanted:
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
