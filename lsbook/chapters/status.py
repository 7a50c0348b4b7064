"""What the status page shows: when each chapter was executed, how long that took, and every recorded run."""

import json
from collections.abc import Hashable

import pandas as pd

from lsbook.chapters.overview import described, smoothing
from lsbook.core.paths import reference_path
from lsbook.core.registry import title
from lsbook.core.store import Store
from lsbook.outputs import Markup, Table, cell_frame


def chapters() -> Table:
    """Run time and day of each chapter's reference execution."""
    path = reference_path() / "timings.json"
    timings = json.loads(path.read_text()) if path.is_file() else {}
    kept = [(name, found) for name, found in sorted(timings.items()) if (path.parents[1] / f"{name}.ipynb").is_file()]
    return Table(
        "table-chapters",
        "How long each chapter runs when all its runs are recorded, and when it was last executed for this table. "
        "A chapter that is not listed has not been timed yet.",
        cell_frame(
            ("chapter", "run time, s", "executed"),
            ((name, f"{found['seconds']:.1f}", found["executed"]) for name, found in kept),
        ),
    )


def runs(datasets: str = "all", store: Store | None = None) -> Table:
    """Every recorded run, below the setting that it is one of. A row has the address `#run-<key>`.

    datasets: "all", or names separated by commas. UserError for an unknown one.
    """
    recorded = described(datasets, store)
    recorded["data"] = recorded["dataset"].map(title) + " (" + recorded["environment.data.variant"] + ")"
    header = "run", "α", "seed", "recorded", "trained on", "commit"
    rows = []
    for (data, name, examples, steps), alike in recorded.groupby(["data", "network", "examples", "recipe.steps"]):
        setting = f"{data}, {name}, {examples:,} examples, {steps:,} steps"
        rows.append((Markup("**{}**").format(setting), *[""] * (len(header) - 1)))
        rows += [_row(key, run) for key, run in alike.sort_values(["alpha", "seed"]).iterrows()]
    return Table(
        "table-runs",
        "Every recorded run. Its name leads to what its record says: the recipe, all numbers, the data, the machine. "
        "The arrays lie beside it in the folder of that name below results/ of the sources.",
        cell_frame(header, rows),
        recorded.index.tolist(),
    )


def _row(key: Hashable, run: pd.Series) -> tuple[str, ...]:
    """The cells of a run."""
    return (
        Markup('<a id="run-{0}" href="../records/{0}.json">{0}</a>').format(key),
        smoothing(run, run["smoothness"]),
        f"{run['seed']}",
        run["environment.recorded"][:10],
        f"{run['environment.device']}, {run['environment.precision']}",
        run["environment.commit"],
    )
