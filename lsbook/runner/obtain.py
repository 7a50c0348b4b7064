"""Runs in, records out: taken from the store, trained where they are missing."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

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
    """Return the records of `runs`, in order; train and record first those that are missing.

    Args:
        runs: what is wanted; a run that appears twice is trained once.
        store: where records are looked for and written; `results/` when not given.
        tensorboard: folder for scalars, as for `training.train`.
        progress: bars, none, or a function of the number of steps done, as for `training.train`.

    Raises:
        UserError: data are missing, a training diverges, or nothing can be written.
    """
    store = Store() if store is None else store
    found = {run: store.get(run) for run in runs}
    records = {run: record for run, record in found.items() if record is not None}
    missing = [run for run in found if run not in records]
    if missing:
        records |= _train(missing, store, tensorboard, progress)
    return [records[run] for run in runs]


def torchrun_session() -> AbstractContextManager[bool]:
    """Let the processes of a `torchrun` train together what rank 0 obtains within the block.

    It gives True on rank 0, and in a process that torchrun has not started; False on the other ranks, whose block runs
    after they have followed rank 0 to its end.
    """
    return import_training().torchrun_session() if "TORCHELASTIC_RUN_ID" in os.environ else nullcontext(True)


def _train(runs: list[Run], store: Store, tensorboard: Path | None, progress: bool | Callable) -> dict[Run, Record]:
    training = import_training()
    for run in runs:
        training.check(run)
    store.check_writable()
    splits_of = cached_splits(training.load_splits)
    splits_of(runs[0])  # if its data are missing, nothing else is said
    if progress is True:
        estimate = _estimate(runs, store)
        print_lines(f"{len(runs)} of the runs asked for have to be trained first; {estimate}", file=sys.stderr)
    return {
        run: train_and_record(run, store, splits_of, tensorboard=tensorboard, progress=progress)
        for run in _unlocked_first(runs)
    }


def check_data(run: Run, store: Store, splits: Callable | None = None) -> None:
    """UserError when the data of a run that has a data set of somebody's own are not those of the store's records.

    splits: run -> its data; from their files when not given.
    """
    if registry.is_own(run.dataset):
        found = (splits or import_training().load_splits)(run)
        store.check_data(run, found.train.fingerprint, found.test.fingerprint)


def cached_splits(load_splits: Callable) -> Callable:
    """Wrap `load_splits` (run -> its data) so that the data loaded last serve the next run on the same.

    One data set is in memory at a time.
    """
    cache: dict[tuple[object, ...], Any] = {}

    def splits_of(run: Run):
        noise = (run.label_noise, run.seed) if run.label_noise else None
        source = run.dataset, run.examples, run.vocabulary, noise
        if source not in cache:
            cache.clear()
            cache[source] = load_splits(run)
        return cache[source]

    return splits_of


def train_and_record(
    run: Run,
    store: Store,
    splits_of: Callable,
    *,
    tensorboard: Path | None = None,
    progress: bool | Callable = True,
    need_weights: bool = False,
) -> Record:
    """Train a run and return its new record, or the one that another process has written meanwhile.

    Args:
        run: what to train; of a student's teachers first those that it needs and whose weights are not on this machine.
        store: where the record goes.
        splits_of: a run to its data, as `cached_splits` gives them.
        tensorboard: as for `training.train`.
        progress: as for `training.train`.
        need_weights: train a recorded run again if its weights are not on this machine.

    Raises:
        UserError: data are missing, the training diverges, or nothing can be written.
    """
    training = import_training()
    with training.enough_memory(run):
        return _train_and_record(run, store, splits_of, tensorboard, progress, need_weights)


def _train_and_record(
    run: Run,
    store: Store,
    splits_of: Callable,
    tensorboard: Path | None,
    progress: bool | Callable,
    need_weights: bool,
) -> Record:
    training = import_training()
    target = _distillation_target(run, store, splits_of, progress) if run.teachers else None
    with training.lock_run(run):
        done = run in store and (training.has_weights(run) or not need_weights)
        if done and (recorded := store.get(run)):
            return recorded
        check_data(run, store, splits_of)
        loss = target.loss if target else None
        outcome = training.train(run, splits_of(run), loss=loss, tensorboard=tensorboard, progress=progress)
        if target:
            outcome.metrics.update(target.metrics)
        record = store.put(run, **outcome._asdict())
        training.delete_checkpoints(run)
        return record


def is_in_training(run: Run) -> bool:
    """Whether a process trains the run, or a network that it learns from, so that another would wait for that."""
    return any(map(import_training().is_locked, (run, *run.teachers)))


def _unlocked_first(runs: Sequence[Run]) -> Iterator[Run]:
    """Yield all runs in order, but each time one that waits for no other process as long as there is one."""
    left = list(runs)
    while left:
        run = next((run for run in left if not is_in_training(run)), left[0])
        left.remove(run)
        yield run


def _distillation_target(run: Run, store: Store, splits_of: Callable, progress: bool | Callable):
    """What a student learns from its teachers' logits: `training.distillation_target`."""
    smoothness = _recorded_smoothness(run, store) if run.as_soft_as else None
    needed = [teacher for teacher in run.teachers if smoothness is None or teacher == run.teacher]
    logits = {teacher: _teacher_logits(teacher, run, store, splits_of, progress) for teacher in needed}
    return import_training().distillation_target(run, logits, smoothness)


def _recorded_smoothness(run: Run, store: Store) -> float | None:
    """The smoothness index γ that the run's targets are to have, from the record of a student that learnt from these.

    It saves the training of a teacher, and the new one would differ from the recorded where other hardware rounds
    otherwise. None without a record.
    """
    student = replace(run, teacher=run.as_soft_as, as_soft_as=None, temperature=1.0, beta=1.0)
    record = store.get(student)
    return None if record is None else record.metrics["teacher_smoothness"]


def _teacher_logits(teacher: Run, student: Run, store: Store, splits_of: Callable, progress: bool | Callable):
    """A teacher's logits of what a student sees; train the teacher first if its weights are not on this machine."""
    logits = _load_or_compute_logits(teacher, student, splits_of)
    if logits is None:
        # A progress function counts the student's steps, so it is not told of the teacher's.
        train_and_record(teacher, store, splits_of, progress=progress is True, need_weights=True)
        logits = _load_or_compute_logits(teacher, student, splits_of)
    if logits is None:
        weights = import_training().weights_path(teacher)
        raise UserError(f"no space for {weights}: free some, or set LSBOOK_RUNS to a folder")
    return logits


def _load_or_compute_logits(teacher: Run, student: Run, splits_of: Callable):
    """Call `training.teacher_logits` under a lock, which lets several students' processes compute them once."""
    training = import_training()
    with training.lock_run(teacher):
        return training.teacher_logits(teacher, splits_of(student).train, student)


def import_training():
    """Import the training side, which needs torch, and return it. UserError when torch is not installed."""
    with needing("train", "training a run"):
        import lsbook.training
    return lsbook.training


def _estimate(runs: list[Run], store: Store) -> str:
    """How long the runs take, in words."""
    costs = Costs(store)
    seconds = [costs.seconds(run) for run in runs]
    known = [expected for expected in seconds if expected is not None]
    if len(known) < len(seconds):
        return "the first one's bar will tell how long each takes"
    return f"that took {sum(known) / 60:.1f} minutes where such runs were recorded"


class Costs:
    """What a run takes in time and memory, judged by the records of its network in a store.

    Where this machine has a GPU, records made on GPUs are asked, and else those made on CPUs.
    """

    def __init__(self, store: Store):
        self._speeds: dict[tuple[str, str], float] = {}  # examples per second by data set and model
        self._peaks: dict[tuple[str, str], int] = {}  # megabytes
        memory = "gpu_memory_mb" if _on_gpu() else "peak_memory_mb"
        for record in store.whole():
            network = (record.run.dataset, record.run.model)
            facts: Mapping[str, Any] = record.environment
            if ("gpu_memory_mb" in facts) != (memory == "gpu_memory_mb"):
                continue
            speed = facts["tokens_per_second" if record.run.vocabulary else "images_per_second"]
            self._speeds[network] = max(self._speeds.get(network, 0), speed)
            # A process that has trained others before has the largest of all their peaks.
            self._peaks[network] = min(self._peaks.get(network, facts[memory]), facts[memory])

    def seconds(self, run: Run) -> float | None:
        """Estimate the time of the steps still to be done, at the fastest recorded speed; None without a record."""
        speed = self._speeds.get((run.dataset, run.model))
        return (run.recipe.steps - steps_done(run)) * run.recipe.batch / speed if speed else None

    def megabytes(self, run: Run) -> int | None:
        """Estimate the memory of the process, or on a GPU of the GPU; None without a record."""
        return self._peaks.get((run.dataset, run.model))


def steps_done(run: Run) -> int:
    """Steps of a run that a checkpoint on this machine has done; 0 where torch is not installed."""
    try:
        return import_training().steps_done(run)
    except UserError:
        return 0


def _on_gpu() -> bool:
    """Whether runs are trained on a GPU here; not where none can be trained."""
    try:
        return import_training().device().type == "cuda"
    except UserError:
        return False
