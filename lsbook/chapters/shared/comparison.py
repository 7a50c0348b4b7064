"""What is compared: groups of runs that differ in one thing, found recorded or trained, as the arms of a comparison."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from lsbook.core.config import Run
from lsbook.core.errors import UserError, one_of, said
from lsbook.core.registry import network_title
from lsbook.core.store import Record, Store
from lsbook.evidence.claims import LEAST_SEEDS
from lsbook.recipes.profiles import PROFILES, SEEDS
from lsbook.runner.obtain import obtain

RECORDED = "recorded"  # in place of seeds
MOST_BINS = 1_000  # of confidence: far more than examples fill, and still drawn within half a minute


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

    UserError for anything else, for a seed that comes twice, and for more than 1000.
    """
    try:
        ranges = [[int(end) for end in part.split("-")] for part in str(text).split(",")]
    except ValueError:
        ranges = [[]]
    seeds = []
    rising = all(len(ends) in (1, 2) and 0 <= ends[0] <= ends[-1] for ends in ranges)
    if rising and sum(ends[-1] - ends[0] + 1 for ends in ranges) <= 1000:
        seeds = [seed for ends in ranges for seed in range(ends[0], ends[-1] + 1)]
    if not seeds or len(set(seeds)) < len(seeds):
        raise UserError(
            f'seeds must be whole numbers such as "0-4" or "0,2,5", each once, at most 1000, not {said(text)}'
        )
    return seeds


class Group(NamedTuple):
    """Runs that are compared with each other: `runs` gives those of one seed. seeds: the group's own, such as "0-4".

    named: whether the reader has named something of it, so that it is not left out where it is not recorded. aside: it
    is left out of seeds that the reader names, too, unless it is recorded with all of them. extra: it is no answer to
    what the reader has named, so a profile is not chosen for it.
    """

    seeds: str
    runs: Callable[[int], tuple[Run, ...]]
    named: bool = False
    aside: bool = False
    extra: bool = False


def ask(
    profile: str,
    seeds: str,
    groups_of: Callable[[str], Sequence[Group]],
    store: Store | None = None,
    check: Callable[[str], object] = lambda dataset: None,
) -> tuple[str, list[list[tuple[Record, ...]]]]:
    """The profile that was chosen and, for each group of it, one tuple of records a seed.

    profile: a name, or "auto": the best one of which some group is recorded with enough seeds for a verdict, or else
        with most, without the groups that are not unless they are named; laptop when none is.
    seeds: such as "0-4"; or "recorded": those of each group's own of which every run is recorded, so that nothing is
        trained; or "auto": the same, but of a profile that was named, or when nothing is recorded, all of a group's own
        where these are too few for a verdict.
    groups_of: profile -> groups; none when the profile has nothing of what is asked.
    check: called with the first run's data set before anything is trained; it raises UserError for what does not fit.
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
        answers = {
            name: [len(runs) for runs, group in zip(found[name], groups_of(name), strict=True) if not group.extra]
            for name in found
        }
        best = max(answers, key=lambda name: min(LEAST_SEEDS, max(answers[name], default=0)))
        if any(answers[best]):
            named = [group.named for group in groups_of(best)]
            groups = [r or a if n else r for r, a, n in zip(found[best], asked(best, seeds), named, strict=True)]
        profile = best if groups else "laptop"
    groups = groups or asked(profile, seeds)
    if seeds == RECORDED and not any(groups):
        raise UserError(f"nothing of what is asked is recorded in the profile {profile}")
    every = [run for group in groups for runs in group for run in runs]
    if every:
        check(every[0].dataset)
    records = iter(obtain(every, store))
    return profile, [[tuple(itertools.islice(records, len(runs))) for runs in group] for group in groups]


def _runs(group: Group, seeds: str, store: Store) -> list[tuple[Run, ...]]:
    """The group's runs, one tuple a seed."""
    own = seeds in ("auto", RECORDED)
    every = [group.runs(seed) for seed in parse_seeds(group.seeds if own else seeds)]
    recorded = [runs for runs in every if all(run in store for run in runs)]
    if not own:
        return [] if group.aside and not group.named and len(recorded) < len(every) else every
    enough = 0 if seeds == RECORDED else min(LEAST_SEEDS, len(every))
    return recorded if len(recorded) >= enough else every


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
