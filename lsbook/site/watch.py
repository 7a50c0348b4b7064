"""What a chapter is made from, noted while it runs: an IPython extension that the build loads into every kernel.

After each cell, the file that LSBOOK_NOTES names holds as JSON
files: path -> fingerprint, of our modules and of what was read beside the notebook or one folder above;
records: the same for the store, by path below it; what was looked for in vain and what was listed count too;
reads: [number of execution, line of the cell, key] of every run whose record was read;
writes: whether the chapter wrote files of its own beside the notebook.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
RECORD = "record.json"


def fingerprint(path: Path) -> str | None:
    """SHA-256 of a file, or of the visible names in a folder; None when there is neither."""
    try:
        content = "\n".join(_visible(path)).encode() if path.is_dir() else path.read_bytes()
    except OSError:
        return None
    return hashlib.sha256(content).hexdigest()


def _visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


class Notes:
    """Collects. folder: where the notebook runs; results: the store."""

    def __init__(self, folder: Path, results: Path):
        self.folder, self.results = folder, results
        self.files: dict[str, str | None] = {}
        self.records: dict[str, str | None] = {}
        self.reads: list[tuple[int, int, str]] = []
        self.writes = False
        self._aside = False
        self._cell: dict[tuple[int, str], None] = {}  # (line, key) read by the cell that runs

    def hear(self, event: str, arguments: tuple) -> None:
        """Take note of an audit event (sys.addaudithook). A file counts as it was when first met."""
        if event == "lsbook.aside":
            [self._aside] = arguments
        if (
            self._aside
            or event not in ("open", "os.listdir", "os.scandir", "lsbook.look")
            or not isinstance(arguments[0], str | Path)
        ):
            return
        path = Path(arguments[0]).absolute()
        if path.is_relative_to(self.results):
            self._hear_of_record(path)
        elif event == "open" and path.is_relative_to(self.folder):
            self.writes |= bool(set(arguments[1] or "") & set("wax+"))
            self._note(self.files, str(path), path)
        elif event == "open" and (_is_source(path) or path.parent == self.folder.parent):
            self._note(self.files, str(path), path)

    def _hear_of_record(self, path: Path) -> None:
        relative = path.relative_to(self.results)
        if any(part.startswith(".") for part in relative.parts):  # the lock, a record that is being written
            return
        self._note(self.records, str(relative), path)
        if path.name == RECORD:
            self._cell[_line(), path.parent.name] = None

    def end_cell(self, execution: int) -> None:
        """Number the reads of a cell that has run; note every module in our package or beside the notebook."""
        self.reads += [(execution, *read) for read in self._cell]
        self._cell.clear()
        for module in list(sys.modules.values()):
            path = Path(getattr(module, "__file__", None) or "/")
            if path.is_relative_to(PACKAGE) or path.is_relative_to(self.folder):
                self._note(self.files, str(path), path)

    def write(self, path: Path) -> None:
        """Write what was noted so far."""
        names = "files", "records", "reads", "writes"
        path.write_text(json.dumps({name: getattr(self, name) for name in names}))

    def _note(self, found: dict[str, str | None], name: str, path: Path) -> None:
        if found.get(name) is None:  # what was not there may come: a run that is trained
            found[name] = "being read"  # reading it is heard, too
            found[name] = fingerprint(path)


def _is_source(path: Path) -> bool:
    return path.is_relative_to(PACKAGE) and path.parent.name != "__pycache__"


def _line() -> int:
    """The line of the notebook's cell that is being executed; 0 outside of one."""
    frame = sys._getframe()
    while frame is not None and frame.f_globals.get("__name__") != "__main__":
        frame = frame.f_back
    return frame.f_lineno if frame else 0


def load_ipython_extension(shell) -> None:
    """Start to take notes."""
    notes = Notes(Path.cwd(), Path(os.environ["LSBOOK_RESULTS"]))
    target = Path(os.environ["LSBOOK_NOTES"])

    def after(result) -> None:
        notes.end_cell(result.execution_count)
        notes.write(target)

    shell.events.register("post_run_cell", after)
    sys.addaudithook(notes.hear)
