"""The recorded runs as a table, which the status page shows: a row for each setting."""

import math
from collections.abc import Iterable

import pandas as pd

from lsbook.core.errors import one_of
from lsbook.core.frame import differences, setting_columns
from lsbook.core.registry import TITLES, title
from lsbook.core.store import Store
from lsbook.outputs import Table, cell_frame

SHOWN = ["dataset", "network", "examples", "recipe.steps"]


def recorded(datasets: str = "all", store: Store | None = None) -> Table:
    """One row a setting, which is all that decides a run but its seed, with the number of its runs and their cost.

    datasets: "all", or names separated by commas. UserError for an unknown one.
    """
    runs = described(datasets, store)
    devices = runs["environment.device"].value_counts().sort_index()
    settings = runs.groupby([*SHOWN, "alpha", "setting"])
    return Table(
        "table-recorded",
        "The recorded runs behind this book. Time is the median of one training, with what is measured along it. As "
        "soft as another network: with labels smoothed by the γ of its probabilities, or with a teacher's "
        "probabilities at the temperature that gives them this γ. Trained on: "
        + (", ".join(f"{device} ({count})" for device, count in devices.items()) or "—")
        + ".",
        cell_frame(
            ("data, network", "examples", "steps", "α", "runs", "test accuracy, %", "time, s"),
            (_row(alike) for _, alike in settings),
        ),
        runs.index.tolist(),
    )


def described(datasets: str, store: Store | None) -> pd.DataFrame:
    """The recorded runs of some data sets, each with its setting.

    Args:
        datasets: "all", or names separated by commas.
        store: the project's own when None.

    Returns:
        their `Store.frame` with further columns: `setting`, a number that only runs have in common which agree in all
        that decides them but seed and α, and in what was measured along them; `network`, its name in words; and
        `smoothness`, the γ of the network that it is to be as soft as.

    Raises:
        UserError: for an unknown data set, and when a record is damaged.
    """
    runs = (Store() if store is None else store).frame()
    runs = runs[runs["dataset"].isin(named(datasets, runs["dataset"]))].copy()
    runs["measured"] = runs["probe"].where(runs["probe"] != "none", runs["recipe.probe"])
    deciding = [name for name in setting_columns(runs) if name != "alpha"]
    runs["setting"] = runs.groupby([*deciding, "measured"], dropna=False, sort=False).ngroup()
    runs["smoothness"] = runs.get("teacher_smoothness", math.nan)
    runs["network"] = pd.Series({key: network_words(run) for key, run in runs.iterrows()}, dtype=str)
    runs["network"] += differences(runs, SHOWN, apart_from=["alpha"]).map(lambda words: words and f", {words}")
    return runs


def network_words(run: pd.Series) -> str:
    """A row's network, which others its targets are from, and whether information was measured along its training."""
    measured = run["recipe.probe"] if run["probe"] == "none" else run["probe"]
    return _named(run) + ("" if measured == "none" else ", information measured")


def _named(run: pd.Series, role: str = "") -> str:
    """The network of a run, or of another one that it learns from; role: the beginning of that one's columns."""
    parts = [title(run[f"{role}model"])]
    for name, how in {"teacher": "student of", "as_soft_as": "as soft as"}.items():
        if pd.notna(run[f"{role}{name}"]):
            alpha = run[f"{role}{name}.alpha"]
            parts.append(f"{how} {_named(run, f'{role}{name}.')}" + (f", α = {alpha:g}" if alpha else ""))
    if pd.notna(run[f"{role}temperature"]):
        parts.append(f"T = {run[f'{role}temperature']:g}, β = {run[f'{role}beta']:g}")
    return ", ".join(parts)


def named(datasets: str, recorded: Iterable[str]) -> list[str]:
    """The data sets that a parameter names: "all", or names separated by commas.

    recorded: those that there are records of. UserError for one that is neither among these nor in the registry.
    """
    known = list(dict.fromkeys([*TITLES, *recorded]))
    names = known if datasets == "all" else [name.strip() for name in str(datasets).split(",")]
    for name in names:
        one_of("data set", name, known)
    return names


def smoothing(run: pd.Series, smoothness: float) -> str:
    """α of a run's labels, or `smoothness` where they are smoothed by the γ of another network's answers."""
    if pd.notna(run["as_soft_as"]) and pd.isna(run["teacher"]):
        return f"γ = {smoothness:.2f}"
    return f"{run['alpha']:g}"


def _row(runs: pd.DataFrame) -> tuple[str, ...]:
    """The cells of runs that are alike."""
    run = runs.iloc[0]
    return (
        f"{title(run['dataset'])}, {run['network']}",
        f"{run['examples']:,}",
        f"{run['recipe.steps']:,}",
        smoothing(run, runs["smoothness"].mean()),
        f"{len(runs)}",
        f"{100 * runs['test_accuracy'].mean():.1f}",
        f"{runs['environment.training_seconds'].median():,.0f}",
    )
