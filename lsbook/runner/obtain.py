"""Runs in, records out: taken from the store, trained where they are missing."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from lsbook.core import registry
from lsbook.core.config import Run
from lsbook.core.errors import UserError, needing, print_lines
from lsbook.core.store import Record, Store


def obtain(
    runs: Sequence[Run],
    store: Store | None = None,
    *,
    tensorboard: Path | None = None,
    progress: bool | Callable[[int], object] = True,
) -> list[Record]:
    """The records of `runs`, in order; those that are missing are trained and recorded first.

    tensorboard, progress: as for `training.train`.
    """
    store = Store() if store is None else store
    records = {run: store.get(run) for run in runs}
    missing = [run for run, record in records.items() if record is None]
    if missing:
        records |= _train(missing, store, tensorboard, progress)
    return [records[run] for run in runs]


@contextmanager
def processes() -> Iterator[bool]:
    """Within it the processes of a `torchrun` train together what the first one obtains; the others are told False."""
    with training_side().together() if "TORCHELASTIC_RUN_ID" in os.environ else nullcontext(True) as first:
        yield first


def _train(runs: list[Run], store: Store, tensorboard: Path | None, progress: bool | Callable) -> dict[Run, Record]:
    training = training_side()
    for run in runs:
        training.check(run)
    store.check_writable()
    data = data_for(training.splits)
    data(runs[0])  # if that is missing, nothing else is said
    if progress is True:
        estimate = _estimate(runs, store)
        print_lines(f"{len(runs)} of the runs asked for have to be trained first; {estimate}", file=sys.stderr)
    return {
        run: recorded(run, store, data, tensorboard=tensorboard, progress=progress)
        for run in _free_ones_first(runs, training.is_claimed)
    }


def check_data(run: Run, store: Store, splits: Callable | None = None) -> None:
    """UserError when the data of a run that has a data set of somebody's own are not those of the store's records.

    splits: run -> its data; from their files when not given.
    """
    if registry.is_own(run.dataset):
        found = (splits or training_side().splits)(run)
        store.check_data(run, found.train.fingerprint, found.test.fingerprint)


def data_for(splits: Callable) -> Callable:
    """`splits` of runs; the last is kept for the next run on the same, so that one data set is in memory at a time."""
    kept = {}

    def of(run: Run):
        noise = (run.label_noise, run.seed) if run.label_noise else None
        source = run.dataset, run.examples, run.vocabulary, noise
        if source not in kept:
            kept.clear()
            kept[source] = splits(run)
        return kept[source]

    return of


def recorded(
    run: Run,
    store: Store,
    data: Callable,
    *,
    tensorboard: Path | None = None,
    progress: bool | Callable = True,
    weights: bool = False,
) -> Record:
    """The record of a run, which is trained unless another process has meanwhile.

    data: run -> its splits. weights: train what is recorded too, unless its weights are here.
    """
    training = training_side()
    with training.enough_memory(run):
        return _recorded(training, run, store, data, tensorboard, progress, weights)


def _recorded(
    training,
    run: Run,
    store: Store,
    data: Callable,
    tensorboard: Path | None,
    progress: bool | Callable,
    weights: bool,
) -> Record:
    lesson = _lesson(training, run, store, data, progress) if run.teachers else None
    with training.claim(run):
        if run in store and not (weights and not training.has_weights(run)):
            return store.get(run)
        check_data(run, store, data)
        loss = lesson and lesson.loss
        outcome = training.train(run, data(run), loss=loss, tensorboard=tensorboard, progress=progress)
        outcome.metrics.update(lesson.metrics if lesson else {})
        record = store.put(run, **outcome._asdict())
        training.clear(run)
        return record


def _free_ones_first(runs: Sequence[Run], is_claimed: Callable[[Run], bool]) -> Iterator[Run]:
    """All runs in order, but each time one that no other process is training as long as there is one."""
    left = list(runs)
    while left:
        run = next((run for run in left if not is_claimed(run)), left[0])
        left.remove(run)
        yield run


def _lesson(training, run: Run, store: Store, data: Callable, progress: bool | Callable):
    """What a run learns from others' answers."""
    banks = {}
    for teacher in run.teachers:
        banks[teacher] = _bank(training, teacher, run, store, data, progress)
    return training.lesson(run, banks)


def _bank(training, teacher: Run, run: Run, store: Store, data: Callable, progress: bool | Callable):
    """A teacher's answers to what a run sees; it is trained first when its weights are not on this machine."""

    def bank():
        with training.claim(teacher):  # what all its students learn from is made once
            return training.bank(teacher, data(run).train, run)

    found = bank()
    if found is None:
        # Where steps are counted they are the student's.
        recorded(teacher, store, data, progress=progress is True, weights=True)
        found = bank()
    if found is None:
        raise UserError(f"no space for {training.weights_path(teacher)}: free some, or set LSBOOK_RUNS to a folder")
    return found


def training_side():
    """The training side, imported only here. UserError when torch is not installed."""
    with needing("train", "training a run"):
        import lsbook.training
    return lsbook.training


def _estimate(runs: list[Run], store: Store) -> str:
    """How long the runs take, in words."""
    costs = Costs(store)
    seconds = [costs.seconds(run) for run in runs]
    if None in seconds:
        return "the first one's bar will tell how long each takes"
    return f"that took {sum(seconds) / 60:.1f} minutes where such runs were recorded"


class Costs:
    """What a run takes, judged by the records of its network in a store; None without one.

    Made on GPUs, where there is one here, and else on CPUs.
    """

    def __init__(self, store: Store):
        self._speeds: dict[tuple[str, str], float] = {}
        self._peaks: dict[tuple[str, str], int] = {}
        memory = "gpu_memory_mb" if _on_gpu() else "peak_memory_mb"
        for record in store.whole():
            network, facts = (record.run.dataset, record.run.model), record.environment
            if ("gpu_memory_mb" in facts) != (memory == "gpu_memory_mb"):
                continue
            speed = facts["tokens_per_second" if record.run.vocabulary else "images_per_second"]
            self._speeds[network] = max(self._speeds.get(network, 0), speed)
            # A process that has trained others before has the largest of all their peaks.
            self._peaks[network] = min(self._peaks.get(network, facts[memory]), facts[memory])

    def seconds(self, run: Run) -> float | None:
        """For the steps that are still to be done, at the speed of the fastest."""
        speed = self._speeds.get((run.dataset, run.model))
        return (run.recipe.steps - steps_done(run)) * run.recipe.batch / speed if speed else None

    def megabytes(self, run: Run) -> int | None:
        """Memory of the process, or of the GPU."""
        return self._peaks.get((run.dataset, run.model))


def steps_done(run: Run) -> int:
    """Of a run that was interrupted on this machine; 0 where none can be trained."""
    try:
        return training_side().steps_done(run)
    except UserError:
        return 0


def _on_gpu() -> bool:
    """Whether runs are trained on a GPU here; not where none can be trained."""
    try:
        return training_side().device().type == "cuda"
    except UserError:
        return False
