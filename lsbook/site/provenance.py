"""Where each figure and table comes from: chapter and cell, parameters, commit, and the recorded runs behind it.

The data, seeds and device of those runs are in the captions and, run by run, on the page that lists them.
"""

from collections.abc import Iterable
from html import escape

from lsbook.core.wording import counted


def details(place: str, parameters: dict, commit: str, runs: Iterable[str], page: str | None) -> str:
    """Format what a figure or table is made from, as HTML that opens on a click.

    Args:
        place: chapter and cell.
        parameters: of the chapter.
        commit: of the sources.
        runs: keys of the recorded runs.
        page: address of the page that lists the recorded runs, if any.
    """
    keys = [f'<a href="{page}#run-{key}">{key}</a>' if page else key for key in map(escape, sorted(runs))]
    given = ", ".join(f"<code>{escape(f'{name} = {value!r}')}</code>" for name, value in parameters.items())
    lines = [
        escape(place),
        f"Parameters: {given or 'none'}",
        f"Sources: commit {escape(commit)}",
        f"Made from {counted(len(keys), 'recorded run')}{': ' * bool(keys)}{', '.join(keys)}",
    ]
    return f'<details class="provenance"><summary>Where this comes from</summary>{"<br>".join(lines)}</details>'


def runs_behind(cell) -> set[str]:
    """Return the keys of the runs that the outputs of an executed code cell say they were made from."""
    carried = [output.get("metadata", {}).get("lsbook", {}) for output in cell.outputs]
    return {key for own in carried for key in own.get("runs", ())}
