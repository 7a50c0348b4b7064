"""Which recorded runs each cell of a chapter reads: an IPython extension that the build loads into every kernel.

After each cell, the file that LSBOOK_NOTES names holds, as JSON, [number of execution, line of the cell, key] of each.
"""

import json
import os
import sys
from pathlib import Path

RECORD = "record.json"


class Notes:
    """Collects what is read from the store in the folder `results`."""

    def __init__(self, results: Path):
        self.results = results
        self.reads: list[tuple[int, int, str]] = []
        self._aside = False
        self._cell: dict[tuple[int, str], None] = {}  # (line, key) read by the cell that runs

    def hear(self, event: str, arguments: tuple) -> None:
        """Take note of an audit event (sys.addaudithook)."""
        if event == "lsbook.aside":
            [self._aside] = arguments
        elif event == "open" and not self._aside and isinstance(arguments[0], str | Path):
            path = Path(arguments[0])
            if path.name == RECORD and path.absolute().is_relative_to(self.results):
                self._cell[_line(), path.parent.name] = None

    def end_cell(self, execution: int) -> None:
        """Number the reads of a cell that has run."""
        self.reads += [(execution, *read) for read in self._cell]
        self._cell.clear()


def _line() -> int:
    """The line of the notebook's cell that is being executed; 0 outside of one."""
    frame = sys._getframe()
    while frame is not None and frame.f_globals.get("__name__") != "__main__":
        frame = frame.f_back
    return frame.f_lineno if frame else 0


def load_ipython_extension(shell) -> None:
    """Start to take notes."""
    notes = Notes(Path(os.environ["LSBOOK_RESULTS"]))
    target = Path(os.environ["LSBOOK_NOTES"])

    def after(result) -> None:
        notes.end_cell(result.execution_count)
        target.write_text(json.dumps(notes.reads))

    shell.events.register("post_run_cell", after)
    sys.addaudithook(notes.hear)
