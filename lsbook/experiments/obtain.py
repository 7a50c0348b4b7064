"""Runs in, records out: taken from the store, trained where they are missing."""

import sys
from collections.abc import Callable, Sequence

from lsbook.catalogue import DATASETS
from lsbook.errors import UserError, one_of
from lsbook.experiments.profiles import PROFILES
from lsbook.run import Run
from lsbook.store import Record, Store


def choose_profile(profile: str, runs_of: Callable[[str], Sequence[Run]], store: Store | None = None) -> str:
    """`profile` itself; for "auto" the best one of which every run asked for is recorded, else laptop."""
    one_of("profile", profile, ("auto", *PROFILES))
    if profile != "auto":
        return profile
    store = store or Store()
    recorded = (p for p in reversed(PROFILES) if all(run in store for run in runs_of(p)))
    return next(recorded, "laptop")


def obtain(runs: Sequence[Run], store: Store | None = None, *, tensorboard: str | None = None) -> list[Record]:
    """The records of `runs`, in order; those that are missing are trained and recorded first."""
    store = store or Store()
    records = {run: store.get(run) for run in runs}
    missing = [run for run, record in records.items() if record is None]
    if missing:
        records |= _train(missing, store, tensorboard)
    return [records[run] for run in runs]


def _train(runs: list[Run], store: Store, tensorboard: str | None) -> dict[Run, Record]:
    training = _training()
    store.check_writable()
    print(f"training {len(runs)} run{'s'[: len(runs) > 1]} that {_estimate(runs, store)}", file=sys.stderr, flush=True)
    records, data = {}, {}
    for run in runs:
        what = run.dataset, run.examples
        if what not in data:
            data = {what: training.splits(run)}
        records[run] = store.put(run, **training.train(run, data[what], tensorboard=tensorboard)._asdict())
    return records


def _training():
    """The training side, imported only here. UserError when torch is not installed."""
    try:
        import lsbook.training
    except ModuleNotFoundError as error:
        raise UserError(
            f'a run is not recorded and training it needs {error.name}: pip install -e ".[train]"'
        ) from None
    return lsbook.training


def _estimate(runs: list[Run], store: Store) -> str:
    """How long the runs will take, judged by the fastest record of the same network on this store."""
    images = {}
    for record in store:
        what = record.run.dataset, record.run.model
        images[what] = max(images.get(what, 0), record.environment["images_per_second"])
    seconds = 0.0
    for run in runs:
        speed = images.get((run.dataset, run.model))
        if speed is None:
            return f"were never recorded here for {DATASETS[run.dataset].title}; the first bar tells how long one takes"
        seconds += run.recipe.steps * run.recipe.batch / speed
    return f"would take {seconds:.0f} s at the speed of recorded ones"
