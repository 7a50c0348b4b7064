"""The chapters that ask for runs, each with `groups(profile)` and `settings(profile, seeds)`, and what they plan."""

from lsbook.chapters import (
    calibration,
    distillation,
    equal_softness,
    machine_translation,
    mutual_information,
    projections,
)
from lsbook.chapters.shared.comparison import parse_seeds
from lsbook.core.config import Run
from lsbook.core.errors import one_of
from lsbook.recipes.profiles import PROFILES

CHAPTERS = {
    "projections": projections,
    "calibration": calibration,
    "machine_translation": machine_translation,
    "distillation": distillation,
    "equal_softness": equal_softness,
    "mutual_information": mutual_information,
}


def plan(chapter: str, profile: str, seeds: str = "auto", network: str = "all") -> list[Run]:
    """The runs that a chapter asks for in a profile: the first seed of every setting, then the second, and so on.

    seeds: such as "0-4", or "auto": each group's own. network: "all", or one such as "cifar10-alexnet". A teacher comes
    before its students.
    """
    one_of("chapter", chapter, CHAPTERS)
    one_of("profile", profile, PROFILES)
    groups = CHAPTERS[chapter].groups(profile)
    asked = [(group, parse_seeds(group.seeds if seeds == "auto" else seeds)) for group in groups]
    every = dict.fromkeys(seed for _, of_group in asked for seed in of_group)
    ordered = [run for seed in every for group, of_group in asked if seed in of_group for run in group.runs(seed)]
    networks = {run: f"{run.dataset}-{run.model}" for run in ordered}
    one_of(f"network of {chapter}", network, ("all", *dict.fromkeys(networks.values())))
    return [run for run, name in networks.items() if network in ("all", name)]
