"""What the landing page shows: which runs are recorded."""

from collections import Counter, defaultdict

from lsbook.core.config import Run
from lsbook.core.errors import one_of
from lsbook.core.registry import MODELS, TITLES
from lsbook.core.store import Record, Store
from lsbook.outputs import Table


def recorded(datasets: str = "all", store: Store | None = None) -> Table:
    """One row a setting (data set, network, number of examples and steps, α, teacher) with its runs and their cost.

    datasets: "all", or names separated by commas. UserError for an unknown one.
    """
    wanted = named(datasets)
    settings: dict[tuple, list[Record]] = defaultdict(list)
    for record in Store() if store is None else store:
        run = record.run
        if run.dataset in wanted:
            settings[run.dataset, network(run), run.examples, run.recipe.steps, run.alpha].append(record)
    devices = Counter(record.environment["device"] for records in settings.values() for record in records)
    return Table(
        "table-recorded",
        "The recorded runs behind this book. Time is the median of one training, with what is measured along it. As "
        "soft as another network: with labels smoothed by the γ of its answers, or with a teacher's answers at the "
        "temperature that gives them this γ. Trained on: "
        + (", ".join(f"{device} ({count})" for device, count in sorted(devices.items())) or "—")
        + ".",
        ("data, network", "examples", "steps", "α", "runs", "test accuracy, %", "time, s"),
        tuple(_row(*setting[:-1], records) for setting, records in sorted(settings.items())),
    )


def network(run: Run) -> str:
    """The network, which others its targets are from, and whether its information was measured along the training."""
    return _named(run) + ("" if run.measured == "none" else ", information measured")


def _named(run: Run) -> str:
    others = {"student of": run.teacher, "as soft as": run.as_soft_as}
    return ", ".join(
        [
            MODELS[run.model].title,
            *(f"{how} {_teacher(other)}" for how, other in others.items() if other),
            *([f"T = {run.temperature:g}, β = {run.beta:g}"] if run.temperature is not None else []),
        ]
    )


def _teacher(run: Run) -> str:
    return _named(run) + (f", α = {run.alpha:g}" if run.alpha else "")


def named(datasets: str) -> list[str]:
    """The data sets that a parameter names: "all", or names separated by commas. UserError for an unknown one."""
    names = list(TITLES) if datasets == "all" else [name.strip() for name in str(datasets).split(",")]
    for name in names:
        one_of("data set", name, TITLES)
    return names


def smoothing(records: list[Record]) -> str:
    """α of the labels of runs alike; the mean γ where labels are smoothed by that of another network's answers."""
    run = records[0].run
    if run.as_soft_as and not run.teacher:
        return f"γ = {sum(record.metrics['teacher_smoothness'] for record in records) / len(records):.2f}"
    return f"{run.alpha:g}"


def _row(dataset: str, network: str, examples: int, steps: int, records: list[Record]) -> tuple[str, ...]:
    seconds = sorted(record.environment["training_seconds"] for record in records)
    accuracy = sum(100 * record.metrics["test_accuracy"] for record in records) / len(records)
    return (
        f"{TITLES[dataset]}, {network}",
        f"{examples:,}",
        f"{steps:,}",
        smoothing(records),
        f"{len(records)}",
        f"{accuracy:.1f}",
        f"{seconds[len(seconds) // 2]:,.0f}",
    )
