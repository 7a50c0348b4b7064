"""The chapters that ask for runs, and the runs that each plans in a profile."""

from lsbook import chapters
from lsbook.chapters.shared.chapter import Chapter
from lsbook.chapters.shared.selection import parse_seeds
from lsbook.core.config import Run
from lsbook.core.errors import one_of
from lsbook.evidence.claims import ALL_CLAIMS
from lsbook.recipes.profiles import PROFILES


def registered() -> dict[str, Chapter]:
    """The chapters that ask for runs by name: the `CHAPTER` of each module of `lsbook.chapters` that has one.

    They are in the order of their claims; those without claims come last.
    """
    modules = [getattr(chapters, name) for name in chapters.__all__]
    found = [module.CHAPTER for module in modules if hasattr(module, "CHAPTER")]
    return {chapter.name: chapter for chapter in sorted(found, key=_place)}


def _place(chapter: Chapter) -> int:
    """Return the place of the chapter's first claim among all claims."""
    ids = list(ALL_CLAIMS)
    return ids.index(chapter.claims.ids[0]) if chapter.claims else len(ids)


def plan(chapter: str, profile: str, seeds: str = "auto", network: str = "all") -> list[Run]:
    """The runs that a chapter asks for in a profile: the first seed of every setting, then the second, and so on.

    seeds: such as "0-4", or "auto": each group's own. network: "all", or one such as "cifar10-alexnet". A teacher comes
    before its students.
    """
    known = registered()
    one_of("chapter", chapter, known)
    one_of("profile", profile, PROFILES)
    groups = known[chapter].groups(profile)
    asked = [(group, parse_seeds(group.seeds if seeds == "auto" else seeds)) for group in groups]
    every = sorted({seed for _, of_group in asked for seed in of_group})
    ordered = [
        run for seed in every for group, of_group in asked if seed in of_group for run in group.runs(seed).values()
    ]
    networks = {run: f"{run.dataset}-{run.model}" for run in ordered}
    one_of(f"network of {chapter}", network, ("all", *dict.fromkeys(networks.values())))
    return [run for run, name in networks.items() if network in ("all", name)]
