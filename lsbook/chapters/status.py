"""What the status page shows: when each chapter was executed, how long that took, and every recorded run."""

import json
from collections import defaultdict

from lsbook.chapters.overview import named, network, smoothing
from lsbook.core.paths import reference_path
from lsbook.core.registry import TITLES
from lsbook.core.store import Record, Store
from lsbook.outputs import Markup, Table


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
    """Every recorded run, below the setting that it is one of. A row has the address `#run-<key>`.

    datasets: "all", or names separated by commas. UserError for an unknown one.
    """
    wanted = named(datasets)
    settings: dict[tuple, list[Record]] = defaultdict(list)
    for record in Store() if store is None else store:
        if record.run.dataset in wanted:
            settings[_setting(record)].append(record)
    header = "run", "α", "seed", "recorded", "trained on", "commit"
    rows = []
    for (data, name, examples, steps), records in sorted(settings.items()):
        setting = f"{data}, {name}, {examples:,} examples, {steps:,} steps"
        rows.append((Markup("**{}**").format(setting), *[""] * (len(header) - 1)))
        rows += sorted(map(_row, records), key=lambda row: row[1:3])
    return Table(
        "table-runs",
        "Every recorded run. Its name leads to what its record says: the recipe, all numbers, the data, the machine. "
        "The arrays lie beside it in the folder of that name below results/ of the sources.",
        header,
        tuple(rows),
    )


def _setting(record: Record) -> tuple[str, str, int, int]:
    """Data, network, numbers of examples and steps."""
    run = record.run
    data = f"{TITLES[run.dataset]} ({record.environment['data']['variant']})"
    return data, network(run), run.examples, run.recipe.steps


def _row(record: Record) -> tuple[str, ...]:
    run, environment = record.run, record.environment
    return (
        Markup('<a id="run-{0}" href="../records/{0}.json">{0}</a>').format(run.key),
        smoothing([record]),
        f"{run.seed}",
        environment["recorded"][:10],
        f"{environment['device']}, {environment['precision']}",
        environment["commit"],
    )
