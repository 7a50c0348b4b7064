"""Where each figure and table comes from: chapter and cell, parameters, commit, and the recorded runs behind it.

The data, seeds and device of those runs are in the captions and, run by run, on the page that lists them.
"""

import ast
from collections.abc import Iterable
from html import escape

from IPython.core.inputtransformer2 import TransformerManager


def details(place: str, parameters: dict, commit: str, runs: Iterable[str], page: str | None) -> str:
    """HTML that opens on a click. place: chapter and cell; page: address of the page with the recorded runs, if any."""
    keys = [f'<a href="{page}#run-{key}">{key}</a>' if page else key for key in map(escape, sorted(runs))]
    given = ", ".join(f"<code>{escape(f'{name} = {value!r}')}</code>" for name, value in parameters.items())
    lines = [
        escape(place),
        f"Parameters: {given or 'none'}",
        f"Sources: commit {escape(commit)}",
        f"Recorded runs read for it ({len(keys)}): {', '.join(keys)}" if keys else "Recorded runs read for it: none",
    ]
    return f'<details class="provenance"><summary>Where this comes from</summary>{"<br>".join(lines)}</details>'


def runs_behind(cells, reads: Iterable[tuple[int, int, str]]) -> dict[int, set[str]]:
    """Number of execution -> keys of the runs that a code cell's values were made from.

    cells: a notebook's, executed. reads: (number of execution, line of the cell, key). A value has the runs that the
    statement which made it has read, and those of the values it was made from.
    """
    transform = TransformerManager().transform_cell
    known: dict[str, set[str]] = {}
    behind = {}
    for cell in cells:
        if cell.cell_type != "code":
            continue
        here = [(line, key) for number, line, key in reads if number == cell.execution_count]
        behind[cell.execution_count] = set()
        for statement in ast.parse(transform(cell.source)).body:
            names = [node for node in ast.walk(statement) if isinstance(node, ast.Name)]
            runs = {key for line, key in here if statement.lineno <= line <= statement.end_lineno}
            used = [name for name in names if isinstance(name.ctx, ast.Load) or isinstance(statement, ast.AugAssign)]
            runs = runs.union(*(known.get(name.id, ()) for name in used))
            known |= {name.id: runs for name in names if isinstance(name.ctx, ast.Store)}
            behind[cell.execution_count] |= runs
    return behind
