"""Runs in, records out: taken from the store, trained where they are missing."""

import itertools
import os
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import NamedTuple

from lsbook.catalogue import network_title
from lsbook.claims import LEAST_SEEDS
from lsbook.errors import UserError, one_of
from lsbook.experiments.profiles import PROFILES, SEEDS
from lsbook.run import Run
from lsbook.store import Record, Store, aside

RECORDED = "recorded"  # in place of seeds
WAIT = 0.01  # seconds until a run that another one waits for is looked at again


@dataclass(frozen=True)
class Arms:
    """Recorded runs of a comparison: hard targets against smoothing with `alpha`, each in the order of the seeds."""

    profile: str
    alpha: float
    hard: list[Record]
    smoothed: list[Record]

    @property
    def records(self) -> list[Record]:
        """All of them."""
        return [*self.hard, *self.smoothed]

    @property
    def first(self) -> "Arms":
        """The runs of the first seed alone."""
        return replace(self, hard=self.hard[:1], smoothed=self.smoothed[:1])

    @property
    def network(self) -> tuple[str, str]:
        """Data set and model."""
        run = self.hard[0].run
        return run.dataset, run.model

    @property
    def title(self) -> str:
        """The network as the reader knows it."""
        return network_title(*self.network)


def parse_seeds(text: str | int) -> list[int]:
    """Seeds such as "0-4" or "0,2,5", or a single one, which papermill passes as a number, to a list.

    UserError for anything else, for a seed that comes twice, and for more than 1000 in a row.
    """
    try:
        ranges = [[int(end) for end in part.split("-")] for part in str(text).split(",")]
    except ValueError:
        ranges = [[]]
    seeds = []
    if all(len(ends) in (1, 2) and 0 <= ends[-1] - ends[0] < 1000 for ends in ranges):
        seeds = [seed for ends in ranges for seed in range(ends[0], ends[-1] + 1)]
    if not seeds or len(set(seeds)) < len(seeds):
        raise UserError(
            f'seeds must be whole numbers such as "0-4" or "0,2,5", each once, at most 1000 in a row, not {text!r}'
        )
    return seeds


class Group(NamedTuple):
    """Runs that are compared with each other: `runs` gives those of one seed. seeds: the group's own, such as "0-4"."""

    seeds: str
    runs: Callable[[int], tuple[Run, ...]]


def ask(
    profile: str, seeds: str, groups_of: Callable[[str], Sequence[Group]], store: Store | None = None
) -> tuple[str, list[list[tuple[Record, ...]]]]:
    """The profile that was chosen and, for each group of it, one tuple of records a seed.

    profile: a name, or "auto": the best one of which some group is recorded with enough seeds for a verdict, or else
        with most, without the groups that are not; laptop when none is.
    seeds: such as "0-4"; or "recorded": those of each group's own of which every run is recorded, so that nothing is
        trained; or "auto": the same, but of a profile that was named, or when nothing is recorded, all of a group's own
        where these are too few for a verdict.
    groups_of: profile -> groups; none when the profile has nothing of what is asked.
    UserError when only what is recorded was asked for, and nothing is.
    """
    one_of("profile", profile, ("auto", *PROFILES))
    store = Store() if store is None else store

    def asked(name: str, seeds: str) -> list[list[tuple[Run, ...]]]:
        return [_runs(group, seeds, store) for group in groups_of(name)]

    def recorded(name: str) -> list[list[tuple[Run, ...]]]:
        """Of each group what is recorded; of one of which a run with one of the seeds is missing none."""
        found = asked(name, RECORDED if seeds == "auto" else seeds)
        return [runs if all(run in store for each in runs for run in each) else [] for runs in found]

    groups = []
    if profile == "auto":
        found = {name: recorded(name) for name in reversed(PROFILES)}
        best = max(found, key=lambda name: min(LEAST_SEEDS, max(map(len, found[name]), default=0)))
        profile, groups = (best, found[best]) if any(found[best]) else ("laptop", [])
    groups = groups or asked(profile, seeds)
    if seeds == RECORDED and not any(groups):
        raise UserError(f"nothing of what is asked is recorded in the profile {profile}")
    records = iter(obtain([run for group in groups for runs in group for run in runs], store))
    return profile, [[tuple(itertools.islice(records, len(runs))) for runs in group] for group in groups]


def _runs(group: Group, seeds: str, store: Store) -> list[tuple[Run, ...]]:
    """The group's runs, one tuple a seed."""
    own = seeds in ("auto", RECORDED)
    every = [group.runs(seed) for seed in parse_seeds(group.seeds if own else seeds)]
    recorded = [runs for runs in every if all(run in store for run in runs)]
    enough = 0 if seeds == RECORDED else min(LEAST_SEEDS, len(every))
    return recorded if own and len(recorded) >= enough else every


def is_recorded(groups: Sequence[Group], store: Store | None = None) -> bool:
    """Whether every run of at least one seed of one group is recorded."""
    store = Store() if store is None else store
    return any(_runs(group, RECORDED, store) for group in groups)


RunsOf = Callable[[str, float, int], Run]  # (profile, alpha, seed) -> run


def comparison(profile: str, alpha: float, runs_of: RunsOf, seeds: Mapping[str, str] = SEEDS) -> list[Group]:
    """One group of pairs: a hard and a smoothed run that differ in alpha alone.

    seeds: by profile; one that is not among them has nothing of what is asked.
    """
    if alpha == 0:
        raise UserError("alpha must be above 0 here: smoothed networks are compared with hard ones")
    if profile not in seeds:
        return []
    return [Group(seeds[profile], lambda seed: (runs_of(profile, 0.0, seed), runs_of(profile, alpha, seed)))]


def compare(
    profile: str,
    alpha: float,
    seeds: str,
    runs_of: RunsOf,
    store: Store | None = None,
    own_seeds: Mapping[str, str] = SEEDS,
) -> Arms:
    """The two arms of a chapter, taken from the store or trained. profile, seeds: as for `ask`; own_seeds: its own."""
    profile, found = ask(profile, seeds, lambda name: comparison(name, alpha, runs_of, own_seeds), store)
    [arms] = arms_of(profile, alpha, found)
    return arms


def arms_of(profile: str, alpha: float, found: Sequence[list[tuple[Record, Record]]]) -> list[Arms]:
    """The two arms of each group of pairs of which there are records. found: as `ask` gives it."""
    return [Arms(profile, float(alpha), *map(list, zip(*pairs, strict=True))) for pairs in found if pairs]


def obtain(
    runs: Sequence[Run],
    store: Store | None = None,
    *,
    tensorboard: str | None = None,
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


def _train(runs: list[Run], store: Store, tensorboard: str | None, progress: bool | Callable) -> dict[Run, Record]:
    training = training_side()
    store.check_writable()
    if progress is True:
        print(f"{len(runs)} of the runs asked for have to be trained first; {_estimate(runs, store)}", file=sys.stderr)
    data = data_for(training.splits)
    return {
        run: training.alone(recorded(run, store, data, tensorboard=tensorboard, progress=progress))
        for run in _free_ones_first(runs, training.is_claimed)
    }


def data_for(splits: Callable) -> Callable:
    """`splits` of runs; the last is kept for the next run on the same, so that one data set is in memory at a time."""
    kept = {}

    def of(run: Run):
        source = run.dataset, run.examples, run.vocabulary
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
    tensorboard: str | None = None,
    progress: bool | Callable = True,
    weights: bool = False,
) -> Generator[None, None, Record]:
    """The record of a run, which is trained, giving way to others now and then, unless another process has meanwhile.

    data: run -> its splits. weights: train what is recorded too, unless its weights are here.
    """
    training = training_side()
    lesson = (yield from _lesson(training, run, store, data, progress)) if run.teachers else None
    with training.claim(run):
        if run in store and not (weights and not training.has_weights(run)):
            return store.get(run)
        loss = lesson and lesson.loss
        outcome = yield from training.steps(run, data(run), loss=loss, tensorboard=tensorboard, progress=progress)
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
        banks[teacher] = yield from _bank(training, teacher, run, store, data, progress)
    return training.lesson(run, banks)


def _bank(training, teacher: Run, run: Run, store: Store, data: Callable, progress: bool | Callable):
    """A teacher's answers to what a run sees; it is trained first when its weights are not on this machine."""

    def bank():
        while training.is_claimed(teacher):  # by another run of this process, perhaps, which has to go on
            time.sleep(WAIT)
            yield
        with training.claim(teacher):  # what all its students learn from is made once
            return training.bank(teacher, data(run).train, run)

    found = yield from bank()
    if found is None:
        # Where steps are counted they are the student's.
        yield from recorded(teacher, store, data, progress=progress is True, weights=True)
        found = yield from bank()
    if found is None:
        raise UserError(f"no space for {training.weights_path(teacher)}: free some, or set LSBOOK_RUNS to a folder")
    return found


def training_side():
    """The training side, imported only here. UserError when torch is not installed."""
    try:
        import lsbook.training
    except ModuleNotFoundError as error:
        raise UserError(f'training a run needs {error.name}: pip install -e ".[train]"') from None
    return lsbook.training


def _estimate(runs: list[Run], store: Store) -> str:
    """How long the runs take, in words."""
    with aside():
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
        for record in store:
            network, facts = (record.run.dataset, record.run.model), record.environment
            if ("gpu_memory_mb" in facts) != (memory == "gpu_memory_mb"):
                continue
            speed = facts["tokens_per_second" if record.run.vocabulary else "images_per_second"]
            self._speeds[network] = max(self._speeds.get(network, 0), speed)
            # A process that has trained others before has the largest of all their peaks.
            self._peaks[network] = min(self._peaks.get(network, facts[memory]), facts[memory])

    def seconds(self, run: Run) -> float | None:
        """At the speed of the fastest."""
        speed = self._speeds.get((run.dataset, run.model))
        return run.recipe.steps * run.recipe.batch / speed if speed else None

    def megabytes(self, run: Run) -> int | None:
        """Memory of the process, or of the GPU."""
        return self._peaks.get((run.dataset, run.model))


def _on_gpu() -> bool:
    """Whether runs are trained on a GPU here; not where none can be trained."""
    try:
        return training_side().precision.device().type == "cuda"
    except UserError:
        return False
