"""What the chapters' runs cost: how many each profile has, how many are recorded, and how long one takes.

Everything is read off the recorded runs: no machine is modelled.
"""

from collections.abc import Iterable

import pandas as pd

from lsbook.chapters.plans import plan, registered
from lsbook.core.errors import one_of
from lsbook.core.frame import runs_frame
from lsbook.core.registry import title
from lsbook.core.store import Store
from lsbook.core.wording import counted, listed
from lsbook.outputs import Table, cell_frame
from lsbook.recipes.profiles import PROFILES

NETWORK = ["dataset", "model", "recipe.batch"]
MACHINE = ["environment.device", "environment.threads", "environment.processes", "environment.precision"]
SECONDS = "environment.training_seconds"
NOT_RECORDED = "not recorded yet"


def planned(profile: str, store: Store, recorded: pd.DataFrame, chapters: Iterable[str]) -> pd.DataFrame:
    """The runs that chapters ask for in a profile, each once, with the columns of `Store.frame` that decide a run.

    Args:
        profile: one of `PROFILES`.
        store: where the runs are looked for.
        recorded: its frame.
        chapters: their names.

    Returns:
        a frame with two further columns: `profile`, and `record`, the key under which the run is recorded, or missing.
    """
    asked = [run for chapter in chapters for run in plan(chapter, profile)]
    # Of one training the run with most measured along it, which serves every chapter.
    runs = {run.key: run for run in sorted(asked, key=lambda run: run.probe != "none")}.values()
    keys = [
        next((name.key for name in run.namesakes() if name.key in recorded.index), None) if run in store else None
        for run in runs
    ]
    return runs_frame(runs).assign(profile=profile, record=pd.Series(keys, dtype=str).to_numpy())


def table(profile: str = "auto", store: Store | None = None) -> Table:
    """How many runs of each network the chapters plan and how many are recorded, and the seconds of one.

    Args:
        profile: one of `PROFILES`, or "auto" for all of them.
        store: the project's own when None.

    Raises:
        UserError: for an unknown profile, and when a record is damaged.
    """
    names, store, recorded = _asked(profile, store)
    recorded["step_seconds"] = recorded[SECONDS] / recorded["recipe.steps"]
    plans = pd.concat([planned(name, store, recorded, registered()) for name in names])
    kinds = plans.groupby(["profile", *NETWORK, "recipe.steps"], sort=False)
    rows = [_row(kind, runs["record"].notna(), recorded) for kind, runs in kinds]
    of_these = pd.MultiIndex.from_frame(recorded[NETWORK]).isin(pd.MultiIndex.from_frame(plans[NETWORK]))
    header = ("data, network", "profile", "steps", "recorded", "seconds a run", "operations a run", "trained on")
    shown = pd.DataFrame(rows, columns=list(header))
    if recorded["environment.flops_per_example"].isna().all():
        shown = shown.drop(columns="operations a run")
    return Table(
        "table-costs",
        "The runs that the chapters plan in each profile, how many of them are recorded, and what one takes. Seconds "
        "are the median over the runs of the machine that trained most of them, with all that is measured along the "
        "training. Where only other lengths of a network are recorded, they are its median seconds a step × steps.",
        shown,
        recorded.index[of_these].tolist(),
    )


def of_chapters(profile: str = "auto", store: Store | None = None) -> Table:
    """How many runs are recorded for each chapter, and what they have cost in core hours.

    Args:
        profile: one of `PROFILES`, or "auto" for all of them.
        store: the project's own when None.

    Raises:
        UserError: for an unknown profile, and when a record is damaged.
    """
    names, store, recorded = _asked(profile, store)
    keys = {
        chapter: pd.concat([planned(name, store, recorded, [chapter]) for name in names])["record"].dropna().unique()
        for chapter in registered()
    }
    shown = {chapter.replace("_", " "): recorded.loc[found] for chapter, found in keys.items() if len(found)}
    every = recorded.loc[sorted({key for found in keys.values() for key in found})]
    return Table(
        "table-chapter-costs",
        "What the recorded runs of each chapter have cost: the time of each training × the cores that it had. Chapters "
        "share runs; the last row has each once.",
        cell_frame(
            ("chapter", "recorded runs", "cores of a run", "core hours"),
            (_spent(name, runs) for name, runs in {**shown, "all": every}.items()),
        ),
        every.index.tolist(),
    )


def _spent(name: str, runs: pd.DataFrame) -> tuple[str, ...]:
    """The cells of a chapter's recorded runs."""
    cores = runs["environment.threads"] * runs["environment.processes"]
    hours = (runs[SECONDS] * cores).sum() / 3600
    counts = [f"{count:.0f}" for count in sorted(cores.unique())]
    return name, f"{len(runs)}", listed(counts), f"{hours:.1f}"


def _asked(profile: str, store: Store | None) -> tuple[tuple[str, ...], Store, pd.DataFrame]:
    """The profiles that a parameter names, the store, and its frame, in which each run has a number of processes.

    UserError for an unknown profile, and when a record is damaged.
    """
    one_of("profile", profile, ("auto", *PROFILES))
    store = Store() if store is None else store
    recorded = store.frame()
    recorded["environment.processes"] = recorded["environment.processes"].astype(float).fillna(1)
    return PROFILES if profile == "auto" else (profile,), store, recorded


def _row(kind: tuple, is_recorded: pd.Series, recorded: pd.DataFrame) -> tuple[str, ...]:
    """The cells of all planned runs of a kind.

    Args:
        kind: profile, data set, network, batch, steps.
        is_recorded: of each of them.
        recorded: frame of all records, with `step_seconds`.
    """
    profile, dataset, model, batch, steps = kind
    alike = recorded[(recorded[NETWORK] == [dataset, model, batch]).all(axis=1)]
    as_long = alike[alike["recipe.steps"] == steps]
    seconds, machine = "—", NOT_RECORDED
    if len(as_long):
        median, machine = _usual(as_long, SECONDS)
        seconds = f"{median:,.0f}"
    elif len(alike):
        median, machine = _usual(alike, "step_seconds")
        seconds, machine = f"{steps * median:,.0f}", f"{machine}; estimated from other lengths"
    flops = alike["environment.flops_per_example"].median()
    return (
        f"{title(dataset)}, {title(model)}",
        profile,
        f"{steps:,}",
        f"{is_recorded.sum()} of {len(is_recorded)}",
        seconds,
        "—" if pd.isna(flops) else f"{steps * batch * flops:.1e}",
        machine,
    )


def _usual(recorded: pd.DataFrame, quantity: str) -> tuple[float, str]:
    """The median of a column over the runs of the machine that made most of them, and that machine in words."""
    machines = recorded.groupby(MACHINE)[quantity].agg(["size", "median"]).reset_index()
    most = machines.iloc[machines["size"].argmax()]
    device, threads, processes, precision = (most[column] for column in MACHINE)
    together = f"{processes:.0f} processes with " if processes > 1 else ""
    return float(most["median"]), f"{together}{counted(threads, 'thread')}, {device}, {precision}"
