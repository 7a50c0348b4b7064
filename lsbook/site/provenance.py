"""Where each figure and table comes from: chapter and cell, parameters, commit, and the recorded runs behind it."""

from html import escape
from typing import NamedTuple

from lsbook.core.wording import counted


class MadeFrom(NamedTuple):
    """runs: keys of recorded runs; descriptions: of them, a sentence each."""

    runs: set[str]
    descriptions: list[str]


def details(place: str, parameters: dict, commit: str, made_from: MadeFrom, page: str | None) -> str:
    """Format what a figure or table is made from, as HTML that opens on a click.

    Args:
        place: chapter and cell.
        parameters: of the chapter.
        commit: of the sources.
        made_from: what the cell's outputs say of the recorded runs.
        page: address of the page that lists the recorded runs, if any.
    """
    keys = [f'<a href="{page}#run-{key}">{key}</a>' if page else key for key in map(escape, sorted(made_from.runs))]
    given = ", ".join(f"<code>{escape(f'{name} = {value!r}')}</code>" for name, value in parameters.items())
    lines = [
        escape(place),
        f"Parameters: {given or 'none'}",
        f"Sources: commit {escape(commit)}",
        *map(escape, made_from.descriptions),
    ]
    if keys:
        lines.append(f"Made from {counted(len(keys), 'recorded run')}: {', '.join(keys)}")
    return f'<details class="provenance"><summary>Where this comes from</summary>{"<br>".join(lines)}</details>'


def runs_behind(cell) -> MadeFrom | None:
    """What the outputs of an executed code cell say they were made from; None where none says it, as a pandas frame."""
    carried = [output.metadata["lsbook"] for output in cell.outputs if "lsbook" in output.get("metadata", {})]
    if not carried:
        return None
    runs = {key for own in carried for key in own["runs"]}
    return MadeFrom(runs, list(dict.fromkeys(own["made_from"] for own in carried if "made_from" in own)))
