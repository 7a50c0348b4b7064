"""What the status page shows: when each chapter was executed, how long that took, and every recorded run."""

import json

from lsbook.catalogue import MODELS, TITLES
from lsbook.experiments.overview import named
from lsbook.page import Table
from lsbook.paths import reference_path
from lsbook.store import Record, Store


def chapters() -> Table:
    """Run time and day of each chapter's reference execution."""
    path = reference_path() / "timings.json"
    timings = json.loads(path.read_text()) if path.is_file() else {}
    return Table(
        "table-chapters",
        "How long each chapter runs when all its runs are recorded, and when it was last executed for this table. "
        "A chapter that is not listed has not been timed yet.",
        ("chapter", "run time, s", "executed"),
        tuple((name, f"{timing['seconds']:.1f}", timing["executed"]) for name, timing in sorted(timings.items())),
    )


def runs(datasets: str = "all", store: Store | None = None) -> Table:
    """Every recorded run, a row each, which has an address: `#run-<key>`.

    datasets: "all", or names separated by commas. UserError for an unknown one.
    """
    wanted = named(datasets)
    return Table(
        "table-runs",
        "Every recorded run: a folder in results/ of the sources has its name, its record and its arrays.",
        ("run", "data, network", "examples", "steps", "α", "seed", "recorded", "trained on", "torch", "commit"),
        tuple(_row(record) for record in (Store() if store is None else store) if record.run.dataset in wanted),
        anchors="run-",
    )


def _row(record: Record) -> tuple[str, ...]:
    run, environment = record.run, record.environment
    cells = (
        run.key,
        f"{TITLES[run.dataset]} ({environment['data']['variant']}), {MODELS[run.model].title}",
        f"{run.examples:,}",
        f"{run.recipe.steps:,}",
        f"{run.alpha:g}",
        f"{run.seed}",
        environment["recorded"][:10],
        f"{environment['device']}, {environment['precision']}",
        environment["torch"],
        environment["commit"],
    )
    return tuple(cell.replace(" ", "\N{NO-BREAK SPACE}") for cell in cells)  # a line a run; the table scrolls
