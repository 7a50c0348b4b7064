"""Which runs a chapter shows: of a profile and seeds those that are recorded, or else all, which are then trained."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lsbook.core.config import Run
from lsbook.core.errors import UserError, brief, one_of
from lsbook.core.store import Record, Store
from lsbook.evidence.claims import LEAST_SEEDS
from lsbook.recipes.profiles import PROFILES
from lsbook.runner.obtain import obtain

RECORDED = "recorded"  # in place of seeds
Name = Hashable  # of a run within its group, the same for every seed
RunsOfSeed = Mapping[Any, Run]  # name -> run


@dataclass(frozen=True)
class Group:
    """Runs that are compared with each other.

    seeds: the group's own, such as "0-4".
    runs: seed -> the runs of that seed by name. Teachers come before their students.
    named: whether the reader has named something of it, so that it is not left out where it is not recorded.
    untracked: left out of seeds that the reader names, too, unless it is recorded with all of them.
    extra: no answer by itself, so a profile is not chosen for it, nor is it shown alone.
    """

    seeds: str
    runs: Callable[[int], RunsOfSeed]
    named: bool = False
    untracked: bool = False
    extra: bool = False


@dataclass(frozen=True)
class Selection:
    """What was selected. groups: of each group the records by name, in the order of the seeds; empty without any."""

    profile: str
    groups: list[dict[Any, list[Record]]]


def select_runs(
    profile: str,
    seeds: str,
    groups_of: Callable[[str], Sequence[Group]],
    store: Store | None = None,
    check: Callable[[str], object] = lambda dataset: None,
) -> Selection:
    """The records of a profile's groups, trained where they are missing.

    Args:
        profile: a name, or "auto": the best one of which some group is recorded with enough seeds for a verdict, or
            else with most, without the groups that are not unless they are named; laptop when none is.
        seeds: such as "0-4"; or "recorded": those of each group's own of which every run is recorded, so that nothing
            is trained; or "auto": the same, but of a profile that was named, or when nothing is recorded, all of a
            group's own where these are too few for a verdict.
        groups_of: profile -> groups; none when the profile has nothing of what is asked.
        store: the project's own when None.
        check: called with the first run's data set before anything is trained; raises UserError for what does not fit.

    Raises:
        UserError: for an unknown profile, bad seeds, and when only what is recorded was asked for, and nothing is.
    """
    one_of("profile", profile, ("auto", *PROFILES))
    store = Store() if store is None else store
    best = _best_recorded_profile(seeds, groups_of, store) if profile == "auto" else None
    if best is not None:
        profile = best
    elif profile == "auto":
        profile = "laptop"
    groups = groups_of(profile)
    planned = [(_planned if best is None else _recorded_or_named)(group, seeds, store) for group in groups]
    if seeds == RECORDED and not any(found for group, found in zip(groups, planned, strict=True) if not group.extra):
        raise UserError(f"nothing of what is asked is recorded in the profile {profile}")
    runs = [run for group in planned for of_seed in group for run in of_seed.values()]
    if runs:
        check(runs[0].dataset)
    records = dict(zip(runs, obtain(runs, store), strict=True))
    return Selection(profile, [_by_name(group, records) for group in planned])


def is_recorded(groups: Sequence[Group], store: Store | None = None) -> bool:
    """Whether every run of at least one seed of one group is recorded."""
    store = Store() if store is None else store
    return any(_planned(group, RECORDED, store) for group in groups if not group.extra)


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
            f'seeds must be whole numbers such as "0-4" or "0,2,5", each once, at most 1000, not {brief(text)}'
        )
    return seeds


def _best_recorded_profile(seeds: str, groups_of: Callable[[str], Sequence[Group]], store: Store) -> str | None:
    """The best profile with enough recorded seeds of a group for a verdict, else that with most; None without any."""
    most_seeds = {
        profile: max(
            (len(_recorded(group, seeds, store)) for group in groups_of(profile) if not group.extra), default=0
        )
        for profile in reversed(PROFILES)
    }
    best = max(most_seeds, key=lambda profile: min(LEAST_SEEDS, most_seeds[profile]))
    return best if most_seeds[best] else None


def _planned(group: Group, seeds: str, store: Store) -> list[RunsOfSeed]:
    """The group's runs of each seed that is asked for; of its own seeds those recorded if they are enough."""
    own_seeds = seeds in ("auto", RECORDED)
    planned = [group.runs(seed) for seed in parse_seeds(group.seeds if own_seeds else seeds)]
    recorded = [of_seed for of_seed in planned if _all_recorded(of_seed, store)]
    if own_seeds:
        enough = 0 if seeds == RECORDED else min(LEAST_SEEDS, len(planned))
        return recorded if len(recorded) >= enough else planned
    left_out = group.untracked and not group.named and len(recorded) < len(planned)
    return [] if left_out else planned


def _recorded(group: Group, seeds: str, store: Store) -> list[RunsOfSeed]:
    """The group's runs of each seed that is asked for if all are recorded, else none; "auto": of those that are."""
    planned = _planned(group, RECORDED if seeds == "auto" else seeds, store)
    return planned if all(_all_recorded(of_seed, store) for of_seed in planned) else []


def _recorded_or_named(group: Group, seeds: str, store: Store) -> list[RunsOfSeed]:
    """What is recorded of the group, or what has to be trained where the reader has named something of it."""
    recorded = _recorded(group, seeds, store)
    return _planned(group, seeds, store) if group.named and not recorded else recorded


def _all_recorded(of_seed: RunsOfSeed, store: Store) -> bool:
    return all(run in store for run in of_seed.values())


def _by_name(planned: list[RunsOfSeed], records: Mapping[Run, Record]) -> dict[Any, list[Record]]:
    """The records of each name, in the order of the seeds."""
    names = planned[0] if planned else ()
    return {name: [records[of_seed[name]] for of_seed in planned] for name in names}
